"""A target as a value: which zeros it can use, in which layers, and what for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from graphprune.plan.changes import LayerChange, TensorChange
from graphprune.sparsity.patterns import Block, Channel, KeepOf, Pattern

Gain = Literal["speed", "size"]
CONVOLUTIONS = ("Conv2D", "Conv1D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose")
"""The classes that texts call convolutions."""


@dataclass(frozen=True, slots=True)
class Zeros:
    """Which zeros are used.

    Attributes:
        block: Lengths of the blocks that must be zero as a whole, by axis; empty for single
            weights. Larger blocks that consist of such do as well, and channels.
        keep_of: (n, m) where n of m weights along the input axis may stay; None for any number.
        more_than: The share of zeros above which they are used.
    """

    block: tuple[tuple[str, int], ...] = ()
    keep_of: tuple[int, int] | None = None
    more_than: float = 0.0

    def __str__(self) -> str:
        """Return them in words.

        Example:
            >>> str(Zeros((("in", 4),), more_than=0.3)), str(Zeros(keep_of=(2, 4)))
            ('blocks of 4 along in, more than 30% zeros', '2 of each 4 along in')
        """
        words = "single weights"
        if self.keep_of is not None:
            words = f"{self.keep_of[0]} of each {self.keep_of[1]} along in"
        elif self.block:
            words = "blocks of " + ", ".join(
                f"{length} along {axis}" for axis, length in self.block
            )
        return words + (f", more than {self.more_than:.0%} zeros" if self.more_than else "")

    def find_misfit(self, pattern: Pattern, tensor: TensorChange) -> str | None:
        """Return why the zeros of a pruned tensor are not used; None if they are."""
        if self.keep_of is not None and not self._has_kept(pattern):
            return f"needs {self}, has {pattern.short}"
        if self.block and not self._has_blocks(pattern, tensor):
            return f"needs {self}, has {pattern.short}"
        share = (tensor.zeros_after or 0) / max(tensor.size, 1)
        if share <= self.more_than:
            return f"needs more than {self.more_than:.0%} zeros in a layer"
        return None

    def _has_kept(self, pattern: Pattern) -> bool:
        assert self.keep_of is not None
        kept, of = self.keep_of
        return (
            isinstance(pattern, KeepOf)
            and pattern.along == "in"
            and pattern.of == of
            and pattern.keep <= kept
        )

    def _has_blocks(self, pattern: Pattern, tensor: TensorChange) -> bool:
        lengths: Mapping[str, int] = pattern.lengths()
        if isinstance(pattern, Channel):
            shape = dict(zip(tensor.axes, tensor.shape, strict=False))
            return all(shape.get(axis, 0) % length == 0 for axis, length in self.block)
        return isinstance(pattern, Block) and all(
            lengths.get(axis, 1) % length == 0 for axis, length in self.block
        )


@dataclass(frozen=True, slots=True)
class Use:
    """One way in which a target uses zeros.

    Attributes:
        gain: What it brings.
        layers: The classes of layers; empty for all.
        zeros: Which zeros.
        how: What uses them, and what else is needed.
        pointwise: Whether convolutions must be 1x1.
    """

    gain: Gain
    layers: tuple[str, ...]
    zeros: Zeros
    how: str
    pointwise: bool = False

    @property
    def where(self) -> str:
        """The layers in words.

        Example:
            >>> Use("speed", ("Conv2D",), Zeros(), "", pointwise=True).where
            'Conv2D 1x1'
        """
        if not self.layers:
            return "all layers"
        layers = ", ".join(self.layers).replace(", ".join(CONVOLUTIONS), "convolutions")
        return layers + (" 1x1" if self.pointwise else "")

    def find_misfit(self, change: LayerChange) -> str | None:
        """Return why the zeros that a plan makes in a layer are not used; None if they are."""
        if self.layers and change.type not in self.layers:
            return f"no use for zeros of {change.type}"
        assert change.after is not None
        pruned = [tensor for tensor in change.tensors if tensor.zeros_after is not None]
        if self.pointwise and any(set(tensor.shape[:-2]) - {1} for tensor in pruned):
            return f"no use for zeros of {change.type} larger than 1x1"
        misfits = (self.zeros.find_misfit(change.after.pattern, tensor) for tensor in pruned)
        return next((misfit for misfit in misfits if misfit is not None), None)


@dataclass(frozen=True, slots=True)
class Trial:
    """What was tried with the real compiler or runtime.

    Attributes:
        version: The package and its version; empty where nothing was tried.
        found: The figures, or why nothing was tried.
    """

    version: str
    found: str

    def __str__(self) -> str:
        return f"{self.version}: {self.found}" if self.version else f"not tried: {self.found}"


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime, compiler or processor.

    Attributes:
        name: Its name on the command line.
        title: What it is.
        uses: How it uses zeros.
        rules: Shipped rule files that fit it.
        notes: What brings nothing, or is dangerous.
        trials: What was tried.
        sources: Where its documentation or source code says so.
    """

    name: str
    title: str
    uses: tuple[Use, ...]
    rules: tuple[str, ...]
    notes: tuple[str, ...]
    trials: tuple[Trial, ...]
    sources: tuple[str, ...]

    @property
    def gains(self) -> tuple[Gain, ...]:
        """What zeros bring here: speed, size, or both."""
        return tuple(dict.fromkeys(use.gain for use in self.uses))
