"""One column of the table that `train`, `resume` and `strip` end with."""

from __future__ import annotations

from graphprune.cli.inputs import SavedModel
from graphprune.diff.sizes import measure_sizes
from graphprune.report import SizeColumn


def size_column(title: str, path: str, weights: SavedModel, accuracy: float | None) -> SizeColumn:
    """Return what the final table says of the file or folder at `path`, whose weights are those of `weights`."""
    sizes = measure_sizes(path)
    return SizeColumn(title, sizes.raw, sizes.gzip, sum(weights.zeros.values()), weights.graph.parameters, accuracy)
