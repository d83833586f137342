"""Whether a pattern fits a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from graphprune.sparsity.patterns import Block, Channel, KeepOf, Pattern, Unstructured


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a pattern does not fit: `rank` when the tensor lacks an axis that the pattern names, `misfit` when an axis has a length that does not divide."""

    kind: Literal["misfit", "rank"]
    reason: str


def find_unfit(pattern: Pattern, axes: Sequence[str], shape: Sequence[int], *, pads: bool = False) -> Unfit | None:
    """Return why `pattern` does not fit a tensor with these axes, None where it does; with `pads` every length fits.

    A tensor may have more axes than the pattern names. A block or group then lies at one place of the others: on a convolution's kernel, at one spatial
    position. (RULES.md has it both ways, in section 6 and in example 5; patterns on all kernels are of more use than an error.)

    Example:
        >>> find_unfit(KeepOf(2, 4, "in"), ("in", "out"), (1023, 1200))
        Unfit(kind='misfit', reason='1023 is not a multiple of 4')
        >>> find_unfit(Channel("out"), ("h", "w", "in", "multiplier"), (3, 3, 8, 1)).reason
        "no axis 'out'; its axes are h, w, in, multiplier"
    """
    lengths = group_lengths(pattern)
    for axis in lengths:
        if list(axes).count(axis) != 1:
            return Unfit("rank", _axis_fault(axis, axes))
    uneven = [(shape[axes.index(axis)], length) for axis, length in lengths.items() if shape[axes.index(axis)] % length]
    return Unfit("misfit", ", ".join(f"{size} is not a multiple of {length}" for size, length in uneven)) if uneven and not pads else None


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


def check_fit(pattern: Pattern, axes: Sequence[str], shape: Sequence[int], *, pads: bool) -> None:
    """Raise unless `pattern` fits.

    Raises:
        ValueError: it does not; the text says why.
    """
    unfit = find_unfit(pattern, axes, shape, pads=pads)
    if unfit is not None:
        raise ValueError(f"'{pattern}' does not fit {list(shape)} ({unfit.reason})")


def _axis_fault(axis: str, axes: Sequence[str]) -> str:
    if not axes:
        return f"no axis {axis!r}; its axes have no names"
    return f"{'several axes' if axis in axes else 'no axis'} {axis!r}; its axes are {', '.join(axes)}"
