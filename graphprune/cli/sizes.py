"""The columns of the table that `train`, `resume` and `strip` end with."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.diff.sizes import measure_sizes, side_by_side
from graphprune.graph import ModelFile
from graphprune.report import SizeColumn


def size_columns(files: Sequence[tuple[str, str, ModelFile, float | None]]) -> tuple[SizeColumn, ...]:
    """Return what the final table says of each (title, file or folder, model with the same weights, accuracy)."""
    sizes = side_by_side(measure_sizes, *(path for _, path, _, _ in files))
    return tuple(
        SizeColumn(title, size.raw, size.gzip, None if weights.zeros is None else sum(weights.zeros.values()), weights.graph.parameters, accuracy)
        for size, (title, _, weights, accuracy) in zip(sizes, files, strict=True)
    )
