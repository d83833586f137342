"""Targets as text and as JSON data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from graphprune.report.tables import align_rows, render_lines, to_lines
from graphprune.targets.target import Target

FORMAT_VERSION = "1.0"
KIND = "graphprune.targets"


def targets_to_config(targets: Sequence[Target]) -> dict[str, Any]:
    """Return targets as JSON data; a use also has its zeros and its layers in words."""
    return {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "targets": [_to_config(target) for target in targets],
    }


def _to_config(target: Target) -> dict[str, Any]:
    uses = [
        {**asdict(use), "zeros_text": str(use.zeros), "layers_text": use.where}
        for use in target.uses
    ]
    return {**asdict(target), "uses": uses}


def render_targets(targets: Sequence[Target], width: int | None = None) -> str:
    """Return a table with a line for each use of zeros."""
    rows = [("target", "gain", "layers", "zeros", "tried")]
    for target in targets:
        tried = ", ".join(trial.version for trial in target.trials if trial.version) or "not tried"
        for index, use in enumerate(target.uses):
            name, trial = (target.name, tried) if index == 0 else ("", "")
            rows.append((name, use.gain, use.where, str(use.zeros), trial))
    end = "graphprune targets NAME shows one with its sources and figures."
    return render_lines(to_lines("\n".join([*align_rows(rows), "", end])), width)


def render_target(target: Target, width: int | None = None) -> str:
    """Return all that is known of a target."""
    return render_lines(to_lines("\n".join(_lines(target))), width)


def _lines(target: Target) -> Iterator[str]:
    yield f"{target.name}: {target.title}"
    yield ""
    for use in target.uses:
        yield f"  {use.gain}: {use.where}, {use.zeros}"
        yield f"    {use.how}"
    yield from (f"  no gain: {note}" for note in target.notes)
    if target.rules:
        yield f"  rules: {', '.join(f'builtin:{name}' for name in target.rules)}"
    yield ""
    yield from (f"  {'tried with ' if trial.version else ''}{trial}" for trial in target.trials)
    yield from (f"  source: {source}" for source in target.sources)
