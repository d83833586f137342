"""The arguments `block_size` and `sparsity_m_by_n`, as patterns with named axes.

`prune_low_magnitude` takes them by position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphprune.archive.entries import Entry, type_of
from graphprune.arguments import describe
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.classes.layer_class import SPATIAL
from graphprune.sparsity.patterns import UNSTRUCTURED, Block, KeepOf, Pattern, Pool
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule

_POOLS: dict[str, Pool] = {"AVG": "mean", "MAX": "max"}
_SPATIAL = frozenset(axis for axes in SPATIAL.values() for axis in axes)
WAY_OUT = "leave it out for this layer, or name the axes in a rule file"

Axes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PatternArguments:
    """What the call was given.

    Attributes:
        block_size: (rows, columns) of a block on kernels of rank 2 and on those of 1x1
            convolutions; other convolutions are pruned by single weights.
        block_pooling_type: `AVG` or `MAX` of |w| scores a block.
        sparsity_m_by_n: (m, n): m of each n weights along the input axis are zeroed; the schedule
            says when, and this how many.
    """

    block_size: tuple[int, int] = (1, 1)
    block_pooling_type: str = "AVG"
    sparsity_m_by_n: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _check_pair("block_size", self.block_size)
        if not isinstance(self.block_pooling_type, str) or self.block_pooling_type not in _POOLS:
            raise ValueError(
                "block_pooling_type must be 'AVG' or 'MAX', got"
                f" {describe(self.block_pooling_type)}"
            )
        if self.sparsity_m_by_n is None:
            return
        _check_pair("sparsity_m_by_n", self.sparsity_m_by_n)
        zeros, length = self.sparsity_m_by_n
        if zeros >= length:
            raise ValueError(
                "sparsity_m_by_n=(m, n) zeroes m of each n weights, so m must be below n, got"
                f" {tuple(self.sparsity_m_by_n)}"
            )
        if tuple(self.block_size) != (1, 1):
            raise ValueError(
                f"give block_size or sparsity_m_by_n, not both, got {tuple(self.block_size)} and"
                f" {tuple(self.sparsity_m_by_n)}"
            )

    @property
    def is_unstructured(self) -> bool:
        """Whether single weights are pruned, whatever the kernel."""
        return self.sparsity_m_by_n is None and tuple(self.block_size) == (1, 1)

    @property
    def text(self) -> str:
        """The argument that asks for groups or blocks, as it was written."""
        return (
            f"block_size={tuple(self.block_size)}"
            if self.sparsity_m_by_n is None
            else f"sparsity_m_by_n={tuple(self.sparsity_m_by_n)}"
        )

    def pruning_for(
        self, entry: Entry, names: tuple[str, ...], target: float, schedule: Schedule
    ) -> Pruning:
        """Return how the weights `names` of a serialized built-in layer are pruned.

        Blocks and groups that are short at an edge are pruned like whole ones.

        Raises:
            ValueError: the layer has a kernel that does not take the pattern; the text names it.
        """
        if self.is_unstructured:
            return Pruning(target, schedule, names)
        known = {weight.name: weight.axes for weight in weights_of(entry) or ()}
        axes = tuple(known.get(name, ()) for name in names)
        if self.sparsity_m_by_n is not None:
            zeros, length = self.sparsity_m_by_n
            _check_axes(
                entry,
                names,
                axes,
                ("in" in found for found in axes),
                f"{self.text} needs an axis 'in'",
            )
            return Pruning(
                zeros / length,
                schedule,
                names,
                KeepOf(length - zeros, length, "in"),
                pads=True,
                axes=axes,
            )
        pattern = self._block(entry, names, axes)
        return (
            Pruning(target, schedule, names)
            if pattern == UNSTRUCTURED
            else Pruning(target, schedule, names, pattern, pads=True, axes=axes)
        )

    def _block(self, entry: Entry, names: Sequence[str], axes: Sequence[Axes]) -> Pattern:
        if any(_SPATIAL & set(found) for found in axes) and set(
            entry["config"].get("kernel_size", ())
        ) != {1}:
            return UNSTRUCTURED
        planes = [tuple(axis for axis in found if axis not in _SPATIAL) for found in axes]
        _check_axes(
            entry,
            names,
            axes,
            (len(plane) == 2 and plane == planes[0] for plane in planes),
            f"{self.text} needs a kernel of rank 2",
        )
        return (
            Block(
                tuple(zip(planes[0], self.block_size, strict=True)), _POOLS[self.block_pooling_type]
            )
            if planes
            else UNSTRUCTURED
        )


def pattern_arguments(pruning: Pruning) -> PatternArguments:
    """Return the arguments that say the pattern of `pruning` by position, as far as they can."""
    pattern = pruning.pattern
    if isinstance(pattern, KeepOf) and pattern.along == "in":
        return PatternArguments(sparsity_m_by_n=(pattern.of - pattern.keep, pattern.of))
    if not isinstance(pattern, Block):
        return PatternArguments()
    sizes = dict(pattern.sizes)
    plane = [
        axis
        for axis in (pruning.axes or (tuple(sizes),))[0]
        if axis in sizes or axis in ("in", "out")
    ]
    rows, columns = [*(sizes.get(axis, 1) for axis in plane), 1, 1][:2]
    return PatternArguments((rows, columns), "MAX" if pattern.pool == "max" else "AVG")


def _check_axes(
    entry: Entry, names: Sequence[str], axes: Sequence[Axes], fits: Iterable[bool], need: str
) -> None:
    for name, found, fit in zip(names, axes, fits, strict=True):
        if not fit:
            kind = f"axes {', '.join(found)}" if found else "axes without names"
            raise ValueError(
                f"{entry['config']['name']}: {need}, and {name} of {type_of(entry)} has {kind};"
                f" {WAY_OUT}"
            )


def _check_pair(name: str, value: object) -> None:
    if (
        not isinstance(value, Sequence)
        or len(value) != 2
        or not all(isinstance(part, int) and part >= 1 for part in value)
    ):
        raise ValueError(f"{name} must be two whole numbers from 1, got {value!r}")
