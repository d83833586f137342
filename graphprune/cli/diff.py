"""`graphprune diff`: what changed between two models."""

from __future__ import annotations

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import all_option, brief_option, exitcode_option, force_option, format_option, report_option
from graphprune.cli.outputs import check_report_free, choose_format, print_report, to_json
from graphprune.diff import graph_diff_to_config
from graphprune.diff.archive_weights import diff_models
from graphprune.errors import EXIT_DIFFERENT
from graphprune.report import render_diff_text


@click.command("diff")
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@format_option
@report_option
@all_option
@brief_option
@exitcode_option
@force_option
def command(left: str, right: str, format_: str | None, output: str | None, show_all: bool, brief: bool, detailed_exitcode: bool, force: bool) -> None:
    """Show what changed from model A to model B: layers, connections, wrappers, sparsity and weights."""
    check_report_free(output, force=force, inputs=[left, right])
    difference = diff_models(open_model(left), open_model(right))
    if choose_format(format_, output) == "json":
        print_report(to_json(graph_diff_to_config(difference)), output)
    else:
        print_report(render_diff_text(difference, show_all=show_all, brief=brief), output)
    if detailed_exitcode and not difference.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERENT)
