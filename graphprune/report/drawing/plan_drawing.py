"""A plan as a page and as a drawing."""

from __future__ import annotations

from graphprune.graph import LayerGraph
from graphprune.plan.changes import Plan
from graphprune.plan.to_document import plan_to_config
from graphprune.report.drawing.graph_html import render_page
from graphprune.report.drawing.graph_svg import render_views
from graphprune.report.drawing.graph_view import view_graph
from graphprune.report.drawing.page_data import Drawing, Metrics
from graphprune.report.drawing.plan_marks import mark_plan


def render_plan_html(graph: LayerGraph, plan: Plan, metrics: Metrics | None = None) -> str:
    """Return the page of the model that `plan` was made for: each layer marked with what will
    happen to it, and the plan's JSON in the script tag `report`.

    Args:
        graph: The model.
        plan: What would change in it.
        metrics: What the values of each tensor say, by (address, tensor name), for the panels.
    """
    marking = mark_plan(plan)
    return render_page(
        Drawing(graph, view_graph(graph, marks=marking.marks), metrics, marking),
        plan_to_config(plan),
    )


def render_plan_svg(graph: LayerGraph, plan: Plan) -> str:
    """Return the drawing of the model that `plan` was made for, each layer marked with what will
    happen to it.
    """
    marking = mark_plan(plan)
    return render_views(view_graph(graph, marks=marking.marks), marking)
