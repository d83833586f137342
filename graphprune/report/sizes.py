"""The sizes of models before and after, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphprune.report.numbers import format_bytes, format_count, format_share
from graphprune.report.tables import align_rows


def find_accuracy(metrics: Mapping[str, Any]) -> float | None:
    """Return the accuracy on the test data among an epoch's metrics, or None.

    Example:
        >>> (
        ...     find_accuracy(
        ...         {"loss": 0.1, "accuracy": 1.0, "val_loss": 0.2, "val_accuracy": 0.98}
        ...     ),
        ...     find_accuracy({"accuracy": 1.0}),
        ... )
        (0.98, None)
    """
    return next(
        (
            float(value)
            for name, value in metrics.items()
            if name.startswith("val_") and "acc" in name and isinstance(value, int | float)
        ),
        None,
    )


@dataclass(frozen=True, slots=True)
class RejectedForm:
    """A better form that a model was not stored in, and why."""

    form: str
    reason: str


@dataclass(frozen=True, slots=True)
class SizeColumn:
    """One model, or one form of it.

    Attributes:
        title: What stands above (`before`, `after`, `tflite`).
        raw: Bytes of the file.
        gzip: Bytes of the file after gzip.
        zeros: Zeros among its weights; None where nobody counted.
        parameters: All its weights; None where nobody counted.
        accuracy: Share of right answers, 0 to 1; None where it was not measured.
        form: How the weights are stored, such as `int8`; None where the format has one way alone.
        rejected: Better forms that failed, the best first.
    """

    title: str
    raw: int
    gzip: int
    zeros: int | None = None
    parameters: int | None = None
    accuracy: float | None = None
    form: str | None = None
    rejected: tuple[RejectedForm, ...] = ()


@dataclass(frozen=True, slots=True)
class SizeTable:
    """The models to compare, left to right."""

    columns: tuple[SizeColumn, ...]


def sizes_to_config(table: SizeTable) -> list[dict[str, Any]]:
    """Return `table` as JSON data: one object a column, with null for unmeasured values.

    Example:
        >>> (column,) = sizes_to_config(SizeTable((SizeColumn("a", 900, 300),)))
        >>> print(*column), print(*column.values())
        title raw gzip zeros parameters accuracy form rejected
        a 900 300 None None None None ()
        (None, None)
    """
    return [asdict(column) for column in table.columns]


def render_sizes_text(table: SizeTable) -> str:
    """Return `table` as text: raw size, gzip size, zeros, and accuracy if it was measured.

    Example:
        >>> before = SizeColumn(
        ...     "before", 107_100, 97_300, zeros=0, parameters=25_000, accuracy=0.9722
        ... )
        >>> after = SizeColumn(
        ...     "after", 107_100, 25_100, zeros=21_000, parameters=25_000, accuracy=0.9694
        ... )
        >>> print(render_sizes_text(SizeTable((before, after))), end="")
                     before            after
        raw size   107.1 kB         107.1 kB
        gzip size   97.3 kB          25.1 kB
        zeros      0 (0.0%)   21,000 (84.0%)
        accuracy      97.2%            96.9%
    """
    rows = [row for row in _rows(table) if any(row[1:])]
    return (
        "\n".join(
            align_rows(
                rows,
                right=set(range(1, len(table.columns) + 1)),
                gaps=dict.fromkeys(range(2, len(table.columns) + 1), 3),
            )
        )
        + "\n"
    )


def _rows(table: SizeTable) -> Iterator[list[str]]:
    yield ["", *(column.title for column in table.columns)]
    yield ["stored as", *(column.form or "" for column in table.columns)]
    yield ["raw size", *(format_bytes(column.raw) for column in table.columns)]
    yield ["gzip size", *(format_bytes(column.gzip) for column in table.columns)]
    yield ["zeros", *(_zeros(column) for column in table.columns)]
    yield [
        "accuracy",
        *(
            "" if column.accuracy is None else format_share(column.accuracy)
            for column in table.columns
        ),
    ]


def _zeros(column: SizeColumn) -> str:
    if column.zeros is None:
        return ""
    return format_count(column.zeros) + (
        f" ({format_share(column.zeros / column.parameters)})" if column.parameters else ""
    )
