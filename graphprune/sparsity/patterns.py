"""Which weights of a tensor are zeroed together, whether that fits, how many, and which.

Axes have names, as in the layer graph (`in`, `out`, ...), whatever the storage order. A new pattern
is a class here, with its zeros, mask and JSON form, and a shape in rules/building/patterns.py.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from graphprune.sparsity.counts import fewest_in_blocks, kept_count, kept_in_group, zero_count
from graphprune.sparsity.mask_kernels import select_mask
from graphprune.sparsity.pattern_masks import Mask, Weights, block_mask, channel_mask, keep_of_mask

Pool = Literal["mean", "max"]
POOLS: tuple[str, ...] = get_args(Pool)


class Pattern(ABC):
    """Which weights are zeroed together.

    Attributes:
        kind: What plans and wrappers call the pattern.
        is_exact_when_short: Whether the number of zeros is known where a group or block at an edge
            is short.
    """

    __slots__ = ()

    kind: ClassVar[str]
    is_exact_when_short: ClassVar[bool] = True

    @property
    def fixed_sparsity(self) -> float | None:
        """The share of zeros that the pattern itself fixes; None where it takes any."""
        return None

    @property
    def short(self) -> str:
        """The pattern in words, without a remark in brackets."""
        return str(self)

    @abstractmethod
    def lengths(self) -> dict[str, int]:
        """Return the length of a group or block along each axis that the pattern names."""

    @abstractmethod
    def zeros(self, shape: Sequence[int], axes: Sequence[str], sparsity: float) -> int:
        """Return the number of zeros of a fitting tensor, or the fewest that it can have."""

    @abstractmethod
    def mask(self, weights: Weights, axes: Sequence[str], sparsity: float) -> tuple[Mask, float]:
        """Return the mask (True keeps) of a fitting tensor, and the smallest score kept."""

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Return the JSON form without its `kind`."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pattern:
        """Return the pattern that `to_config` wrote."""


@dataclass(frozen=True, slots=True)
class Unstructured(Pattern):
    """Each weight by itself."""

    kind = "unstructured"

    def __str__(self) -> str:
        return "unstructured"

    def lengths(self) -> dict[str, int]:
        """Return nothing: no axis has a meaning."""
        return {}

    def zeros(self, shape: Sequence[int], axes: Sequence[str], sparsity: float) -> int:
        """Return `zero_count` of all weights."""
        return zero_count(math.prod(shape), sparsity)

    def mask(self, weights: Weights, axes: Sequence[str], sparsity: float) -> tuple[Mask, float]:
        """Return the mask that keeps the largest weights."""
        return select_mask(weights, kept_count(weights.size, sparsity))

    def to_config(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pattern:
        """Return the pattern."""
        return UNSTRUCTURED


@dataclass(frozen=True, slots=True)
class KeepOf(Pattern):
    """In each group of `of` neighbours along an axis, the `keep` largest stay."""

    keep: int
    of: int
    along: str

    kind = "keep_of"

    def __post_init__(self) -> None:
        if not 1 <= self.keep < self.of:
            raise ValueError(f"keep must be at least 1 and below of, got {self.keep} of {self.of}")

    def __str__(self) -> str:
        zeros = self.of - self.keep
        return f"{self.short} ({zeros} {'zero' if zeros == 1 else 'zeros'} in each {self.of})"

    @property
    def short(self) -> str:
        """`keep 2 of 4 along in`."""
        return f"keep {self.keep} of {self.of} along {self.along}"

    @property
    def fixed_sparsity(self) -> float:
        """The share of each group that does not stay."""
        return (self.of - self.keep) / self.of

    def lengths(self) -> dict[str, int]:
        """Return the length of a group."""
        return {self.along: self.of}

    def zeros(self, shape: Sequence[int], axes: Sequence[str], sparsity: float) -> int:
        """Return the zeros of all groups.

        A short last group keeps as many weights as a whole one, or all that it has.
        """
        length = shape[axes.index(self.along)]
        kept = kept_in_group(self.keep, self.of, sparsity)
        whole, rest = divmod(length, self.of)
        in_line = whole * (self.of - kept) + max(0, rest - kept)
        return math.prod(shape) // length * in_line

    def mask(self, weights: Weights, axes: Sequence[str], sparsity: float) -> tuple[Mask, float]:
        """Return the mask that keeps the largest weights of each group."""
        kept = kept_in_group(self.keep, self.of, sparsity)
        return keep_of_mask(weights, kept, self.of, axes.index(self.along))

    def to_config(self) -> dict[str, Any]:
        """Return the three fields."""
        return {"keep": self.keep, "of": self.of, "along": self.along}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pattern:
        """Return the pattern with these fields."""
        return cls(int(config["keep"]), int(config["of"]), str(config["along"]))


@dataclass(frozen=True, slots=True)
class Block(Pattern):
    """Blocks of weights that are zeroed whole, scored by the mean or the largest |w|.

    `sizes` has the length along each axis that is longer than 1.
    """

    sizes: tuple[tuple[str, int], ...]
    pool: Pool = "mean"

    kind = "block"
    is_exact_when_short = False

    def __post_init__(self) -> None:
        if not self.sizes or any(size < 1 for _, size in self.sizes):
            raise ValueError(f"a block needs axes with sizes from 1, got {dict(self.sizes)}")
        if self.pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {self.pool!r}")

    def __str__(self) -> str:
        return f"block {' x '.join(f'{axis} {size}' for axis, size in self.sizes)}, {self.pool}"

    def lengths(self) -> dict[str, int]:
        """Return the lengths of a block."""
        return dict(self.sizes)

    def zeros(self, shape: Sequence[int], axes: Sequence[str], sparsity: float) -> int:
        """Return the weights of the zeroed blocks.

        max(1, round_half_even(blocks * (1 - sparsity))) blocks stay.

        Where blocks at the edge are short, the number of blocks is exact and the number of
        weights depends on which they are: this is then the fewest.
        """
        sizes = self.lengths()
        lengths = [(length, sizes.get(axis, 1)) for axis, length in zip(axes, shape, strict=True)]
        return fewest_in_blocks(lengths, sparsity)

    def mask(self, weights: Weights, axes: Sequence[str], sparsity: float) -> tuple[Mask, float]:
        """Return the mask that keeps the blocks with the largest scores."""
        sizes = self.lengths()
        return block_mask(weights, [sizes.get(axis, 1) for axis in axes], self.pool, sparsity)

    def to_config(self) -> dict[str, Any]:
        """Return the lengths and how a block is scored."""
        return {"block": self.lengths(), "pool": self.pool}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pattern:
        """Return the pattern with these fields."""
        sizes = ((str(axis), int(size)) for axis, size in config["block"].items())
        return cls(tuple(sizes), config["pool"])


@dataclass(frozen=True, slots=True)
class Channel(Pattern):
    """All weights at one place of an axis, such as a whole filter; scored by the mean |w|."""

    axis: str

    kind = "channel"

    def __str__(self) -> str:
        return f"channel {self.axis}"

    def lengths(self) -> dict[str, int]:
        """Return 1 along the axis."""
        return {self.axis: 1}

    def zeros(self, shape: Sequence[int], axes: Sequence[str], sparsity: float) -> int:
        """Return the weights of the zeroed channels.

        max(1, round_half_even(channels * (1 - sparsity))) channels stay.
        """
        length = shape[axes.index(self.axis)]
        return math.prod(shape) // length * zero_count(length, sparsity)

    def mask(self, weights: Weights, axes: Sequence[str], sparsity: float) -> tuple[Mask, float]:
        """Return the mask that keeps the channels with the largest scores."""
        return channel_mask(weights, axes.index(self.axis), sparsity)

    def to_config(self) -> dict[str, Any]:
        """Return the axis."""
        return {"axis": self.axis}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pattern:
        """Return the pattern with this axis."""
        return cls(str(config["axis"]))


UNSTRUCTURED = Unstructured()
PATTERNS: Mapping[str, type[Pattern]] = {
    pattern.kind: pattern for pattern in (Unstructured, KeepOf, Block, Channel)
}


def pattern_to_config(pattern: Pattern) -> dict[str, Any]:
    """Return the JSON form, as plans and wrappers store it."""
    return {"kind": pattern.kind, **pattern.to_config()}


def pattern_from_config(config: Mapping[str, Any]) -> Pattern:
    """Return the pattern that `pattern_to_config` wrote.

    Raises:
        KeyError: a field is missing.
        ValueError: a field has a value that no pattern can have.

    Example:
        >>> pattern_from_config(pattern_to_config(KeepOf(2, 4, "in")))
        KeepOf(keep=2, of=4, along='in')
    """
    kind = config["kind"]
    if kind not in PATTERNS:
        raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, got {kind!r}")
    return PATTERNS[kind].from_config(config)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a pattern does not fit: the slug of the diagnostic, and the reason in words.

    The slug is `pattern/rank` where the tensor lacks an axis that the pattern names.
    """

    slug: Literal["pattern/misfit", "pattern/rank"]
    reason: str


def find_misfit(
    pattern: Pattern, shape: Sequence[int], axes: Sequence[str], *, pads: bool = False
) -> Misfit | None:
    """Return why `pattern` does not fit a tensor with these axes, None where it does.

    With `pads` every length fits.

    A tensor may have more axes than the pattern names. A block or group then lies at one place of
    the others: on a convolution's kernel, at one spatial position.

    Example:
        >>> find_misfit(KeepOf(2, 4, "in"), (1023, 1200), ("in", "out"))
        Misfit(slug='pattern/misfit', reason='1023 is not a multiple of 4')
        >>> find_misfit(Channel("out"), (3, 3, 8, 1), ("h", "w", "in", "multiplier")).reason
        "no axis 'out'; its axes are h, w, in, multiplier"
    """
    lengths = pattern.lengths()
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
    """Return how many weights of a tensor are zero at `sparsity`.

    Where that depends on the weights, it is the fewest that may be.

    Raises:
        ValueError: `sparsity` is outside [0, 1), or the pattern does not fit.

    Example:
        >>> target_zeros(KeepOf(2, 4, "in"), (4096, 256), ("in", "out"), 0.5)
        524288
        >>> target_zeros(Block((("in", 4), ("out", 1))), (4096, 256), ("in", "out"), 0.8)
        838860
    """
    check_fit(pattern, shape, axes, pads=pads)
    return pattern.zeros(shape, axes, sparsity)


def is_exact(pattern: Pattern, shape: Sequence[int], axes: Sequence[str]) -> bool:
    """Return whether `target_zeros` is the number of zeros, and not only the fewest.

    It always is, except for blocks that are short at an edge.
    """
    return pattern.is_exact_when_short or find_misfit(pattern, shape, axes) is None


def select_pattern_mask(
    weights: Weights,
    pattern: Pattern,
    share: float,
    axes: Sequence[str] = (),
    *,
    pads: bool = False,
) -> tuple[Mask, float]:
    """Return the mask (True keeps) that zeroes `share` by `pattern`, and the smallest score kept.

    The score is that of a weight, a block or a channel.

    Equals `pattern_mask` of tests/reference_masks.py. Means are taken in float64; where two differ
    by less than adding in another order does, they may tie.

    Raises:
        ValueError: `share` is outside [0, 1), or the pattern does not fit.
    """
    check_fit(pattern, weights.shape, axes, pads=pads)
    return pattern.mask(weights, axes, share)
