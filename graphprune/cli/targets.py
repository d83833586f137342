"""`graphprune targets`: what can use which zeros."""

from __future__ import annotations

import click

from graphprune.cli.options import format_option
from graphprune.cli.outputs import print_report, terminal_width
from graphprune.documents import to_json
from graphprune.report.targets import render_target, render_targets, targets_to_config
from graphprune.targets.profiles import TARGETS, find_target


@click.command("targets")
@click.argument("name", required=False)
@format_option
def command(name: str | None, format_: str | None) -> None:
    """List the runtimes, compilers and processors that can use zeros, or show the one called NAME.

    Each has the layers and patterns of zeros that it uses, what they bring, figures of its real
    compiler or runtime where it was tried, and sources.

    \b
        graphprune targets
        graphprune targets ethos-u85
        graphprune plan model.keras -r prune.yaml --target litert-xnnpack-x86
    """  # noqa: D301 - click wants the real character
    chosen = TARGETS if name is None else (find_target(name),)
    if format_ == "json":
        text = to_json(targets_to_config(chosen))
    elif name is None:
        text = render_targets(chosen, terminal_width())
    else:
        text = render_target(chosen[0], terminal_width())
    print_report(text, None)
