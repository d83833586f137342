"""`graphprune diff`: what changed between two models."""

from __future__ import annotations

import click

from graphprune import report
from graphprune.cli.inputs import open_model
from graphprune.cli.options import (
    all_option,
    brief_option,
    drawing_format_option,
    drawing_report_option,
    exitcode_option,
    force_option,
)
from graphprune.cli.outputs import (
    DRAWING_SUFFIXES,
    check_report_free,
    choose_drawing_format,
    paint_marks,
    print_report,
    terminal_width,
)
from graphprune.diff import GraphDiff, graph_diff_to_config
from graphprune.diff.graph_diff import diff_models
from graphprune.documents import to_json
from graphprune.errors import EXIT_DIFFERENT
from graphprune.graph import ModelFile


@click.command("diff")
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@drawing_format_option
@drawing_report_option
@all_option
@brief_option
@exitcode_option
@force_option
def command(
    left: str,
    right: str,
    format_: str | None,
    output: str | None,
    show_all: bool,
    brief: bool,
    detailed_exitcode: bool,
    force: bool,
) -> None:
    """Show what changed from model A to model B: layers, connections, wrappers, sparsity and
    weights.

    \b
        graphprune diff model.keras sparse.keras
        graphprune diff model.keras sparse.keras -o diff.html

    Calls of a shared layer count from 1; in JSON from 0, as Keras's node indices do.
    With --detailed-exitcode the exit code is 2 where the models differ.
    """  # noqa: D301 - click wants the real character
    check_report_free(
        output, force=force, inputs=[left, right], format_=format_, known=tuple(DRAWING_SUFFIXES)
    )
    before, after = open_model(left), open_model(right)
    kind = choose_drawing_format(format_, output)
    difference = diff_models(before, after, measure_gzip=kind == "text")
    if kind in ("html", "svg"):
        print_report(_draw(before, after, difference, kind), output)
    else:
        print_report(
            _render(difference, kind, show_all=show_all, brief=brief, width=terminal_width(output)),
            output,
            paint_marks if kind == "text" else str,
            wraps=kind == "text",
        )
    if detailed_exitcode and not difference.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERENT)


def _render(
    difference: GraphDiff, kind: str, *, show_all: bool, brief: bool, width: int | None
) -> str:
    if kind == "json":
        return to_json(graph_diff_to_config(difference))
    if kind == "github":
        return report.render_diff_github(difference, show_all=show_all, brief=brief)
    return report.render_diff_text(difference, show_all=show_all, brief=brief, width=width)


def _draw(before: ModelFile, after: ModelFile, difference: GraphDiff, kind: str) -> str:
    if kind == "svg":
        return report.render_diff_svg(before.graph, after.graph, difference)
    return report.render_diff_html(before.graph, after.graph, difference, after.metrics)
