"""`graphprune layers`: the layers of a saved model as a table."""

from __future__ import annotations

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import force_option, format_option, report_option
from graphprune.cli.outputs import choose_format, print_report, terminal_width, to_json
from graphprune.report import layers_to_config, render_layers_text


@click.command("layers")
@click.argument("model")
@format_option
@report_option
@force_option
def command(model: str, format_: str | None, output: str | None, force: bool) -> None:
    """Show the layers of MODEL (.keras or .h5): type, weights, what can be pruned, sparsity, and which rule wrapped it."""
    saved = open_model(model)
    if choose_format(format_, output) == "json":
        print_report(to_json(layers_to_config(saved.graph, saved.zeros, path=model)), output, force=force)
    else:
        print_report(render_layers_text(saved.graph, saved.zeros, width=terminal_width()), output, force=force)
