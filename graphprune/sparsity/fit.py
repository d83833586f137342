"""Whether a pattern fits a tensor, and how many zeros it makes there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from graphprune.sparsity.counts import kept_count, zero_count
from graphprune.sparsity.patterns import Block, Channel, KeepOf, Pattern


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a pattern does not fit: the slug of the diagnostic, and the reason in words."""

    slug: Literal["pattern/misfit", "pattern/rank"]
    reason: str


def find_misfit(pattern: Pattern, shape: Sequence[int], axes: Sequence[str], *, pads: bool = False) -> Misfit | None:
    """Return why `pattern` does not fit a tensor, or None where it does; with `pads`, a short last group or block fits.

    Example:
        >>> find_misfit(KeepOf(2, 4, "in"), (1023, 1200), ("in", "out"))
        Misfit(slug='pattern/misfit', reason='1023 is not a multiple of 4')
        >>> find_misfit(Channel("out"), (3, 3, 8), ("h", "w", "in"))
        Misfit(slug='pattern/rank', reason="no axis 'out'; its axes are h, w, in")
    """
    lengths = dict(zip(axes, shape, strict=False))
    periods = group_lengths(pattern)
    lost = [axis for axis in periods if axis not in lengths]
    if lost:
        there = f"no axis {lost[0]!r}; its axes are {', '.join(axes)}" if axes else f"no axis {lost[0]!r}; its axes have no names"
        return Misfit("pattern/rank", there)
    short = [] if pads else [axis for axis, period in periods.items() if lengths[axis] % period]
    return Misfit("pattern/misfit", f"{lengths[short[0]]} is not a multiple of {periods[short[0]]}") if short else None


def target_zeros(pattern: Pattern, shape: Sequence[int], axes: Sequence[str], sparsity: float, *, pads: bool = False) -> int:
    """Return how many weights are zero when the target is reached, for a tensor that `pattern` fits.

    With short last blocks the number depends on which blocks go; then it is what the same share of all weights comes to.

    Example:
        >>> target_zeros(KeepOf(2, 4, "in"), (4096, 256), ("in", "out"), 0.5)
        524288
        >>> target_zeros(Block((("in", 4), ("out", 1))), (40, 10), ("in", "out"), 0.8)
        320
    """
    size = math.prod(shape)
    lengths = dict(zip(axes, shape, strict=False))
    match pattern:
        case KeepOf(keep, of, along):
            groups, rest = divmod(lengths[along], of)
            return (groups * (of - keep) + max(0, rest - keep)) * (size // lengths[along])
        case Block(sizes):
            blocks = math.prod(-(-lengths.get(axis, 1) // length) for axis, length in sizes) * _outside(lengths, sizes)
            return round(size * zero_count(blocks, sparsity) / blocks)
        case Channel(axis):
            return (lengths[axis] - kept_count(lengths[axis], sparsity)) * (size // lengths[axis])
    return zero_count(size, sparsity)


def _outside(lengths: Mapping[str, int], sizes: Sequence[tuple[str, int]]) -> int:
    named = {axis for axis, _ in sizes}
    return math.prod(length for axis, length in lengths.items() if axis not in named)


def group_lengths(pattern: Pattern) -> dict[str, int]:
    """Return the axes that a pattern needs, with the length of a group or block along each."""
    match pattern:
        case KeepOf(_, of, along):
            return {along: of}
        case Block(sizes):
            return {axis: length for axis, length in sizes if length > 1}
        case Channel(axis):
            return {axis: 1}
    return {}
