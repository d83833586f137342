"""A diff as a page and as a drawing."""

from __future__ import annotations

from graphprune.diff.changes import GraphDiff
from graphprune.diff.document import graph_diff_to_config
from graphprune.graph import LayerGraph
from graphprune.report.drawing.diff_marks import mark_diff
from graphprune.report.drawing.diff_view import view_diff
from graphprune.report.drawing.graph_html import render_page
from graphprune.report.drawing.graph_svg import render_views
from graphprune.report.drawing.page_data import Drawing, Metrics


def render_diff_html(
    left: LayerGraph, right: LayerGraph, diff: GraphDiff, metrics: Metrics | None = None
) -> str:
    """Return the page of the right model with what only the left one has: each layer marked with
    what has changed, the diff's JSON in the script tag `report`.

    Args:
        left: The model before.
        right: The model after.
        diff: What differs.
        metrics: What the values of the right model's tensors say, by (address, tensor name), for
            the panels.
    """
    marking = mark_diff(diff)
    return render_page(
        Drawing(right, view_diff(left, right, diff, marking), metrics, marking, left),
        graph_diff_to_config(diff),
    )


def render_diff_svg(left: LayerGraph, right: LayerGraph, diff: GraphDiff) -> str:
    """Return the drawing of the right model, each layer marked with what has changed, and with what
    only the left model has.
    """
    marking = mark_diff(diff)
    return render_views(view_diff(left, right, diff, marking), marking)
