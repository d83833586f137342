"""Cause and place of an error raised by TensorFlow or by the user's own code."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path

import graphprune

_FRAME = re.compile(r'File "([^"\n]+)", line (\d{1,9})')
_INSTALLED = {"site-packages", "dist-packages"}
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_OURS = Path(graphprune.__file__).parent
_LONGEST = 160
_ARGUMENTS = re.compile(r"\n\s*\n\s*Call arguments received by")
"""The start of the list of call arguments that Keras appends to a layer's error."""


def explain_fault(fault: Exception) -> str:
    """Return the line of a Keras or TensorFlow error that says what is wrong.

    It is the last line without graph node names. If a Python function of a dataset failed, its
    file and line are added, taken from the traceback in TensorFlow's message.
    """
    message = str(getattr(fault, "message", fault))
    lines = [line.strip() for line in _ARGUMENTS.split(message)[0].splitlines()]
    said = [line for line in lines if line and not line.startswith("[[")]
    text = said[-1] if said else type(fault).__name__
    place = _render_place([(file, int(line)) for file, line in _FRAME.findall(message)])
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return f"{text} ({place})" if place else text


def find_place(fault: BaseException) -> str:
    """Return `FILE:LINE` of the user's own code where a failure was raised.

    It is the innermost line outside installed packages; empty if there is none.
    """
    frames = [
        (frame.filename, frame.lineno or 1) for frame in traceback.extract_tb(fault.__traceback__)
    ]
    if isinstance(fault, SyntaxError) and fault.filename:
        frames.append((fault.filename, fault.lineno or 1))
    return _render_place(frames)


def _render_place(frames: list[tuple[str, int]]) -> str:
    own = [(Path(file), line) for file, line in frames if _is_own(Path(file))]
    if not own:
        return ""
    file, line = own[-1]
    return f"{file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}:{line}"


def _is_own(file: Path) -> bool:
    """Return whether a file is the user's, not part of Python, graphprune or another package."""
    return (
        not _INSTALLED & set(file.parts)
        and not file.is_relative_to(_LIBRARY)
        and not file.is_relative_to(_OURS)
        and file.is_file()
    )
