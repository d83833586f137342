"""Faults and warnings as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from graphprune.errors import Diagnostic
from graphprune.plan.diagnostic_json import diagnostic_to_config
from graphprune.report.tables import escape_controls

_SEVERITIES = ("error", "warning", "note")


def render_diagnostics(diagnostics: Iterable[Diagnostic]) -> str:
    """Return every diagnostic as its slug, cause, places and help, with an empty line between two; control characters are escaped.

    Example:
        >>> print(render_diagnostics([Diagnostic("rule/no-match", "rule 'a' matches no layer", severity="warning")]))
        warning[rule/no-match]: rule 'a' matches no layer
    """
    return "\n\n".join("\n".join(escape_controls(line) for line in str(diagnostic).split("\n")) for diagnostic in diagnostics)


def diagnostics_to_config(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """Return the diagnostics as one JSON document, in their order."""
    return {
        "format_version": "1.0",
        "kind": "graphprune.diagnostics",
        "diagnostics": [diagnostic_to_config(diagnostic) for diagnostic in diagnostics],
        "summary": {severity: sum(diagnostic.severity == severity for diagnostic in diagnostics) for severity in _SEVERITIES},
    }
