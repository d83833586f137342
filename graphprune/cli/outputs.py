"""Where reports and results go: to the terminal, or whole into a file that was free or that the user allowed to overwrite."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from graphprune.errors import Diagnostic, OutputError
from graphprune.files import write_whole
from graphprune.report import render_diagnostics


def check_output_free(path: str | Path, *, force: bool) -> None:
    """Refuse a path that exists, unless `force`; called before any work is done.

    Raises:
        OutputError: something stands at `path`, or a file stands where one of its folders should be.
    """
    target = Path(path)
    if os.path.lexists(target) and not force:
        raise OutputError(f"{target}: exists already; give another name, or --force to overwrite it")
    for parent in target.parents:
        if os.path.lexists(parent) and not parent.is_dir():
            raise OutputError(f"{target}: {parent} is a file, not a folder; give another name")


def choose_format(format_: str | None, output: str | None) -> str:
    """Return `text` or `json`: what was asked for, else what the name of the output file says."""
    return format_ or ("json" if output and output.endswith(".json") else "text")


def to_json(config: Any) -> str:
    """Return `config` as indented JSON with a newline at the end; the same value gives the same bytes."""
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def print_report(text: str, output: str | None, *, force: bool) -> None:
    """Print a report, or write it to `output`."""
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    check_output_free(output, force=force)
    target = Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, (text if text.endswith("\n") else text + "\n").encode())
    click.echo(f"wrote {output}", err=True)


def print_warnings(diagnostics: Iterable[Diagnostic]) -> None:
    """Print warnings and notes to stderr, where they do not mix with the report."""
    found = tuple(diagnostics)
    if found:
        click.echo(render_diagnostics(found), err=True)


def terminal_width() -> int:
    """Return the width to lay tables out for: the terminal's, or 120 columns in a pipe."""
    return shutil.get_terminal_size((120, 40)).columns
