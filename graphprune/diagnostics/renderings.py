"""Diagnostics as text with the source lines that they are about, as JSON, and for GitHub."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic, FindLine, Where, count_severity, no_line
from graphprune.diagnostics.terminal_text import Paint, escape_controls, plain

_SEVERITIES = ("error", "warning", "note")
_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}
"""What GitHub calls each severity."""


def render_diagnostics(
    diagnostics: Iterable[Diagnostic], find_line: FindLine = no_line, paint: Paint = plain
) -> str:
    """Return all diagnostics as text, with an empty line between two.

    Control characters are escaped.

    Under each place stands its line, as far as `find_line` returns it, with a caret; `paint` adds
    colour.

    Example:
        >>> print(
        ...     render_diagnostics(
        ...         [
        ...             Diagnostic(
        ...                 "key/unknown",
        ...                 "unknown key 'typ'",
        ...                 Where("a.yaml", 4, 3),
        ...                 "closest: 'type'",
        ...             )
        ...         ],
        ...         lambda where: "  typ: Dense",
        ...     )
        ... )
        error[key/unknown]: unknown key 'typ'
          --> a.yaml:4:3
            4 |   typ: Dense
              |   ^
          help: closest: 'type'
    """
    return "\n\n".join("\n".join(found.to_lines(find_line, paint)) for found in diagnostics)


def diagnostics_to_config(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """Return the diagnostics as one JSON document, in their order."""
    return {
        "format_version": "1.0",
        "kind": "graphprune.diagnostics",
        "diagnostics": [diagnostic.to_config() for diagnostic in diagnostics],
        "summary": {severity: count_severity(diagnostics, severity) for severity in _SEVERITIES},
    }


def render_annotations(diagnostics: Iterable[Diagnostic]) -> str:
    """Return one GitHub workflow command a diagnostic, which GitHub shows beside the line.

    Escaped as GitHub's runner reads it (actions/toolkit, packages/core/src/command.ts): `%` and
    line ends everywhere, `:` and `,` in properties too.

    Example:
        >>> print(
        ...     render_annotations(
        ...         [
        ...             Diagnostic(
        ...                 "rule/count", "wanted 3, got 2", Where("a.yaml", 4, 3), "nearest: 'fc1'"
        ...             )
        ...         ]
        ...     )
        ... )
        ::error file=a.yaml,line=4,col=3,title=rule/count::wanted 3, got 2%0Ahelp: nearest: 'fc1'
    """
    return "\n".join(_annotation(diagnostic) for diagnostic in diagnostics)


def _annotation(diagnostic: Diagnostic) -> str:
    where = diagnostic.where or (diagnostic.related[0][0] if diagnostic.related else Where(""))
    properties = {
        "file": where.file or None,
        "line": where.line,
        "col": where.column,
        "title": diagnostic.slug,
    }
    texts = [
        diagnostic.message,
        *(f"{place}   {label}" for place, label in diagnostic.related),
        *([f"help: {diagnostic.help}"] if diagnostic.help else []),
    ]
    body = "\n".join(escape_controls(text) for text in texts)
    named = ",".join(
        f"{name}={_escape_property(str(value))}"
        for name, value in properties.items()
        if value is not None
    )
    return f"::{_LEVELS[diagnostic.severity]} {named}::{_escape_data(body)}"


def _escape_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(escape_controls(text)).replace(":", "%3A").replace(",", "%2C")


FindPath = Callable[[str], Path | None]
"""Returns the path of the file that a place names, or None."""

_MAX_BYTES = 1_000_000
_LINE_END = re.compile(r"\r\n|\n|\r")  # as the YAML reader counts lines


class SourceLines:
    """Reads lines of rule files; each file once.

    Only regular files are read: reading a pipe would block, and consume its content.
    """

    def __init__(self, find_path: FindPath, files: Collection[str] | None = None) -> None:
        """Read any file that a place names, or only these; `find_path` says where they are."""
        self.files = files
        self._read = lru_cache(partial(_read_lines, find_path))

    def find(self, where: Where) -> str | None:
        """Return the line at `where` without its end; None if there is no such file or line."""
        if where.line is None or (self.files is not None and where.file not in self.files):
            return None
        lines = self._read(where.file)
        return lines[where.line - 1] if 0 < where.line <= len(lines) else None


def _read_lines(find_path: FindPath, file: str) -> tuple[str, ...]:
    """Return the lines of a file; none if it is not readable, or too large for a rule file."""
    try:
        path = find_path(file)
        if path is None or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return ()
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return ()  # its fault was reported already
    return tuple(
        line.replace("\ufeff", "") for line in _LINE_END.split(text)
    )  # the YAML reader gives a byte order mark no column
