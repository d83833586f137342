"""The columns of the table that `train`, `resume`, `strip` and `prune` end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphprune.diff.sizes import measure_sizes, side_by_side
from graphprune.graph import ModelFile
from graphprune.report import SizeColumn


@dataclass(frozen=True, slots=True)
class Measured:
    """A written model: its title in the table, where it lies, its zeros, parameters and accuracy
    (None where unknown).
    """

    title: str
    path: str
    zeros: int | None
    parameters: int
    accuracy: float | None

    @classmethod
    def of_file(cls, title: str, path: str, weights: ModelFile, accuracy: float | None) -> Measured:
        """Return the same with the zeros and parameters of `weights`, the saved model that has
        these weights.
        """
        zeros = None if weights.zeros is None else sum(weights.zeros.values())
        return cls(title, path, zeros, weights.graph.parameters, accuracy)


def size_columns(files: Sequence[Measured]) -> tuple[SizeColumn, ...]:
    """Return the columns of the final table: the same with bytes, as they are and after gzip."""
    sizes = side_by_side(measure_sizes, *(file.path for file in files))
    return tuple(
        SizeColumn(file.title, size.raw, size.gzip, file.zeros, file.parameters, file.accuracy)
        for size, file in zip(sizes, files, strict=True)
    )
