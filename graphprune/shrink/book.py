"""Where the rule of one layer finds its weights, and where its findings go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.entries import Entry
from graphprune.graph.classes.builtin_layers import (
    DAMAGED,
    find_channel_rule,
    find_expected_shapes,
    weights_of,
)
from graphprune.graph.classes.channels import ChannelCall, Channels, Labels, Mask, Role
from graphprune.graph.classes.constants import Made, Values, made_shape, sums_over
from graphprune.graph.layers import Layer
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.shrink.channels import Reason
from graphprune.shrink.findings import Findings, Fold, Place

Reader = Callable[[str, str], NDArray[Any]]
"""Returns the values of a weight, by the address of its layer and its name."""


@dataclass(frozen=True, slots=True)
class Zeros:
    """Which weights are zero.

    Attributes:
        read: Returns the values of weights. None takes all to be zero that produce or scale
            channels.
    """

    read: Reader | None

    def along(
        self, address: str, weight: str, axis: int, without: tuple[int, Mask] | None, count: int
    ) -> Mask:
        """Return for each index along an axis of a weight whether the weight is zero there."""
        if self.read is None:
            return np.ones(count, bool)
        filled = self.read(address, weight) != 0
        axis %= filled.ndim
        if without is not None:
            filled = np.compress(~without[1], filled, without[0])
        found: Mask = ~filled.any(tuple(index for index in range(filled.ndim) if index != axis))
        return found

    @property
    def is_supposed(self) -> bool:
        """Whether all weights that may be zero are taken to be."""
        return self.read is None


class LayerBook:
    """Where the rule of one layer finds its weights, and where its findings go.

    Attributes:
        address: The layer.
        mean_behind: The moving mean of the batch normalization that alone takes what the layer
            makes, by address and name.
    """

    def __init__(
        self,
        address: str,
        layer: Layer,
        prefix: str,
        findings: Findings,
        zeros: Zeros,
        mean_behind: tuple[str, str] | None = None,
    ) -> None:
        self.address = address
        self._layer = layer
        self._prefix = prefix
        self.findings = findings
        self.zeros_of = zeros
        self._mean_behind = mean_behind
        self._known = {tensor.name: tensor.shape for tensor in layer.tensors}
        if not self._known:
            expected = find_expected_shapes(layer.entry)
            self._known = {
                weight.name: expected.get(weight.name, ())  # type: ignore[misc]
                for weight in weights_of(layer.entry) or ()
            }

    def apply(
        self,
        entry: Entry,
        taken: Sequence[Channels | None],
        arguments: Sequence[str],
        shapes: Sequence[Shape | None],
        made: Shape | None,
        operation: Any = None,
    ) -> Sequence[Channels | None]:
        """Return the channels of what a layer gives; those of one without a rule stay."""
        call = ChannelCall(entry["config"], taken, arguments, shapes, made, operation, self)
        rule = find_channel_rule(entry)
        if rule is None:
            return call.keep_all(f"is a {self._layer.type}, whose effect on channels is not known")
        known = {weight.name for weight in weights_of(self._layer.entry) or ()}
        if any(tensor.name not in known for tensor in self._layer.tensors):
            return call.keep_all("has weights that its class does not make, such as scales")
        try:
            return rule(call)
        except DAMAGED:
            for place, (labels, _) in self.findings.places.items():
                if place[0] == self.address:
                    self.keep(labels, "has settings that its channels do not fit")
            return call.keep_all("has settings that its channels do not fit")

    @property
    def replaces_masked(self) -> bool:
        """Whether steps may be masked for which Keras 3 takes other values than those given."""
        return self.findings.replaces_masked

    def has(self, weight: str) -> bool:
        """Return whether the layer has the weight."""
        return f"{self._prefix}{weight}" in self._known

    def own(self, weight: str, axis: int, count: int, role: Role) -> Labels:
        """Return the labels along an axis of a weight, new ones at the first call of the layer."""
        place = self._place(weight, axis, count)
        places = self.findings.places
        if place not in places:
            places[place] = self.fresh(count), role
        return places[place][0]

    def bind(self, weight: str, axis: int, labels: Labels, role: Role) -> None:
        """Note that these channels are along the axis of the weight."""
        place = self._place(weight, axis, len(labels))
        places = self.findings.places
        if place in places:
            self.couple(places[place][0], labels)
        else:
            places[place] = labels, role

    def _place(self, weight: str, axis: int, count: int) -> Place:
        name = f"{self._prefix}{weight}"
        shape = self._known[name]
        axis = axis % len(shape) if axis < 0 else axis
        if self._layer.tensors and shape[axis] != count:
            raise ValueError(f"{name} has {shape[axis]} places along axis {axis}, not {count}")
        return self.address, name, axis

    def fresh(self, count: int) -> Labels:
        """Return labels for channels that no weight has."""
        return self.findings.fresh(count)

    def couple(self, left: Labels, right: Labels) -> None:
        """Note that channels can be removed only together, in pairs."""
        if left.shape != right.shape:
            raise ValueError(f"{left.size} channels beside {right.size}")
        if left is not right:
            self.findings.pairs.append((left, right))

    def keep(self, labels: Labels, why: str) -> None:
        """Note that channels stay, and why."""
        self.findings.kept.append((labels, Reason(self.address, why)))

    def use(
        self, channels: Channels, harmless: Mask, folded: Mask | None = None, why: str = ""
    ) -> None:
        """Note that values of channels are read; `harmless` where they change nothing.

        Those that are `folded` into a bias can be removed too; `why` says why the others stay.
        """
        alive = ~(channels.zero if self.zeros_of.is_supposed and not why else harmless)
        if folded is not None:
            alive = alive & ~folded
        if alive.any():
            reason = Reason(self.address, why or "reads values of them that are not zero")
            if channels.filled_by and not why:
                reason = Reason(channels.filled_by, "is not zero where its input is")
            self.findings.used.append((channels.labels[alive], reason))

    def fold(
        self, weight: str, axis: int, bias: str, labels: Labels, constants: Values, made: Made
    ) -> str:
        """Note that a bias can take the constants of channels that a weight multiplies.

        Returns why it cannot; an empty text if it can. A layer without a bias can have a moving
        mean behind it that takes them.
        """
        target, sign = (self.address, f"{self._prefix}{bias}"), 1
        if not self.has(bias):
            if self._mean_behind is None:
                return "has no bias that could take their constant"
            target, sign = self._mean_behind, -1
        place = self._place(weight, axis, len(labels))
        fold = self.findings.folds.setdefault(place, Fold(target, sign, labels, [], made))
        fold.constants.append(constants)
        return ""

    def sums(self, weight: str, axis: int, constants: Values, made: Made) -> Values:
        """Return what a weight makes of constants along an axis, see `sums_over`."""
        values = self.values(weight)
        if values is None:
            return np.zeros(made_shape(self._known[f"{self._prefix}{weight}"], made))
        return sums_over(values, axis, constants, made)

    def values(self, weight: str) -> Values | None:
        """Return the values of a weight; None for one that is missing or taken to be zero."""
        if self.zeros_of.read is None or not self.has(weight):
            return None
        return np.asarray(self.zeros_of.read(self.address, f"{self._prefix}{weight}"), np.float64)

    def zeros(self, weight: str, axis: int, without: tuple[int, Mask] | None, count: int) -> Mask:
        """Return for each index along an axis of a weight whether the weight is zero there."""
        name = f"{self._prefix}{weight}"
        return self.zeros_of.along(self.address, name, axis, without, count)

    def inside(
        self,
        entry: Entry,
        prefix: str,
        taken: Sequence[Channels | None],
        shapes: Sequence[Shape | None],
    ) -> Sequence[Channels | None]:
        """Return what a layer inside gives, whose weights' names begin with `prefix`."""
        whole = f"{self._prefix}{prefix}." if prefix else self._prefix
        book = LayerBook(self.address, self._layer, whole, self.findings, self.zeros_of)
        arguments = [str(index) for index in range(len(taken))]
        return book.apply(entry, taken, arguments, shapes, None)
