"""The form of a report: what the command line prints, and what values save of themselves.

Each class of value has a table of its forms, which are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphprune import graph as graphs
from graphprune import plan as plans
from graphprune import report
from graphprune.diagnostics.terminal_text import Paint, plain
from graphprune.documents import to_json
from graphprune.errors import OutputError

if TYPE_CHECKING:
    from graphprune.diff.changes import GraphDiff
    from graphprune.graph import LayerGraph, ModelFile

_SHOWN_LAYERS = 30


@dataclass(frozen=True, slots=True)
class View:
    """How much of a value a report shows, and where.

    Attributes:
        show_all: Show every layer.
        brief: Show only the summary.
        width: Columns of the terminal; None for a file or a pipe, where nothing is shortened.
        paint: Adds colour.
        measured: The saved model whose zeros and metrics drawings show; of a diff, the right one.
    """

    show_all: bool = False
    brief: bool = False
    width: int | None = None
    paint: Paint = plain
    measured: ModelFile | None = None

    @property
    def metrics(self) -> Any:
        """The metrics of the measured model; None without one."""
        return None if self.measured is None else self.measured.metrics

    @property
    def zeros(self) -> Any:
        """The zeros of the measured model; None without one."""
        return None if self.measured is None else self.measured.zeros

    @property
    def extent(self) -> dict[str, Any]:
        """How much is shown, as arguments."""
        return {"show_all": self.show_all, "brief": self.brief}

    @property
    def place(self) -> dict[str, Any]:
        """Where it is shown, as arguments."""
        return {"width": self.width, "paint": self.paint}


WHOLE = View()
Forms = Mapping[str, Callable[[Any, View], str]]


def render(value: object, kind: str, view: View = WHOLE) -> str:
    """Return a value as `text`, `json`, `html`, `svg`, `github`, `junit` or `dot`.

    Args:
        value: A plan, a diff, a verification or a layer graph.
        kind: The form.
        view: How much of it to show, and where.

    Raises:
        OutputError: such a value has no such form.
    """
    forms = _FORMS[type(value).__name__]
    if kind not in forms:
        raise OutputError(
            f"a {type(value).__name__} cannot be written as {kind}; known are {', '.join(forms)}"
        )
    return forms[kind](value, view)


def render_brief(value: object) -> str:
    """Return a value in a few lines, for `print`."""
    return render(value, "text", View(brief=True)).rstrip()


def _graph_text(graph: LayerGraph, view: View) -> str:
    text = report.render_layers_text(graph, view.zeros, width=view.width)
    lines = text.rstrip().split("\n")
    head, rows, total = lines[:3], lines[3:-2], lines[-2:]
    if not view.brief or len(rows) <= _SHOWN_LAYERS:
        return text
    more = f"... {len(rows) - _SHOWN_LAYERS:,} more layers"
    return "\n".join([*head, *rows[:_SHOWN_LAYERS], more, *total, ""])


def _diff_json(diff: GraphDiff, view: View) -> str:
    from graphprune.diff.document import graph_diff_to_config  # the package imports all of itself

    return to_json(graph_diff_to_config(diff))


def _graph_of(plan: plans.Plan) -> LayerGraph:
    if plan.graph is None:
        raise OutputError(
            "a plan that was read from JSON has no model to draw; make it from the model, or use"
            " graphprune plan MODEL -o FILE"
        )
    return plan.graph


def _graphs_of(diff: GraphDiff) -> tuple[LayerGraph, LayerGraph]:
    if diff.graphs is None:
        raise OutputError("this diff has no models to draw; make it with diff_models")
    return diff.graphs


_PLAN: Forms = {
    "text": lambda plan, view: report.render_plan_text(plan, **view.extent, **view.place),
    "json": lambda plan, view: to_json(plans.plan_to_config(plan)),
    "github": lambda plan, view: report.render_plan_github(plan, **view.extent),
    "svg": lambda plan, view: report.render_plan_svg(_graph_of(plan), plan),
    "html": lambda plan, view: report.render_plan_html(_graph_of(plan), plan, view.metrics),
}
_DIFF: Forms = {
    "text": lambda diff, view: report.render_diff_text(diff, **view.extent, **view.place),
    "json": _diff_json,
    "github": lambda diff, view: report.render_diff_github(diff, **view.extent),
    "svg": lambda diff, view: report.render_diff_svg(*_graphs_of(diff), diff),
    "html": lambda diff, view: report.render_diff_html(*_graphs_of(diff), diff, view.metrics),
}
_VERIFICATION: Forms = {
    "text": lambda found, view: report.render_verification(found, brief=view.brief, **view.place),
    "json": lambda found, view: to_json(plans.verification_to_config(found)),
    "github": lambda found, view: report.render_verification_github(found, brief=view.brief),
    "junit": lambda found, view: report.render_verification_junit(found),
}
_GRAPH: Forms = {
    "text": _graph_text,
    "json": lambda graph, view: to_json(graphs.graph_to_config(graph)),
    "svg": lambda graph, view: report.render_graph_svg(graph, view.zeros),
    "html": lambda graph, view: report.render_graph_html(graph, view.metrics),
    "dot": lambda graph, view: report.render_graph_dot(graph),
}
_FORMS: Mapping[str, Forms] = {
    "Plan": _PLAN,
    "GraphDiff": _DIFF,
    "Verification": _VERIFICATION,
    "LayerGraph": _GRAPH,
}
