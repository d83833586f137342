"""Where reports and results go, and the colour of reports on a terminal.

A file is written whole, to a free name or to one that the user allowed to overwrite. Files and
pipes get no colour.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import click

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.diagnostics.renderings import SourceLines, render_diagnostics
from graphprune.diagnostics.terminal_text import Part, plain
from graphprune.documents import encodable
from graphprune.errors import OUTPUT_EXISTS, OutputError
from graphprune.files import write_whole
from graphprune.report.tables import wrap_lines
from graphprune.rules.text.files import find_source
from graphprune.shown import SUFFIXES

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


MODEL_SUFFIXES = (".keras", ".h5", ".hdf5", ".tflite")
REPORT_SUFFIXES: Mapping[str, str] = {".txt": "text", ".json": "json"}
DRAWING_SUFFIXES: Mapping[str, str] = {
    suffix: kind for suffix, kind in SUFFIXES.items() if kind != "dot"
}
"""The format that the end of a file's name says, of reports and of those that are drawn too."""


def check_output_free(path: str | Path, *, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a path that exists, unless `force`; even then, devices, pipes and what the command
    itself reads. Called before any work is done.

    Raises:
        OutputError: something stands at `path` that may not be overwritten, or a file stands where
            one of its folders should be.
    """
    target = Path(path)
    if not str(path):
        raise OutputError("the name of the output is empty; give one")
    if os.path.lexists(target) and not force:
        raise OutputError(
            f"{target}: exists already; give another name, or --force to overwrite it",
            OUTPUT_EXISTS,
        )
    if os.path.lexists(target) and not (target.is_file() or target.is_dir()):
        raise OutputError(
            f"{target}: is neither a file nor a folder, so it is not overwritten; give another name"
        )
    if any(is_same_file(target, Path(source)) for source in inputs):
        raise OutputError(
            f"{target}: is what this command reads, so it is not overwritten; give another name"
        )
    for parent in target.parents:
        if os.path.lexists(parent) and not parent.is_dir():
            raise OutputError(f"{target}: {parent} is a file, not a folder; give another name")


def check_outputs_free(
    paths: Sequence[str], *, force: bool, inputs: Iterable[str | Path] = ()
) -> None:
    """Refuse outputs as `check_output_free` does, and two of one name.

    Raises:
        OutputError: something stands where an output goes that may not be overwritten.
    """
    if len({str(Path(path).absolute()) for path in paths}) < len(paths):
        raise click.UsageError("two outputs have the same name")
    known = list(inputs)
    for path in paths:
        check_output_free(path, force=force, inputs=known)


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file or folder that exists."""
    return one.exists() and other.exists() and one.samefile(other)


def check_report_free(
    path: str | None,
    *,
    force: bool,
    inputs: Iterable[str | Path] = (),
    format_: str | None = None,
    known: Iterable[str] = tuple(REPORT_SUFFIXES),
) -> None:
    """Refuse a place for a report as `check_output_free` does, and the name of a model or a folder
    besides; None is the terminal.

    Without a `format_` that was asked for, a name must end in a suffix that is `known`, or have
    none, which means text.

    Raises:
        OutputError: the report may not be written there.
    """
    if path is None:
        return
    check_output_free(path, force=force, inputs=inputs)
    if Path(path).is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if Path(path).suffix in MODEL_SUFFIXES:
        raise OutputError(
            f"{path}: is the name of a model, and this writes a report; give a name such as"
            f" {Path(path).stem}.txt or {Path(path).stem}.json"
        )
    suffix = Path(path).suffix.lower()
    if suffix and format_ is None and suffix not in known:
        raise OutputError(
            f"{path}: no report has the suffix {suffix}; known are {', '.join(known)}"
        )


def choose_format(format_: str | None, output: str | None) -> str:
    """Return `text` or `json`: what was asked for, else what the name of the output file says."""
    return format_ or REPORT_SUFFIXES.get(Path(output or "").suffix.lower(), "text")


def choose_drawing_format(format_: str | None, output: str | None) -> str:
    """Return `text`, `json`, `github`, `html` or `svg`: what was asked for, else what the name of
    the output file says.
    """
    return format_ or DRAWING_SUFFIXES.get(Path(output or "").suffix.lower(), "text")


def print_report(text: str, output: str | None, paint: Paint = str, *, wraps: bool = False) -> None:
    """Print a report, painted where stdout takes colour, or write it whole to `output`, which
    `check_report_free` has found free.

    Args:
        text: The report.
        output: The file to write; None is the terminal.
        paint: Adds colour.
        wraps: Whether lines that are longer than the terminal is wide are broken.

    Raises:
        WriteError: the file cannot be written.
    """
    text = encodable(text)
    width = terminal_width(output) if wraps else None
    if width is not None:
        text = wrap_lines(text, width)
    if output is None:
        echo(text, paint, nl=not text.endswith("\n"))
        return
    write_whole(Path(output), (text if text.endswith("\n") else text + "\n").encode())
    click.echo(f"wrote {output}", err=True)


def print_warnings(diagnostics: Iterable[Diagnostic], rules: Collection[str] = ()) -> None:
    """Print warnings and notes to stderr, where they do not mix with the report; of the files in
    `rules`, with the line that each is about.
    """
    found = tuple(diagnostics)
    if found:
        echo(render_with_lines(found, rules, is_painted=is_colourful(err=True)), err=True)


def print_faults(diagnostics: Iterable[Diagnostic]) -> None:
    """Print the diagnostics that end a command to stderr, each with the line that it is about."""
    echo(render_with_lines(diagnostics, is_painted=is_colourful(err=True)), err=True)


def render_with_lines(
    diagnostics: Iterable[Diagnostic],
    rules: Collection[str] | None = None,
    *,
    is_painted: bool = False,
) -> str:
    """Return diagnostics as text, painted or not, with the lines that they are about: of the files
    in `rules`, or of any.

    A plan from somewhere else may name any file as the place of a warning; what the user did not
    name is not read.
    """
    find_line = SourceLines(find_source, rules).find
    return render_diagnostics(diagnostics, find_line, paint_part if is_painted else plain)


def terminal_width(output: str | None = None) -> int | None:
    """Return the width to lay tables out for: the terminal's; None, for all that a table needs, in
    a pipe and for a report that goes to the file `output`.
    """
    return shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None
