"""The sparse encoding of tensors in TensorFlow Lite files.

It is that of TACO (Kjolstad et al., 2017): the axes of the tensor and of its blocks in some order,
each dense or compressed. See tensorflow/lite/schema/schema.fbs, `SparsityParameters`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Level:
    """One axis in the order in which the values are stored.

    Attributes:
        size: Its length, if it is dense; 0 otherwise.
        segments, indices: If it is compressed: where the places of each parent begin in `indices`,
            and the places that are stored; None if it is dense.
    """

    size: int
    segments: Ints | None = None
    indices: Ints | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the values of a sparse tensor are stored.

    Attributes:
        order: For each level, the axis of the tensor, or from its rank on, of a block.
        blocked: The axis of the tensor that each axis of a block divides.
        levels: The axes in the order of `order`.
    """

    order: tuple[int, ...]
    blocked: tuple[int, ...]
    levels: tuple[Level, ...]

    @property
    def blocks(self) -> dict[int, int]:
        """The length of a block by axis of the tensor."""
        rank = len(self.order) - len(self.blocked)
        sizes = {axis: level.size for axis, level in zip(self.order, self.levels, strict=True)}
        return {axis: sizes[rank + index] for index, axis in enumerate(self.blocked)}


def to_dense(values: NDArray[Any], encoding: Encoding, shape: Sequence[int]) -> NDArray[Any]:
    """Return a tensor whose non-zero values, or blocks of them, are stored in this way.

    Raises:
        ValueError: the encoding contradicts itself, the values or the shape.

    Example:
        >>> rows = Level(2)
        >>> columns = Level(0, np.array([0, 1, 2]), np.array([2, 0]))
        >>> to_dense(np.array([7, 5]), Encoding((0, 1), (), (rows, columns)), (2, 3)).tolist()
        [[0, 0, 7], [5, 0, 0]]
    """
    rank = len(shape)
    if sorted(encoding.order) != list(range(len(encoding.levels))) or (
        len(encoding.levels) != rank + len(encoding.blocked)
    ):
        raise ValueError("a sparse tensor has other axes than its shape")
    places = _places(encoding, len(values))
    blocks = encoding.blocks
    if sorted(blocks) != sorted(encoding.blocked) or any(
        axis >= rank or size < 1 for axis, size in blocks.items()
    ):
        raise ValueError("the blocks of a sparse tensor do not fit its shape")
    for index, axis in enumerate(encoding.blocked):
        places[axis] = places[axis] * blocks[axis] + places[rank + index]
    dense = np.zeros(math.prod(shape), values.dtype)
    dense[np.ravel_multi_index([places[axis] for axis in range(rank)], tuple(shape))] = values
    return dense.reshape(shape)


def _places(encoding: Encoding, count: int) -> dict[int, Ints]:
    """Return the place of each stored value along each axis, those of blocks included."""
    found: dict[int, Ints] = {}
    rows: Ints = np.zeros(1, np.int64)
    stored = [len(level.segments) for level in encoding.levels if level.segments is not None]
    most = max(count, *stored, 1)
    for axis, level in zip(encoding.order, encoding.levels, strict=True):
        if level.segments is None or level.indices is None:
            if level.size < 1 or len(rows) * level.size > most:
                raise ValueError("a sparse tensor has fewer values than places for them")
            repeats: Any = level.size
            inside = np.tile(np.arange(level.size), len(rows))
            rows = np.repeat(rows, level.size) * level.size + inside
        else:
            inside, repeats, rows = _compressed(level.segments, level.indices, rows)
        found = {known: np.repeat(places, repeats) for known, places in found.items()}
        found[axis] = inside
    if len(rows) != count:
        raise ValueError(f"a sparse tensor has {count:,} values and {len(rows):,} places for them")
    return found


def _compressed(segments: Ints, indices: Ints, rows: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the places below each of `rows`, how many each has, and the rows of the next level."""
    starts, ends = segments[rows], segments[rows + 1]
    counts = ends - starts
    if len(counts) and (counts.min() < 0 or starts.min() < 0):
        raise ValueError("the segments of a sparse tensor are out of order")
    if int(counts.sum()) > len(indices):
        raise ValueError("the segments of a sparse tensor overlap")
    before = np.cumsum(counts) - counts
    next_rows = np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
    return indices[next_rows], counts, next_rows
