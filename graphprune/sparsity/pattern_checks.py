"""Whether the zeros of a tensor lie as a pattern wants them: groups, whole blocks, whole channels.

A new pattern has its check here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from graphprune.sparsity.counts import kept_count, kept_in_group
from graphprune.sparsity.patterns import Block, Channel, KeepOf, Pattern, Unstructured

Zeros = NDArray[np.bool_]
"""Where a tensor is zero."""


@dataclass(frozen=True, slots=True)
class UnitCount:
    """How many units of a tensor are as zero as its pattern wants.

    Attributes:
        unit: What they are, in the plural: `groups of 4`, `blocks`, `channels`.
        wanted: How many must be.
        found: How many are.
        total: How many there are.
    """

    unit: str
    wanted: int
    found: int
    total: int

    @property
    def is_kept(self) -> bool:
        """Whether the zeros contain those of one of the pattern's masks."""
        return self.found >= self.wanted


@singledispatch
def count_units(
    pattern: Pattern, zeros: Zeros, axes: Sequence[str], sparsity: float
) -> UnitCount | None:
    """Return how many units of a tensor are as zero as `pattern` wants at `sparsity`.

    The zeros contain those of one of the pattern's masks exactly if there are as many as wanted.
    None where every weight is by itself, so that the number of zeros says it all.

    Args:
        pattern: A pattern that fits the tensor.
        zeros: Where the tensor is zero.
        axes: The names of its axes.
        sparsity: The target share of zeros.

    Example:
        >>> zeros = np.array([True, True, False, False, True, False, False, True])[:, None]
        >>> count_units(KeepOf(2, 4, "in"), zeros, ("in", "out"), 0.5)
        UnitCount(unit='groups of 4', wanted=2, found=2, total=2)
        >>> count_units(Block((("in", 2),)), zeros, ("in", "out"), 0.5)
        UnitCount(unit='blocks', wanted=2, found=1, total=4)
    """
    raise TypeError(f"the pattern {pattern.kind} has no check")


@count_units.register
def _(pattern: Unstructured, zeros: Zeros, axes: Sequence[str], sparsity: float) -> None:
    return None


@count_units.register
def _(pattern: KeepOf, zeros: Zeros, axes: Sequence[str], sparsity: float) -> UnitCount:
    kept = kept_in_group(pattern.keep, pattern.of, sparsity)
    axis = axes.index(pattern.along)
    starts = np.arange(0, zeros.shape[axis], pattern.of)
    alive = np.add.reduceat(~zeros, starts, axis=axis, dtype=np.int64)
    found = int(np.count_nonzero(alive <= kept))
    return UnitCount(f"groups of {pattern.of}", alive.size, found, alive.size)


@count_units.register
def _(pattern: Block, zeros: Zeros, axes: Sequence[str], sparsity: float) -> UnitCount:
    sizes = pattern.lengths()
    whole = zeros
    for index, axis in enumerate(axes):
        starts = np.arange(0, zeros.shape[index], sizes.get(axis, 1))
        whole = np.logical_and.reduceat(whole, starts, axis=index)
    return _whole("blocks", whole, sparsity)


@count_units.register
def _(pattern: Channel, zeros: Zeros, axes: Sequence[str], sparsity: float) -> UnitCount:
    kept = axes.index(pattern.axis)
    others = tuple(index for index in range(zeros.ndim) if index != kept)
    return _whole("channels", np.asarray(zeros.all(axis=others)), sparsity)


def _whole(unit: str, whole: Zeros, sparsity: float) -> UnitCount:
    wanted = whole.size - kept_count(whole.size, sparsity)
    return UnitCount(unit, wanted, int(np.count_nonzero(whole)), whole.size)
