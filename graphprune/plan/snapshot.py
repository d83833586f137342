"""Plans as rule tests keep them: what is decided, without paths, versions, hashes and lines, so
that a snapshot changes only when the plan does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.plan.changes import Plan
from graphprune.plan.to_document import plan_to_config

_ELSEWHERE = ("format_version", "kind", "tool", "rules", "diagnostics")


def snapshot_of(plan: Plan) -> dict[str, Any]:
    """Return what `plan` decides, as JSON data."""
    config = {key: value for key, value in plan_to_config(plan).items() if key not in _ELSEWHERE}
    config["model"] = {
        key: value
        for key, value in config["model"].items()
        if key != "path" and not key.endswith("sha256")
    }
    config["layer_changes"] = [
        change | {"rule": change["rule"] and {"id": change["rule"]["id"]}}
        for change in config["layer_changes"]
    ]
    return config | {"diagnostics": _diagnostics(plan.diagnostics)}


def snapshot_of_faults(faults: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return the snapshot of a plan that could not be made."""
    return {"diagnostics": _diagnostics(faults)}


def _diagnostics(diagnostics: Iterable[Diagnostic]) -> list[dict[str, str]]:
    return [
        {"slug": found.slug, "severity": found.severity, "message": found.message}
        for found in diagnostics
    ]
