"""Colour for reports on a terminal: the same text, with marks and severities painted. Files and
pipes get none.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable

import click

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
_SEVERITIES = {"error": "red", "warning": "yellow", "note": "cyan"}
_HEAD = re.compile(r"^(error|warning|note)\[[a-z/-]+\]", re.MULTILINE)
_PLACE = re.compile(r"^  -->", re.MULTILINE)
_CARET = re.compile(r"(?<=\| )( *\^)$", re.MULTILINE)
_HELP = re.compile(r"^  help:", re.MULTILINE)


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


def paint_diagnostics(text: str) -> str:
    r"""Return diagnostics with their severities, places, carets and help painted.

    Example:
        >>> paint_diagnostics("note[rule/same]: the same\n  help: merge them").split("\n")
        ['\x1b[36m\x1b[1mnote[rule/same]\x1b[0m: the same', '\x1b[36m  help:\x1b[0m merge them']
    """
    text = _HEAD.sub(lambda found: click.style(found[0], fg=_SEVERITIES[found[1]], bold=True), text)
    text = _CARET.sub(lambda found: click.style(found[0], fg="red"), text)
    text = _PLACE.sub(lambda found: click.style(found[0], fg="blue"), text)
    return _HELP.sub(lambda found: click.style(found[0], fg="cyan"), text)


def echo(text: str, paint: Paint, *, err: bool = False, nl: bool = True) -> None:
    """Print text to stdout, or stderr, painted where that takes colour."""
    if is_colourful(err=err):
        click.echo(paint(text), err=err, nl=nl, color=True)
    else:
        click.echo(text, err=err, nl=nl)
