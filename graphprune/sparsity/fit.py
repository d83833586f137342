"""Whether a pattern fits a tensor, and how many zeros it makes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from graphprune.sparsity.patterns import Pattern


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
    the others: on a convolution's kernel, at one spatial position.

    Example:
        >>> from graphprune.sparsity.patterns import Channel, KeepOf
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
        >>> from graphprune.sparsity.patterns import Block, Channel
        >>> group_lengths(Block((("in", 4), ("out", 1)))), group_lengths(Channel("out"))
        ({'in': 4, 'out': 1}, {'out': 1})
    """
    return pattern.lengths()


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
    many = "several axes" if axis in axes else "no axis"
    return f"{many} {axis!r}; its axes are {', '.join(axes)}"


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

    Raises:
        ValueError: `sparsity` is outside [0, 1), or the pattern does not fit.

    Example:
        >>> from graphprune.sparsity.patterns import Block, KeepOf
        >>> target_zeros(KeepOf(2, 4, "in"), (4096, 256), ("in", "out"), 0.5)
        524288
        >>> target_zeros(Block((("in", 4), ("out", 1))), (4096, 256), ("in", "out"), 0.8)
        838860
    """
    check_fit(pattern, shape, axes, pads=pads)
    return pattern.zeros(shape, axes, sparsity)


def is_exact(pattern: Pattern, shape: Sequence[int], axes: Sequence[str]) -> bool:
    """Return whether `target_zeros` is the number of zeros, not only the fewest: always but for
    blocks that are short at an edge.
    """
    return pattern.is_exact_when_short or find_misfit(pattern, shape, axes) is None
