"""Cause and place of an error raised by TensorFlow or by the user's own code."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import graphprune

_FRAME = re.compile(r'File "([^"\n]+)", line (\d{1,9})(?:, in (\w+))?')
_INSTALLED = {"site-packages", "dist-packages"}
_LIBRARY = Path(sysconfig.get_path("stdlib"))
_OURS = Path(graphprune.__file__).parent
_GENERATED = "__autograph_generated_file"
"""The start of the names of files with functions that TensorFlow has rewritten."""
_LONGEST = 160
_ARGUMENTS = re.compile(r"\n\s*\n\s*(?:Call a|A)rguments received by")
"""The start of the list of call arguments that tf_keras and Keras 3 append to a layer's error."""
_EMPHASISED = re.compile(r"\x1b\[1m(.*?)\x1b\[0m", re.DOTALL)
"""What Keras 3 says in an error of a layer, in bold letters of a terminal."""


@dataclass(frozen=True, slots=True)
class OwnLine:
    """A line of the user's own code that an error passed.

    Attributes:
        file, line: Where it is.
        function: The qualified name of its function, or the plain one where only that is known.
    """

    file: Path
    line: int
    function: str

    @property
    def place(self) -> str:
        """`FILE:LINE`, relative to the working directory where the file is in it."""
        is_near = self.file.is_relative_to(Path.cwd())
        return f"{self.file.relative_to(Path.cwd()) if is_near else self.file}:{self.line}"


def explain_fault(fault: BaseException) -> str:
    """Return the line of a Keras or TensorFlow error that says what is wrong.

    It is the last line without graph node names. If a Python function of a dataset failed, its
    file and line are added, taken from the traceback in TensorFlow's message.
    """
    text, told = said_by(fault), told_lines(fault)
    return f"{text} ({told[-1].place})" if told else text


def said_by(fault: BaseException) -> str:
    """Return the same line, without file and line."""
    message = str(getattr(fault, "message", fault))
    emphasised = _EMPHASISED.search(message)
    if emphasised is not None:
        message = " ".join(emphasised[1].split())
    lines = [line.strip() for line in _ARGUMENTS.split(message)[0].splitlines()]
    said = [line for line in lines if line and not line.startswith("[[")]
    text = said[-1] if said else type(fault).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def find_place(fault: BaseException) -> str:
    """Return `FILE:LINE` of the user's own code where a failure was raised.

    It is the innermost line outside installed packages; empty if there is none.
    """
    lines = raised_lines(fault)
    if isinstance(fault, SyntaxError) and fault.filename and _is_own(Path(fault.filename)):
        lines.append(OwnLine(Path(fault.filename), fault.lineno or 1, ""))
    return lines[-1].place if lines else ""


def raised_lines(fault: BaseException) -> list[OwnLine]:
    """Return the lines of the user's own code in a traceback, the innermost last."""
    return [
        OwnLine(Path(frame.f_code.co_filename), line or 1, frame.f_code.co_qualname)
        for frame, line in traceback.walk_tb(fault.__traceback__)
        if _is_own(Path(frame.f_code.co_filename))
    ]


def told_lines(fault: BaseException) -> list[OwnLine]:
    """Return the lines of the user's own code that an error's text names.

    TensorFlow writes tracebacks of Python functions in its graphs into the text.
    """
    message = str(getattr(fault, "message", fault))
    found = [(Path(file), int(line), name) for file, line, name in _FRAME.findall(message)]
    return [OwnLine(*one) for one in found if _is_own(one[0])]


def render_own_traceback(fault: BaseException) -> str:
    """Return the traceback of the user's own code that an error comes from; empty without any.

    Lines of Python, Keras and graphprune are left out.

    Args:
        fault: An error of graphprune; its causes are looked at.
    """
    for cause in _causes(fault):
        raised, told = raised_lines(cause), told_lines(cause)
        if raised or told:
            frames = [(str(one.file), one.line, one.function, None) for one in raised or told]
            said = traceback.format_exception_only(cause) if raised else [f"{said_by(cause)}\n"]
            shown = [*traceback.StackSummary.from_list(frames).format(), *said]
            return "".join(["Traceback (most recent call last):\n", *shown]).removesuffix("\n")
    return ""


def _causes(fault: BaseException) -> Iterator[BaseException]:
    cause = fault.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_own(file: Path) -> bool:
    """Return whether a file is the user's, not part of Python, graphprune or another package."""
    return (
        not _INSTALLED & set(file.parts)
        and not file.name.startswith(_GENERATED)
        and not file.is_relative_to(_LIBRARY)
        and not file.is_relative_to(_OURS)
        and file.is_file()
    )
