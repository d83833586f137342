"""Faults and warnings as text, as JSON and as annotations on GitHub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic, FindLine, Where, count_severity, no_line
from graphprune.diagnostics.terminal_text import PaintPart, escape_controls, plain

_SEVERITIES = ("error", "warning", "note")
_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}
"""What GitHub calls each severity."""


def render_diagnostics(
    diagnostics: Iterable[Diagnostic], find_line: FindLine = no_line, paint: PaintPart = plain
) -> str:
    """Return every diagnostic with its slug, cause, places and help, with an empty line between
    two; control characters are escaped.

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
    """Return one workflow command a diagnostic, which GitHub Actions shows beside the line of the
    file.

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
