"""Training runs as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graphprune.report.numbers import format_share
from graphprune.report.sizes import find_accuracy
from graphprune.report.tables import align_rows, fit_rows, name_left_out
from graphprune.runs.run_options import RunOptions
from graphprune.runs.run_status import RunSummary
from graphprune.runs.setting_values import plain_value

HEADINGS = (
    *("run", "status", "step", "epochs", "batch", "optimizer", "rate", "seed", "loss"),
    *("accuracy", "sparsity", "rules", "data"),
)
_RIGHT = frozenset(range(2, 11)) - {5}
_SHORTENED = ((12, 12), (11, 12), (12, 0), (7, 0), (8, 0), (11, 0), (6, 0), (5, 0), (4, 0), (0, 16))
"""What gives way on a narrow terminal, in turn: the column, and how narrow it may become."""


def runs_to_config(runs: Sequence[RunSummary]) -> dict[str, Any]:
    """Return runs as one JSON document; null for what is not known."""
    return {
        "format_version": "1.0",
        "kind": "graphprune.runs",
        "runs": [_to_config(run) for run in runs],
    }


def _to_config(run: RunSummary) -> dict[str, Any]:
    settings = None if run.options is None else _settings(run.options)
    return {
        "run": str(run.folder),
        "status": run.status,
        "step": run.step,
        "steps": None if run.options is None else run.options.steps,
        "accuracy": find_accuracy(run.metrics),
        "sparsity": run.metrics.get("sparsity"),
        "metrics": dict(run.metrics),
        "missed": list(run.missed),
        "message": run.message,
        "settings": settings,
    }


def _settings(options: RunOptions) -> dict[str, Any]:
    compiling = options.compiling
    return {
        "model": options.model,
        "data": options.data,
        "epochs": options.epochs,
        "steps_per_epoch": options.steps_per_epoch,
        "batch_size": options.batch_size,
        "optimizer": compiling.optimizer,
        "learning_rate": compiling.learning_rate,
        "loss": compiling.loss,
        "metrics": plain_value(compiling.metrics, None),
        "mixed_precision": compiling.mixed_precision,
        "seed": options.seed,
        "strategy": options.strategy,
        "rules": [path for path, _ in options.rules],
        "plan_sha256": options.plan_sha256,
        "keras": options.keras,
        "backend": options.backend,
        "run_id": options.run_id,
        "version": options.version,
    }


def render_runs(runs: Sequence[RunSummary], width: int | None) -> str:
    """Return the runs as a table of `width` columns at most, then why runs failed or missed.

    Settings that no run has take no column.
    """
    rows = [HEADINGS, *map(_row, runs)]
    rows = [
        tuple(cell if _is_used(rows, column) else "" for column, cell in enumerate(row))
        for row in rows
    ]
    fitted = rows if width is None else fit_rows(rows, width, _SHORTENED, {0, 11, 12}, _lay_out)
    told = name_left_out(rows, fitted, dict(enumerate(HEADINGS)))
    notes = [note for run in runs for note in _notes(run)]
    blocks = ["\n".join(_lay_out(fitted)), told, "\n".join(notes)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _is_used(rows: Sequence[tuple[str, ...]], column: int) -> bool:
    return any(row[column] for row in rows[1:])


def _lay_out(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return align_rows(rows, right=_RIGHT)


def _notes(run: RunSummary) -> list[str]:
    if run.missed:
        return [f"{run.folder}: target missed by {', '.join(run.missed)}"]
    first, *_ = [*run.message.splitlines(), ""]
    message = first.removeprefix(f"{run.folder}: ")
    return [f"{run.folder}: {message}"] if message else []


def _row(run: RunSummary) -> tuple[str, ...]:
    options, loss = run.options, run.metrics.get("loss")
    measured = (
        _text(loss, "{:.4f}".format),
        _text(find_accuracy(run.metrics), format_share),
        _text(run.metrics.get("sparsity"), format_share),
    )
    if options is None:
        return (str(run.folder), run.status, "", "", "", "", "", "", *measured, "", "")
    compiling = options.compiling
    return (
        str(run.folder),
        run.status,
        f"{run.step}/{options.steps}",
        str(options.epochs),
        _text(options.batch_size, str),
        compiling.optimizer_name,
        compiling.rate_name,
        str(options.seed),
        *measured,
        ", ".join(Path(path).name for path, _ in options.rules),
        Path(options.data).name if Path(options.data).is_absolute() else options.data,
    )


def _text(value: Any, render: Callable[[Any], str]) -> str:
    return "" if value is None else render(value)
