"""How channels go through a layer: what a rule of a layer class says of one call.

Channels are numbered over the whole model. Two that get one number can only be removed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.entries import Entry
from graphprune.graph.classes.constants import Function, Made, Values, effect_of, function_of
from graphprune.graph.classes.lengths import Config
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.shapes.operation_calls import OperationCall

Labels = NDArray[np.int64]
"""The numbers of channels along an axis."""
Mask = NDArray[np.bool_]
Role = Literal["produces", "scales", "statistics", "consumes"]
"""What a weight does with a channel: makes it, scales or shifts it, keeps statistics of it (which a
dead channel may have), or reads it.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """The channels of a tensor.

    Attributes:
        axis: The axis that they are along, counted from the last one, -1.
        labels: Their numbers.
        zero: Whether the values of each are exactly zero, whatever the model is given.
        filled_by: The address of the layer whose output is not zero where its input is, if any.
        value: The value of each that is the same at all places, whatever the model is given; NaN
            for the others. None where only the zeros are known.
    """

    axis: int
    labels: Labels
    zero: Mask
    filled_by: str = ""
    value: Values | None = None

    @property
    def constants(self) -> Values:
        """The value of each that is constant; NaN for the others."""
        value = np.full(self.count, np.nan) if self.value is None else self.value
        return np.where(self.zero, 0.0, value)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.labels)


class Book(Protocol):
    """Where an analysis keeps what the rules say; weights are those of the layer that is called."""

    address: str

    @property
    def replaces_masked(self) -> bool:
        """Whether steps may be masked for which Keras 3 takes other values than those given."""

    def has(self, weight: str) -> bool:
        """Return whether the layer has the weight."""

    def own(self, weight: str, axis: int, count: int, role: Role) -> Labels:
        """Return the labels along an axis of a weight, new ones at the first call of the layer."""

    def bind(self, weight: str, axis: int, labels: Labels, role: Role) -> None:
        """Note that these channels are along the axis of the weight."""

    def fresh(self, count: int) -> Labels:
        """Return labels for channels that no weight has."""

    def couple(self, left: Labels, right: Labels) -> None:
        """Note that channels can be removed only together, in pairs."""

    def keep(self, labels: Labels, why: str) -> None:
        """Note that channels stay, and why; the text goes on after the layer's name."""

    def use(
        self, channels: Channels, harmless: Mask, folded: Mask | None = None, why: str = ""
    ) -> None:
        """Note that values of channels are read; `harmless` where they change nothing.

        Those that are `folded` into a bias can be removed too; `why` says why the others stay.
        """

    def fold(
        self, weight: str, axis: int, bias: str, labels: Labels, constants: Values, made: Made
    ) -> str:
        """Note that a bias can take the constants of channels that a weight multiplies.

        Returns why it cannot; an empty text if it can. `made` are the weight's axes that the bias
        has.
        """

    def sums(self, weight: str, axis: int, constants: Values, made: Made) -> Values:
        """Return what a weight makes of constants along an axis, see `sums_over`."""

    def values(self, weight: str) -> Values | None:
        """Return the values of a weight; None for one that is missing or taken to be zero."""

    def zeros(self, weight: str, axis: int, without: tuple[int, Mask] | None, count: int) -> Mask:
        """Return for each index along an axis whether the weight is zero there.

        Indices of another axis, which are masked by `without`, do not count.
        """

    def inside(
        self, entry: Entry, prefix: str, taken: Sequence[Channels | None], shapes: Sequence[Any]
    ) -> Sequence[Channels | None]:
        """Return what a layer inside gives, whose weights' names begin with `prefix`."""


@dataclass(frozen=True, slots=True)
class ChannelCall:
    """One call of a layer, for the rule of its class.

    Attributes:
        config: The layer's config.
        taken: The channels of each tensor that it takes; None for a tensor without known ones.
        arguments: The argument that each tensor is for.
        shapes: The shapes of these tensors, as far as they are known.
        made: The shape of its first output.
        operation: The call with all its arguments, of a layer that calls an operation.
        book: What is known of weights, and where the rule's findings go.
    """

    config: Config
    taken: Sequence[Channels | None]
    arguments: Sequence[str]
    shapes: Sequence[Shape | None]
    made: Shape | None
    operation: OperationCall | None
    book: Book

    @property
    def first(self) -> Channels | None:
        """The channels of the first tensor."""
        return self.taken[0] if self.taken else None

    def keep_all(self, why: str) -> tuple[None, ...]:
        """Keep the channels of all tensors; return that nothing is known of the outputs."""
        for channels in self.taken:
            self.keep(channels, why)
        return ()

    def keep(self, channels: Channels | None, why: str) -> None:
        """Keep the channels of one tensor."""
        if channels is not None:
            self.book.keep(channels.labels, why)

    def along(self, index: int, axis: int) -> Channels | None:
        """Return the channels of a tensor if they are along `axis`; others are kept."""
        found = self.taken[index] if index < len(self.taken) else None
        if found is None or found.axis == axis:
            return found
        self.keep(found, "reads them along another axis than that of its channels")
        return None

    def given(self, argument: str) -> Channels | None:
        """Return the channels of the tensor for an argument if they are along the last axis."""
        return (
            self.along(self.arguments.index(argument), -1) if argument in self.arguments else None
        )

    def read(
        self,
        channels: Channels | None,
        weight: str,
        axis: int,
        *,
        bias: str = "",
        made: Made = (-1,),
        uneven: str = "",
    ) -> tuple[int, Mask] | None:
        """Note that an axis of a weight reads the channels; return which are zero, and the axis.

        Args:
            channels: The channels.
            weight: The weight that multiplies them.
            axis: Its axis.
            bias: The weight that can take what it makes of constant channels; none if empty.
            made: The axes of the weight that the bias has.
            uneven: Why what it makes of them is not the same at all places; empty if it is.
        """
        if channels is None:
            return None
        labels, constants = channels.labels, channels.constants
        self.book.bind(weight, axis, labels, "consumes")
        harmless = channels.zero | self.book.zeros(weight, axis, None, channels.count)
        is_constant, folded = ~np.isnan(constants), np.zeros(channels.count, bool)
        if bias:
            why = uneven or self.book.fold(weight, axis, bias, labels, constants, made)
            blocked = is_constant & ~harmless if why else folded
            if blocked.any():
                self.book.use(channels, ~blocked, why=why)
            harmless, folded = harmless | blocked, folded if why else is_constant
        self.book.use(channels, harmless, folded)
        return axis, channels.zero

    def zeros(
        self,
        weight: str,
        axis: int,
        count: int,
        without: tuple[int, Mask] | None = None,
        *,
        absent: bool = True,
    ) -> Mask:
        """Return for each index along an axis of a weight whether it is zero there.

        `absent` is the answer for a weight that the layer does not have.
        """
        if not self.book.has(weight):
            return np.full(count, absent)
        return self.book.zeros(weight, axis, without, count)

    def values(self, weight: str, count: int, absent: float = 0.0) -> Values:
        """Return the values of a weight; `absent` for one that the layer does not have."""
        if not self.book.has(weight):
            return np.full(count, absent)
        found = self.book.values(weight)
        return np.zeros(count) if found is None else found

    def bind(self, weight: str, axis: int, labels: Labels, role: Role) -> None:
        """Note that channels are along an axis of a weight, if the layer has it."""
        if self.book.has(weight):
            self.book.bind(weight, axis, labels, role)

    def activated(self, channels: Channels, key: str = "activation") -> Channels:
        """Return the channels behind the activation in the config."""
        effect = effect_of(self.config.get(key))
        if effect == "mixes":
            self.keep(channels, "has an activation that is not known to treat each value alone")
        function = None if effect == "mixes" else function_of(self.config.get(key))
        return self.applied(channels, function, keeps_zero=effect == "keeps zero")

    def applied(
        self, channels: Channels, function: Function | None, *, keeps_zero: bool
    ) -> Channels:
        """Return the channels behind a function of each value.

        Args:
            channels: The channels before.
            function: The function; None where it is not known.
            keeps_zero: Whether it is zero at zero.
        """
        if function is None:
            return replace(channels, value=None) if keeps_zero else self.filled(channels)
        with np.errstate(all="ignore"):
            made = function(channels.constants)
        made = np.where(np.isfinite(made), made, np.nan)
        if keeps_zero:
            return replace(channels, zero=channels.zero | (made == 0), value=made)
        return replace(self.filled(channels), zero=made == 0, value=made)

    def filled(self, channels: Channels) -> Channels:
        """Return the channels as they are behind a function that is not zero at zero."""
        return replace(
            channels,
            zero=np.zeros(channels.count, bool),
            filled_by=channels.filled_by or self.book.address,
            value=None,
        )


ChannelRule = Callable[[ChannelCall], Sequence[Channels | None]]
"""Says what a call does with channels; returns those of its outputs, None where none are known."""

Weights = Mapping[str, Sequence[int]]
"""The shapes of a layer's weights."""
ResizeRule = Callable[[Config, Weights, Shape | None], Mapping[str, Any]]
"""Returns the settings that change in a config for weights of other lengths and another output."""


def from_axis(setting: str, weight: str, axis: int) -> ResizeRule:
    """Return the rule of a setting that is the length of a weight along an axis."""
    return lambda _config, weights, _made: {setting: weights[weight][axis]}


def channel_axis(config: Config, rank: int) -> int:
    """Return the axis of channels beside `rank` spatial axes, counted from the end."""
    return -rank - 1 if config.get("data_format") == "channels_first" else -1


def along_last(axis: Any, shape: Shape | None) -> int | None:
    """Return an axis of a config counted from the end; None where that is not known.

    Example:
        >>> along_last(-1, None), along_last([3], (None, 8, 8, 4)), along_last(1, None)
        (-1, -1, None)
    """
    if isinstance(axis, list | tuple):
        if len(axis) != 1:
            return None
        axis = axis[0]
    if type(axis) is not int:
        return None
    if axis < 0:
        return axis
    return None if shape is None or axis >= len(shape) else axis - len(shape)


def linear(
    call: ChannelCall,
    channels: Channels | None,
    kernel: str,
    axes: tuple[int, int],
    count: int,
    axis: int,
    uneven: str = "",
) -> Channels:
    """Return the channels that a kernel makes by sums of those that it reads, with its bias.

    Args:
        call: The call.
        channels: What is read.
        kernel: The kernel; its bias is `bias` beside it.
        axes: Its axes of read and of made channels.
        count: How many it makes.
        axis: Their axis in the output.
        uneven: Why sums over constant channels are not the same at all places; empty if they are.
    """
    bias = f"{kernel.rpartition('.')[0]}.bias".lstrip(".")
    zero_in = call.read(channels, kernel, axes[0], bias=bias, uneven=uneven)
    labels = call.book.own(kernel, axes[1], count, "produces")
    call.bind(bias, -1, labels, "scales")
    empty = call.zeros(kernel, axes[1], count, zero_in)
    zero = empty & call.zeros(bias, -1, count)
    value = np.where(empty, 0.0, np.nan)
    if channels is not None and not uneven and np.any(np.nan_to_num(channels.constants)):
        known = ~np.isnan(channels.constants)
        sums = call.book.sums(kernel, axes[0], np.nan_to_num(channels.constants), axes[1:])
        value = np.where(call.zeros(kernel, axes[1], count, (axes[0], known)), sums, np.nan)
    return Channels(axis, labels, zero, value=value + call.values(bias, count))
