"""Where reports and results go, and the colour of reports on a terminal.

A file is written whole, to a free name or to one that the user allowed to overwrite. Files and
pipes get no colour.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphprune.archive.files import check_export_suffix
from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.diagnostics.renderings import SourceLines, render_diagnostics
from graphprune.diagnostics.terminal_text import Paint, plain
from graphprune.documents import encodable
from graphprune.errors import OUTPUT_EXISTS, OutputError
from graphprune.files import write_whole
from graphprune.report.rendering import View
from graphprune.rules.text.files import find_source
from graphprune.serving.convert import check_onnx
from graphprune.shown import SUFFIXES

if TYPE_CHECKING:
    from graphprune.graph import ModelFile

_COLOURS: Mapping[str, str] = {
    "error": "red",
    "warning": "yellow",
    "note": "cyan",
    "place": "blue",
    "caret": "red",
    "help": "cyan",
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
"""The colour of each kind of text: parts of a diagnostic, then the signs of a report's lines."""
_BOLD = ("error", "warning", "note")


def is_colourful(*, err: bool = False) -> bool:
    """Return whether stdout, or stderr, takes colour.

    That is a terminal that is not dumb, or any output with FORCE_COLOR; NO_COLOR turns colour off.
    """
    if os.environ.get("NO_COLOR") or is_dumb():
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stderr if err else sys.stdout).isatty()


def is_dumb() -> bool:
    """Return whether TERM says that the terminal has no colour and cannot move its cursor."""
    return os.environ.get("TERM", "").lower() in ("dumb", "unknown")


def paint(kind: str, text: str) -> str:
    r"""Return a text in the colour of its kind.

    Example:
        >>> paint("note", "note[rule/same]"), paint("+", "+ fc1"), paint(".", ". fc1")
        ('\x1b[36m\x1b[1mnote[rule/same]\x1b[0m', '\x1b[32m+ fc1\x1b[0m', '. fc1')
    """
    if kind not in _COLOURS:
        return text
    return click.style(text, fg=_COLOURS[kind], bold=True if kind in _BOLD else None)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text on stdout or stderr, without its colour where the output takes none."""
    click.echo(text, err=err, nl=nl, color=is_colourful(err=err))


MODEL_SUFFIXES = (".keras", ".h5", ".hdf5", ".tflite", ".onnx")
REPORT_SUFFIXES: Mapping[str, str] = {".txt": "text", ".json": "json"}
DRAWING_SUFFIXES: Mapping[str, str] = {
    suffix: kind for suffix, kind in SUFFIXES.items() if kind != "dot"
}
"""The format of each suffix, of reports and of those that can be drawn too."""


def check_output_free(path: str | Path, *, force: bool, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a path that exists, unless `force`; called before any work is done.

    Devices, pipes and the inputs of the command are refused in any case.

    Raises:
        OutputError: something stands at `path` that may not be overwritten, or a file stands where
            one of its folders should be.
    """
    target = Path(path)
    if not str(path):
        raise OutputError("the output has no name; give one")
    if os.path.lexists(target) and not force:
        raise OutputError(
            "exists already; give another name, or --force to overwrite it",
            OUTPUT_EXISTS,
            place=target,
        )
    if os.path.lexists(target) and not (target.is_file() or target.is_dir()):
        raise OutputError(
            "is neither a file nor a folder, so it is not overwritten; give another name",
            place=target,
        )
    if any(is_same_file(target, Path(source)) for source in inputs):
        raise OutputError(
            "is an input of this command, so it is not overwritten; give another name", place=target
        )
    for parent in target.parents:
        if os.path.lexists(parent) and not parent.is_dir():
            raise OutputError(f"{parent} is a file, not a folder; give another name", place=target)


def check_outputs_free(
    paths: Sequence[str], *, force: bool, inputs: Iterable[str | Path] = ()
) -> None:
    """Refuse outputs as `check_output_free` does, and two with the same name.

    Raises:
        OutputError: something stands where an output goes that may not be overwritten.
    """
    if len({str(Path(path).absolute()) for path in paths}) < len(paths):
        raise click.UsageError("two outputs have the same name")
    known = list(inputs)
    for path in paths:
        check_output_free(path, force=force, inputs=known)


def check_exports(paths: Sequence[str]) -> None:
    """Refuse outputs of `strip` and `prune` that cannot be written on this machine.

    Raises:
        OutputError: a suffix names no format, or the packages for the format are not installed.
    """
    for path in paths:
        check_export_suffix(path)
        if Path(path).suffix == ".onnx":
            check_onnx()


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
    """Refuse a path for a report as `check_output_free` does, and model names and folders.

    None is the terminal.

    Without a `format_` that was asked for, a name must end in a suffix that is `known`, or have
    none, which means text.

    Raises:
        OutputError: the report may not be written there.
    """
    if path is None:
        return
    check_output_free(path, force=force, inputs=inputs)
    if Path(path).is_dir():
        raise OutputError("is a folder; name a file in it", place=path)
    if Path(path).suffix in MODEL_SUFFIXES:
        raise OutputError(
            f"is the name of a model, and the output is a report; use a name such as"
            f" {Path(path).stem}.txt or {Path(path).stem}.json",
            place=path,
        )
    suffix = Path(path).suffix.lower()
    if suffix and format_ is None and suffix not in known:
        raise OutputError(
            f"no report has the suffix {suffix}; known are {', '.join(known)}", place=path
        )


def choose_format(format_: str | None, output: str | None) -> str:
    """Return `text` or `json`: the format that was asked for, or that of the output's name."""
    return format_ or REPORT_SUFFIXES.get(Path(output or "").suffix.lower(), "text")


def choose_drawing_format(format_: str | None, output: str | None) -> str:
    """Return the format that was asked for, or that of the output's name: `text` by default."""
    return format_ or DRAWING_SUFFIXES.get(Path(output or "").suffix.lower(), "text")


def view_for(
    output: str | None,
    *,
    show_all: bool = False,
    brief: bool = False,
    measured: ModelFile | None = None,
) -> View:
    """Return the view of a report that goes to the file `output`, or to stdout without one."""
    painted: Paint = paint if output is None and is_colourful() else plain
    return View(show_all, brief, terminal_width(output), painted, measured)


def print_report(text: str, output: str | None) -> None:
    """Print a report, or write it whole to `output`, which `check_report_free` has found free.

    Raises:
        WriteError: the file cannot be written.
    """
    text = encodable(text)
    if output is None:
        echo(text, nl=not text.endswith("\n"))
        return
    write_whole(Path(output), (text if text.endswith("\n") else text + "\n").encode())
    click.echo(f"wrote {output}", err=True)


def print_warnings(diagnostics: Iterable[Diagnostic], rules: Collection[str] = ()) -> None:
    """Print warnings and notes on stderr; of the files in `rules`, with the line of each."""
    found = tuple(diagnostics)
    if found:
        echo(render_with_lines(found, rules, paint), err=True)


def print_faults(diagnostics: Iterable[Diagnostic]) -> None:
    """Print the diagnostics that end a command on stderr, each with the line that it is about."""
    echo(render_with_lines(diagnostics, None, paint), err=True)


def render_with_lines(
    diagnostics: Iterable[Diagnostic], rules: Collection[str] | None = None, paint: Paint = plain
) -> str:
    """Return diagnostics as text with the lines of the files in `rules`, or of any file.

    A plan from somewhere else may name any file as the place of a warning; a file that the user
    did not name is not read.
    """
    return render_diagnostics(diagnostics, SourceLines(find_source, rules).find, paint)


def terminal_width(output: str | None = None) -> int | None:
    """Return the columns of the terminal on stdout; None in a pipe, and for the file `output`."""
    return shutil.get_terminal_size().columns if output is None and sys.stdout.isatty() else None
