"""The walk that carries channels through all calls of a model, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.entries import Entry
from graphprune.errors import GraphError
from graphprune.graph.classes.builtin_layers import (
    DAMAGED,
    find_channel_rule,
    find_expected_shapes,
    known_class,
    weights_of,
)
from graphprune.graph.classes.channels import ChannelCall, Channels, Labels, Mask, Role
from graphprune.graph.frames import Frame, Member
from graphprune.graph.layer_arguments import name_argument
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import TensorUse, calls_in_order, operation_call
from graphprune.shrink.channels import Reason

Reader = Callable[[str, str], NDArray[Any]]
"""Returns the values of a weight, by the address of its layer and its name."""

MAX_CALLS = 200_000
"""Calls of all layers, those of nested models for each call of the model."""

Place = tuple[str, str, int]
"""Address of a layer, name of a weight, axis."""


@dataclass(slots=True)
class Findings:
    """What the calls of a model say of its channels.

    Attributes:
        count: How many labels were given out.
        places: The labels along each axis of a weight, and what the weight does with them.
        pairs: Labels that belong to one channel.
        kept: Labels that stay, and why.
        used: Labels whose values are read where they are not known to be zero, and the layer that
            made them so.
        outputs: The labels of each tensor that a call makes, by its use.
    """

    count: int = 0
    places: dict[Place, tuple[Labels, Role]] = field(default_factory=dict)
    pairs: list[tuple[Labels, Labels]] = field(default_factory=list)
    kept: list[tuple[Labels, Reason]] = field(default_factory=list)
    used: list[tuple[Labels, Reason]] = field(default_factory=list)
    outputs: dict[TensorUse, Channels] = field(default_factory=dict)

    def fresh(self, count: int) -> Labels:
        """Return new labels."""
        labels = np.arange(self.count, self.count + count)
        self.count += count
        return labels


def walk_channels(
    graph: LayerGraph, shapes: Mapping[TensorUse, Shape], read: Reader | None
) -> Findings:
    """Return what all calls of a model say of its channels.

    Args:
        graph: The model.
        shapes: The shapes of its tensors.
        read: Returns the values of weights. None asks what is zero if all weights are that produce
            or scale channels.

    Raises:
        GraphError: nested models are called too often.
    """
    walk = _Walk(graph, shapes, read)
    frame = graph.frames[""]
    for use, channels in zip(frame.outputs, walk.model(frame, None), strict=True):
        if channels is not None:
            reason = Reason(frame.address_of(use.source), "is an output of the model")
            walk.findings.kept.append((channels.labels, reason))
    return walk.findings


class _Walk:
    def __init__(
        self, graph: LayerGraph, shapes: Mapping[TensorUse, Shape], read: Reader | None
    ) -> None:
        self.findings = Findings()
        self._graph = graph
        self._shapes = shapes
        self._read = read
        self._calls = 0
        self._noted: set[str] = set()

    def model(self, frame: Frame, given: Sequence[Channels | None] | None) -> list[Channels | None]:
        """Return the channels of a model's outputs, for those of the tensors that it is given."""
        found: dict[TensorUse, Channels | None] = {}
        fed = {} if given is None else dict(zip(frame.inputs, given, strict=False))
        bound = {use.source: channels for use, channels in fed.items()}
        for member, call in calls_in_order(frame):
            self._calls += 1
            if self._calls > MAX_CALLS:
                raise GraphError(
                    f"makes more than {MAX_CALLS:,} calls of layers, too many to find the channels"
                    " that belong together",
                    place=self._graph.name,
                )
            made = (
                [bound[member.name]]
                if member.name in bound
                else self._member(frame, member, call, given, found)
            )
            self._note(frame.address_of(member.name), call, made)
            for index, channels in enumerate(made):
                found[member.name, call, index] = channels
        return [
            found.get((use.source, use.source_call, use.source_tensor)) for use in frame.outputs
        ]

    def _member(
        self,
        frame: Frame,
        member: Member,
        call: int,
        given: Sequence[Channels | None] | None,
        found: Mapping[TensorUse, Channels | None],
    ) -> Sequence[Channels | None]:
        address = frame.address_of(member.name)
        layer, uses = self._graph.layers[address], member.calls[call]
        made = self._shapes.get((address, call, 0))
        if layer.kind == "input":
            return [self._input(address, made)]
        taken = [found.get((use.source, use.source_call, use.source_tensor)) for use in uses]
        arguments = [name_argument(layer, use) for use in uses]
        shapes = [
            self._shapes.get((frame.address_of(use.source), use.source_call, use.source_tensor))
            for use in uses
        ]
        if not uses and not frame.inputs and frame.members[0] is member:
            taken, arguments = list(given or [None]), ["0"]
            shapes = [None] * len(taken)
        if address in self._graph.frames:
            return self._nested(self._graph.frames[address], taken)
        operation = operation_call(member, call, shapes)
        names = _named(layer, arguments)
        book = LayerBook(address, layer, "", self)
        return book.apply(layer.entry, taken, names, shapes, made, operation)

    def _note(self, address: str, call: int, made: Sequence[Channels | None]) -> None:
        """Keep the channels of a call's outputs.

        The config of a layer has one shape for all its calls, such as that of a Reshape or of an
        input of a nested model, so all its calls lose the same channels.
        """
        is_again, has_shape = address in self._noted, self._has_shape(address)
        self._noted.add(address)
        for index, channels in enumerate(made):
            first = self.findings.outputs.get((address, 0, index))
            if is_again and has_shape:
                self._tie(address, first, channels)
            if channels is not None:
                self.findings.outputs[address, call, index] = channels

    def _tie(self, address: str, left: Channels | None, right: Channels | None) -> None:
        """Couple the channels of two calls, or keep them where they are not alike."""
        alike = [(each.count, each.axis) for each in (left, right) if each is not None]
        if left is not None and right is not None and alike[0] == alike[1]:
            self.findings.pairs.append((left.labels, right.labels))
            return
        for channels in (left, right):
            if channels is not None:
                self._stay(address, channels)

    def _stay(self, address: str, channels: Channels) -> None:
        reason = Reason(address, "has one shape for all its calls, which differ")
        self.findings.kept.append((channels.labels, reason))

    def _has_shape(self, address: str) -> bool:
        layer = self._graph.layers[address]
        return layer.kind == "input" or "target_shape" in layer.config

    def _nested(self, frame: Frame, taken: Sequence[Channels | None]) -> Sequence[Channels | None]:
        """Return the channels of a nested model's outputs; one without an input keeps its own."""
        if len(frame.inputs) != len(taken):
            reason = Reason(frame.address, "is a model whose config has a shape for them")
            self.findings.kept += [(each.labels, reason) for each in taken if each is not None]
        return self.model(frame, taken)

    def _input(self, address: str, shape: Shape | None) -> Channels | None:
        """Return the channels of an input, which stay."""
        length = None if shape is None or len(shape) < 2 else shape[-1]
        if length is None:
            return None
        labels = self.findings.fresh(length)
        self.findings.kept.append((labels, Reason(address, "is an input of the model")))
        return Channels(-1, labels, np.zeros(length, bool))

    def zeros(
        self, address: str, weight: str, axis: int, without: tuple[int, Mask] | None, count: int
    ) -> Mask:
        """Return for each index along an axis of a weight whether the weight is zero there."""
        if self._read is None:
            return np.ones(count, bool)
        filled = self._read(address, weight) != 0
        axis %= filled.ndim
        if without is not None:
            filled = np.compress(~without[1], filled, without[0])
        found: Mask = ~filled.any(tuple(index for index in range(filled.ndim) if index != axis))
        return found

    @property
    def is_asked_of_zeros(self) -> bool:
        """Whether the walk asks what would be zero."""
        return self._read is None


def _named(layer: Layer, arguments: Sequence[str]) -> list[str]:
    """Return the names of arguments; the first has one only where the class gives it."""
    known = known_class(layer.entry)
    first = "0" if known is None else known.argument_name("0")
    return [first if argument == "0" else argument for argument in arguments]


class LayerBook:
    """Where the rule of one layer finds its weights, and where its findings go.

    Attributes:
        address: The layer.
    """

    def __init__(self, address: str, layer: Layer, prefix: str, walk: _Walk) -> None:
        self.address = address
        self._layer = layer
        self._prefix = prefix
        self._walk = walk
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
        try:
            return rule(call)
        except DAMAGED:
            for place, (labels, _) in self._walk.findings.places.items():
                if place[0] == self.address:
                    self.keep(labels, "has settings that its channels do not fit")
            return call.keep_all("has settings that its channels do not fit")

    def has(self, weight: str) -> bool:
        """Return whether the layer has the weight."""
        return f"{self._prefix}{weight}" in self._known

    def own(self, weight: str, axis: int, count: int, role: Role) -> Labels:
        """Return the labels along an axis of a weight, new ones at the first call of the layer."""
        place = self._place(weight, axis, count)
        places = self._walk.findings.places
        if place not in places:
            places[place] = self.fresh(count), role
        return places[place][0]

    def bind(self, weight: str, axis: int, labels: Labels, role: Role) -> None:
        """Note that these channels are along the axis of the weight."""
        place = self._place(weight, axis, len(labels))
        places = self._walk.findings.places
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
        return self._walk.findings.fresh(count)

    def couple(self, left: Labels, right: Labels) -> None:
        """Note that channels can be removed only together, in pairs."""
        if left.shape != right.shape:
            raise ValueError(f"{left.size} channels beside {right.size}")
        if left is not right:
            self._walk.findings.pairs.append((left, right))

    def keep(self, labels: Labels, why: str) -> None:
        """Note that channels stay, and why."""
        self._walk.findings.kept.append((labels, Reason(self.address, why)))

    def use(self, channels: Channels, harmless: Mask) -> None:
        """Note that values of channels are read; `harmless` where they change nothing."""
        alive = ~(channels.zero if self._walk.is_asked_of_zeros else harmless)
        if alive.any():
            reason = Reason(self.address, "reads values of them that are not zero")
            if channels.filled_by:
                reason = Reason(channels.filled_by, "is not zero where its input is")
            self._walk.findings.used.append((channels.labels[alive], reason))

    def zeros(self, weight: str, axis: int, without: tuple[int, Mask] | None, count: int) -> Mask:
        """Return for each index along an axis of a weight whether the weight is zero there."""
        name = f"{self._prefix}{weight}"
        return self._walk.zeros(self.address, name, axis, without, count)

    def inside(
        self,
        entry: Entry,
        prefix: str,
        taken: Sequence[Channels | None],
        shapes: Sequence[Shape | None],
    ) -> Sequence[Channels | None]:
        """Return what a layer inside gives, whose weights' names begin with `prefix`."""
        whole = f"{self._prefix}{prefix}." if prefix else self._prefix
        book = LayerBook(self.address, self._layer, whole, self._walk)
        arguments = [str(index) for index in range(len(taken))]
        return book.apply(entry, taken, arguments, shapes, None)
