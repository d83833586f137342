"""How many weights a pattern zeroes, exactly, without looking at the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphprune.sparsity.counts import kept_count, kept_in_group, zero_count
from graphprune.sparsity.fit import check_fit, find_unfit
from graphprune.sparsity.patterns import Block, Channel, KeepOf, Pattern, Unstructured


def target_zeros(pattern: Pattern, share: float, shape: Sequence[int], axes: Sequence[str] = (), pads: bool = False) -> int:
    """Return how many weights of a tensor are zero when the share `share` must be, or the fewest that may be where that depends on the weights.

    * unstructured: `zero_count` of all weights;
    * keep n of m: in each group all but `kept_in_group`. A short last group keeps as many as a whole one, or all that it has;
    * block: whole blocks, max(1, round_half_even(blocks * (1 - share))) of them stay. Where blocks at the edge are short the number of blocks is exact, and
      the number of weights depends on which they are: this is then the fewest, see `is_exact`;
    * channel: max(1, round_half_even(channels * (1 - share))) channels stay.

    Raises:
        ValueError: `share` is outside [0, 1), or the pattern does not fit.

    Example:
        >>> target_zeros(KeepOf(2, 4, "in"), 0.5, (4096, 256), ("in", "out"))
        524288
        >>> target_zeros(Block((("in", 4), ("out", 1))), 0.8, (4096, 256), ("in", "out"))
        838860
    """
    check_fit(pattern, axes, shape, pads=pads)
    size = math.prod(shape)
    match pattern:
        case Unstructured():
            return zero_count(size, share)
        case KeepOf():
            length = shape[axes.index(pattern.along)]
            return size // length * _zeros_in_line(pattern, length, share)
        case Channel():
            length = shape[axes.index(pattern.axis)]
            return size // length * zero_count(length, share)
        case Block():
            sizes = dict(pattern.sizes)
            return _fewest_in_blocks([(length, sizes.get(axis, 1)) for axis, length in zip(axes, shape, strict=True)], share)


def is_exact(pattern: Pattern, shape: Sequence[int], axes: Sequence[str] = ()) -> bool:
    """Return whether `target_zeros` is the number of zeros, not only the fewest: always but for blocks that are short at an edge."""
    return not isinstance(pattern, Block) or find_unfit(pattern, axes, shape) is None


def _zeros_in_line(pattern: KeepOf, length: int, share: float) -> int:
    kept = kept_in_group(pattern.keep, pattern.of, share)
    whole, rest = divmod(length, pattern.of)
    return whole * (pattern.of - kept) + max(0, rest - kept)


def _fewest_in_blocks(lengths: Sequence[tuple[int, int]], share: float) -> int:
    """Return the weights in the smallest blocks, as many as are zeroed; `lengths` are (axis, block) pairs."""
    counts = {1: 1}
    for length, block in lengths:
        whole, rest = divmod(length, block)
        counts = _times(counts, {block: whole} | ({rest: 1} if rest else {}))
    blocks = sum(counts.values())
    left, zeros = blocks - kept_count(blocks, share), 0
    for size in sorted(counts):
        taken = min(left, counts[size])
        left, zeros = left - taken, zeros + taken * size
    return zeros


def _times(counts: dict[int, int], more: dict[int, int]) -> dict[int, int]:
    """Return how many blocks of each size there are, once each is split along one more axis."""
    product: dict[int, int] = {}
    for size, count in counts.items():
        for length, times in more.items():
            product[size * length] = product.get(size * length, 0) + count * times
    return product
