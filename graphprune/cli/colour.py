"""Colour for reports on a terminal: the same text, with marks and severities painted. Files and
pipes get none.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping

import click

from graphprune.diagnostics.terminal_text import Part

Paint = Callable[[str], str]

_MARKS = {
    "+": "green",
    "-": "red",
    "~": "yellow",
    "-/+": "yellow",
    "!": "yellow",
    "=": "blue",
    ">": "blue",
    "w": "magenta",
    "u": "magenta",
    "?": "bright_black",
}
_MARKED = re.compile(r"^  (-/\+|[-+~!=>wu?])( +\S+)", re.MULTILINE)
_PARTS: Mapping[Part, str] = {
    "error": "red",
    "warning": "yellow",
    "note": "cyan",
    "place": "blue",
    "caret": "red",
    "help": "cyan",
}
_BOLD = ("error", "warning", "note")


def is_colourful(*, err: bool = False) -> bool:
    """Return whether stdout, or stderr, takes colour, as Rich judges it: a terminal that is not
    dumb, NO_COLOR and FORCE_COLOR honoured.
    """
    stream = sys.stderr if err else sys.stdout
    if os.environ.get("NO_COLOR") or not (stream.isatty() or os.environ.get("FORCE_COLOR")):
        return False
    console = importlib.import_module("rich.console").Console(file=stream)
    return console.color_system is not None and not console.no_color


def paint_marks(text: str) -> str:
    r"""Return a plan, a diff or a verification with the marks and names of its lines painted.

    Example:
        >>> paint_marks("  + fc1   Dense\n    fc2   Dense")
        '  \x1b[32m+ fc1\x1b[0m   Dense\n    fc2   Dense'
    """
    return _MARKED.sub(
        lambda found: "  " + click.style(found[1] + found[2], fg=_MARKS[found[1]]), text
    )


def paint_part(part: Part, text: str) -> str:
    r"""Return a part of a diagnostic in its colour.

    Example:
        >>> paint_part("note", "note[rule/same]"), paint_part("help", "  help:")
        ('\x1b[36m\x1b[1mnote[rule/same]\x1b[0m', '\x1b[36m  help:\x1b[0m')
    """
    return click.style(text, fg=_PARTS[part], bold=True if part in _BOLD else None)


def echo(text: str, paint: Paint = str, *, err: bool = False, nl: bool = True) -> None:
    """Print text to stdout, or stderr, painted where that takes colour."""
    if is_colourful(err=err):
        click.echo(paint(text), err=err, nl=nl, color=True)
    else:
        click.echo(text, err=err, nl=nl)
