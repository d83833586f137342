"""One value in one format: what the command line prints, and what values save of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphprune.diff.changes import GraphDiff
from graphprune.diff.document import graph_diff_to_config
from graphprune.documents import to_json
from graphprune.errors import OutputError
from graphprune.graph.graph_json import graph_to_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.plan.changes import Plan
from graphprune.plan.to_document import plan_to_config
from graphprune.plan.verify import Verification, verification_to_config
from graphprune.report.diff_text import render_diff_text
from graphprune.report.drawing.diff_drawing import render_diff_html, render_diff_svg
from graphprune.report.drawing.graph_dot import render_graph_dot
from graphprune.report.drawing.graph_html import render_graph_html
from graphprune.report.drawing.graph_svg import render_graph_svg
from graphprune.report.drawing.plan_drawing import render_plan_html, render_plan_svg
from graphprune.report.github import render_diff_github, render_plan_github
from graphprune.report.layers_report import render_layers_text
from graphprune.report.plan_text import render_plan_text, render_verification

_SHOWN_LAYERS = 30

Renderers = Mapping[str, Callable[[Any], str]]


def render(value: object, kind: str) -> str:
    """Return a plan, a diff, a verification or a layer graph as `text`, `json`, `html`, `svg`,
    `github` or `dot`.

    Raises:
        OutputError: such a value has no such form.
    """
    renderers = next(table for type_, table in _RENDERERS.items() if isinstance(value, type_))
    if kind not in renderers:
        raise OutputError(
            f"a {type(value).__name__} has no {kind} form; it has {', '.join(renderers)}"
        )
    return renderers[kind](value)


def render_brief(value: object) -> str:
    """Return a value in a few lines, for `print`."""
    if isinstance(value, Plan):
        return render_plan_text(value, brief=True).rstrip()
    if isinstance(value, GraphDiff):
        return render_diff_text(value, brief=True).rstrip()
    if isinstance(value, Verification):
        return render_verification(value, brief=True).rstrip()
    assert isinstance(value, LayerGraph)
    return _graph_in_brief(value)


def _graph_in_brief(graph: LayerGraph) -> str:
    lines = render_layers_text(graph, None).rstrip().split("\n")
    head, rows, total = lines[:3], lines[3:-2], lines[-2:]
    if len(rows) > _SHOWN_LAYERS:
        rows = [*rows[:_SHOWN_LAYERS], f"... {len(rows) - _SHOWN_LAYERS:,} more layers"]
    return "\n".join([*head, *rows, *total])


def _graph_of(plan: Plan) -> LayerGraph:
    if plan.graph is None:
        raise OutputError(
            "a plan that was read from JSON holds no model to draw; make it from the model, or use"
            " graphprune plan MODEL -o FILE"
        )
    return plan.graph


def _graphs_of(diff: GraphDiff) -> tuple[LayerGraph, LayerGraph]:
    if diff.graphs is None:
        raise OutputError("this diff holds no models to draw; make it with diff_models")
    return diff.graphs


_RENDERERS: Mapping[type, Renderers] = {
    Plan: {
        "text": render_plan_text,
        "json": lambda plan: to_json(plan_to_config(plan)),
        "github": render_plan_github,
        "svg": lambda plan: render_plan_svg(_graph_of(plan), plan),
        "html": lambda plan: render_plan_html(_graph_of(plan), plan),
    },
    GraphDiff: {
        "text": render_diff_text,
        "json": lambda diff: to_json(graph_diff_to_config(diff)),
        "github": render_diff_github,
        "svg": lambda diff: render_diff_svg(*_graphs_of(diff), diff),
        "html": lambda diff: render_diff_html(*_graphs_of(diff), diff),
    },
    Verification: {
        "text": render_verification,
        "json": lambda found: to_json(verification_to_config(found)),
    },
    LayerGraph: {
        "text": lambda graph: render_layers_text(graph, None),
        "json": lambda graph: to_json(graph_to_config(graph)),
        "svg": render_graph_svg,
        "html": render_graph_html,
        "dot": render_graph_dot,
    },
}
