"""Faults with slugs, in the form that a command's report was asked for in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from graphprune import report
from graphprune.cli.outputs import to_json
from graphprune.errors import Diagnostic, GraphpruneError


@contextmanager
def faults_in_format(format_: str | None) -> Iterator[None]:
    """Where rules have faults or a plan is stale, print the document of `lint` to stdout in place of the report, and stop with the fault's exit code.

    Only for `--format json` and `github`, which scripts read; otherwise the text on stderr is what the user wants. A file named by `-o` is not written: whoever
    reads it next would take the faults for the report.
    """
    try:
        yield
    except GraphpruneError as fault:
        if not fault.diagnostics or format_ not in ("json", "github"):
            raise
        click.echo(render_document(fault.diagnostics, format_), nl=False)
        raise click.exceptions.Exit(fault.exit_code) from fault


def render_document(diagnostics: Sequence[Diagnostic], format_: str) -> str:
    """Return diagnostics as one JSON document, or as workflow commands of GitHub, one a line; "" where there is none to annotate."""
    if format_ == "json":
        return to_json(report.diagnostics_to_config(diagnostics))
    annotations = report.render_annotations(diagnostics)
    return f"{annotations}\n" if annotations else ""
