"""One column of the table that `train`, `resume` and `strip` end with."""

from __future__ import annotations

from graphprune.diff.sizes import measure_sizes
from graphprune.graph import ModelFile
from graphprune.report import SizeColumn


def size_column(title: str, path: str, weights: ModelFile, accuracy: float | None) -> SizeColumn:
    """Return what the final table says of the file or folder at `path`, whose weights are those of `weights`."""
    sizes = measure_sizes(path)
    zeros = None if weights.zeros is None else sum(weights.zeros.values())
    return SizeColumn(title, sizes.raw, sizes.gzip, zeros, weights.graph.parameters, accuracy)
