"""`graphprune graph`: a saved model as a drawing, or as data."""

from __future__ import annotations

from pathlib import PurePath

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import Choice, force_option
from graphprune.cli.outputs import check_report_free, print_report, view_for
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.graph.inner_layers import describe_connections
from graphprune.report.rendering import render

FORMATS = ("json", "dot", "svg", "html")


@click.command("graph")
@click.argument("model")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write to FILE, in the format of its suffix: .json, .dot, .svg or .html.",
)
@click.option(
    "--format",
    "format_",
    type=Choice(FORMATS),
    help="Format of the output, in place of that of FILE's name.",
)
@force_option
def command(model: str, output: str | None, format_: str | None, force: bool) -> None:
    """Draw MODEL (.keras, .h5, a SavedModel folder or graph JSON), nested models included.

    \b
    .html  one page that needs no network: search, a panel for each layer, its weights' figures
    .svg   a drawing
    .dot   for Graphviz
    .json  the layer graph as data

    \b
        graphprune graph model.keras -o model.html
    """  # noqa: D301 - click wants the real character
    kind = choose_graph_format(format_, output)
    check_report_free(output, force=force, inputs=[model], format_=kind)
    saved = open_model(model)
    print_report(render(saved.graph, kind, view_for(output, measured=saved)), output)
    unconnected = describe_connections(saved.graph)
    if unconnected:
        click.echo(escape_controls(unconnected), err=True)


def choose_graph_format(format_: str | None, output: str | None) -> str:
    """Return the format that was asked for, or that of the output's name; else a usage error."""
    suffix = "" if output is None else PurePath(output).suffix.lower().removeprefix(".")
    if format_ is None and suffix not in FORMATS:
        got = "nothing" if output is None else repr(output)
        raise click.UsageError(
            "no format: name the file with -o g.json, g.dot, g.svg or g.html, or give --format;"
            f" got {got}"
        )
    return format_ or suffix
