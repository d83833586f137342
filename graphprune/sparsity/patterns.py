"""Which weights of a tensor are zeroed together. Axes have names, as in the layer graph (`in`,
`out`, ...), whatever the storage order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Pool = Literal["mean", "max"]
POOLS: tuple[str, ...] = get_args(Pool)


@dataclass(frozen=True, slots=True)
class Unstructured:
    """Each weight for itself."""

    def __str__(self) -> str:
        return "unstructured"


@dataclass(frozen=True, slots=True)
class KeepOf:
    """In each group of `of` neighbours along an axis, the `keep` largest stay."""

    keep: int
    of: int
    along: str

    def __post_init__(self) -> None:
        if not 1 <= self.keep < self.of:
            raise ValueError(f"keep must be at least 1 and below of, got {self.keep} of {self.of}")

    def __str__(self) -> str:
        zeros = self.of - self.keep
        return (
            f"keep {self.keep} of {self.of} along {self.along} ({zeros}"
            f" {'zero' if zeros == 1 else 'zeros'} in each {self.of})"
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Blocks of weights, scored by the mean or the largest |w| and zeroed whole; `sizes` has the
    length along each axis that is longer than 1.
    """

    sizes: tuple[tuple[str, int], ...]
    pool: Pool = "mean"

    def __post_init__(self) -> None:
        if not self.sizes or any(size < 1 for _, size in self.sizes):
            raise ValueError(f"a block needs axes with sizes from 1, got {dict(self.sizes)}")
        if self.pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(POOLS)}, got {self.pool!r}")

    def __str__(self) -> str:
        return f"block {' x '.join(f'{axis} {size}' for axis, size in self.sizes)}, {self.pool}"


@dataclass(frozen=True, slots=True)
class Channel:
    """All weights at one place of an axis, such as a whole filter; scored by the mean |w|."""

    axis: str

    def __str__(self) -> str:
        return f"channel {self.axis}"


Pattern = Unstructured | KeepOf | Block | Channel
UNSTRUCTURED = Unstructured()


def pattern_to_config(pattern: Pattern) -> dict[str, Any]:
    """Return the JSON form, as plans and wrappers store it."""
    match pattern:
        case Unstructured():
            return {"kind": "unstructured"}
        case KeepOf(keep, of, along):
            return {"kind": "keep_of", "keep": keep, "of": of, "along": along}
        case Block(sizes, pool):
            return {"kind": "block", "block": dict(sizes), "pool": pool}
        case Channel(axis):
            return {"kind": "channel", "axis": axis}


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
    if kind not in _KINDS:
        raise ValueError(f"pattern must be one of {', '.join(_KINDS)}, got {kind!r}")
    return _KINDS[kind](config)


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Pattern]] = {
    "unstructured": lambda config: UNSTRUCTURED,
    "keep_of": lambda config: KeepOf(int(config["keep"]), int(config["of"]), str(config["along"])),
    "block": lambda config: Block(
        tuple((str(axis), int(size)) for axis, size in config["block"].items()), config["pool"]
    ),
    "channel": lambda config: Channel(str(config["axis"])),
}
