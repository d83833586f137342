"""`graphprune diff`: what changed between two models."""

from __future__ import annotations

import click

from graphprune.archive import Archive, read_archive
from graphprune.cli.inputs import find_model_file
from graphprune.cli.options import all_option, brief_option, drawing_format_option, drawing_report_option, exitcode_option, force_option
from graphprune.cli.outputs import check_report_free, choose_drawing_format, print_report, to_json
from graphprune.diff import GraphDiff, graph_diff_to_config
from graphprune.diff.archive_weights import diff_archives
from graphprune.errors import EXIT_DIFFERENT
from graphprune.graph import measure_tensors, read_graph
from graphprune.report import render_diff_github, render_diff_html, render_diff_svg, render_diff_text


@click.command("diff")
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@drawing_format_option
@drawing_report_option
@all_option
@brief_option
@exitcode_option
@force_option
def command(left: str, right: str, format_: str | None, output: str | None, show_all: bool, brief: bool, detailed_exitcode: bool, force: bool) -> None:
    """Show what changed from model A to model B: layers, connections, wrappers, sparsity and weights."""
    check_report_free(output, force=force, inputs=[left, right])
    before, after = read_archive(find_model_file(left)), read_archive(find_model_file(right))
    difference = diff_archives(before, after)
    kind = choose_drawing_format(format_, output)
    if kind in ("html", "svg"):
        print_report(_draw(before, after, difference, kind), output)
    else:
        print_report(_render(difference, kind, show_all=show_all, brief=brief), output)
    if detailed_exitcode and not difference.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERENT)


def _render(difference: GraphDiff, kind: str, *, show_all: bool, brief: bool) -> str:
    if kind == "json":
        return to_json(graph_diff_to_config(difference))
    if kind == "github":
        return render_diff_github(difference, show_all=show_all, brief=brief)
    return render_diff_text(difference, show_all=show_all, brief=brief)


def _draw(before: Archive, after: Archive, difference: GraphDiff, kind: str) -> str:
    left, right = read_graph(before), read_graph(after)
    if kind == "svg":
        return render_diff_svg(left, right, difference)
    return render_diff_html(left, right, difference, measure_tensors(after, right))
