"""Whether a pattern fits a tensor, and how many zeros it makes there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from graphprune.sparsity.counts import kept_count, kept_in_group, zero_count
from graphprune.sparsity.patterns import Block, Channel, KeepOf, Pattern, Unstructured


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a pattern does not fit: the slug of the diagnostic (`pattern/rank` where the tensor lacks
    an axis that it names), and the reason in words.
    """

    slug: Literal["pattern/misfit", "pattern/rank"]
    reason: str


def find_misfit(
    pattern: Pattern, shape: Sequence[int], axes: Sequence[str], *, pads: bool = False
) -> Misfit | None:
    """Return why `pattern` does not fit a tensor with these axes, None where it does; with `pads`
    every length fits.

    A tensor may have more axes than the pattern names. A block or group then lies at one place of
    the others: on a convolution's kernel, at one spatial position. (RULES.md has it both ways, in
    section 6 and in example 5; patterns on all kernels are of more use than an error.)

    Example:
        >>> find_misfit(KeepOf(2, 4, "in"), (1023, 1200), ("in", "out"))
        Misfit(slug='pattern/misfit', reason='1023 is not a multiple of 4')
        >>> find_misfit(Channel("out"), (3, 3, 8, 1), ("h", "w", "in", "multiplier")).reason
        "no axis 'out'; its axes are h, w, in, multiplier"
    """
    lengths = group_lengths(pattern)
    if lengths and axes and len(axes) != len(shape):
        return Misfit("pattern/rank", f"its {len(shape)} axes have {len(axes)} names")
    for axis in lengths:
        if list(axes).count(axis) != 1:
            return Misfit("pattern/rank", _axis_fault(axis, axes))
    uneven = [
        (shape[axes.index(axis)], length)
        for axis, length in lengths.items()
        if shape[axes.index(axis)] % length
    ]
    return (
        Misfit(
            "pattern/misfit",
            ", ".join(f"{size} is not a multiple of {length}" for size, length in uneven),
        )
        if uneven and not pads
        else None
    )


def group_lengths(pattern: Pattern) -> dict[str, int]:
    """Return how far a group or block of `pattern` reaches along each axis that it names.

    Example:
        >>> group_lengths(Block((("in", 4), ("out", 1)))), group_lengths(Channel("out"))
        ({'in': 4, 'out': 1}, {'out': 1})
    """
    match pattern:
        case Unstructured():
            return {}
        case KeepOf():
            return {pattern.along: pattern.of}
        case Block():
            return dict(pattern.sizes)
        case Channel():
            return {pattern.axis: 1}


def check_fit(pattern: Pattern, shape: Sequence[int], axes: Sequence[str], *, pads: bool) -> None:
    """Raise unless `pattern` fits.

    Raises:
        ValueError: it does not; the text says why.
    """
    misfit = find_misfit(pattern, shape, axes, pads=pads)
    if misfit is not None:
        raise ValueError(f"'{pattern}' does not fit {list(shape)} ({misfit.reason})")


def _axis_fault(axis: str, axes: Sequence[str]) -> str:
    if not axes:
        return f"no axis {axis!r}; its axes have no names"
    return (
        f"{'several axes' if axis in axes else 'no axis'} {axis!r}; its axes are {', '.join(axes)}"
    )


def target_zeros(
    pattern: Pattern,
    shape: Sequence[int],
    axes: Sequence[str],
    sparsity: float,
    *,
    pads: bool = False,
) -> int:
    """Return how many weights of a tensor are zero when the share `sparsity` must be, or the fewest
    that may be where that depends on the weights.

    * unstructured: `zero_count` of all weights;
    * keep n of m: in each group all but `kept_in_group`. A short last group keeps as many as a
      whole one, or all that it has;
    * block: whole blocks, max(1, round_half_even(blocks * (1 - sparsity))) of them stay. Where
      blocks at the edge are short the number of blocks is exact, and the number of weights depends
      on which they are: this is then the fewest, see `is_exact`;
    * channel: max(1, round_half_even(channels * (1 - sparsity))) channels stay.

    Raises:
        ValueError: `sparsity` is outside [0, 1), or the pattern does not fit.

    Example:
        >>> target_zeros(KeepOf(2, 4, "in"), (4096, 256), ("in", "out"), 0.5)
        524288
        >>> target_zeros(Block((("in", 4), ("out", 1))), (4096, 256), ("in", "out"), 0.8)
        838860
    """
    check_fit(pattern, shape, axes, pads=pads)
    size = math.prod(shape)
    match pattern:
        case Unstructured():
            return zero_count(size, sparsity)
        case KeepOf():
            length = shape[axes.index(pattern.along)]
            return size // length * _zeros_in_line(pattern, length, sparsity)
        case Channel():
            length = shape[axes.index(pattern.axis)]
            return size // length * zero_count(length, sparsity)
        case Block():
            sizes = dict(pattern.sizes)
            return _fewest_in_blocks(
                [(length, sizes.get(axis, 1)) for axis, length in zip(axes, shape, strict=True)],
                sparsity,
            )


def is_exact(pattern: Pattern, shape: Sequence[int], axes: Sequence[str]) -> bool:
    """Return whether `target_zeros` is the number of zeros, not only the fewest: always but for
    blocks that are short at an edge.
    """
    return not isinstance(pattern, Block) or find_misfit(pattern, shape, axes) is None


def _zeros_in_line(pattern: KeepOf, length: int, sparsity: float) -> int:
    kept = kept_in_group(pattern.keep, pattern.of, sparsity)
    whole, rest = divmod(length, pattern.of)
    return whole * (pattern.of - kept) + max(0, rest - kept)


def _fewest_in_blocks(lengths: Sequence[tuple[int, int]], sparsity: float) -> int:
    """Return the weights in the smallest blocks, as many as are zeroed; `lengths` are (axis, block)
    pairs.
    """
    counts = {1: 1}
    for length, block in lengths:
        whole, rest = divmod(length, block)
        counts = _times(counts, {block: whole} | ({rest: 1} if rest else {}))
    blocks = sum(counts.values())
    left, zeros = blocks - kept_count(blocks, sparsity), 0
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
