"""`graphprune runs`: training runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from graphprune.cli.options import format_option
from graphprune.cli.outputs import print_report, terminal_width
from graphprune.documents import to_json
from graphprune.report.runs import render_runs, runs_to_config
from graphprune.runs.run_status import find_runs, summarize_run


@click.command("runs")
@click.argument("folder", metavar="DIR", default="runs")
@format_option
def command(folder: str, format_: str | None) -> None:
    """List the training runs in DIR, which is runs by default, or the run that DIR is.

    Each has its settings, its accuracy on validation data, its sparsity, and a
    status: running, finished, missed (finished, and a tensor missed its target), interrupted
    (graphprune resume continues it) or failed. Nothing is changed.

    \b
        graphprune runs
        graphprune runs experiments --format json
    """  # noqa: D301 - click wants the real character
    found = [summarize_run(path) for path in find_runs(Path(folder))]
    if format_ == "json":
        print_report(to_json(runs_to_config(found)), None)
    elif found:
        print_report(render_runs(found, terminal_width()), None)
    else:
        click.echo(f"{folder}: no training run in it")
