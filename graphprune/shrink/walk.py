"""The walk that carries channels through all calls of a model."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from graphprune.archive.op_layers import find_operation
from graphprune.errors import GraphError
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.channels import Channels, along_last
from graphprune.graph.classes.constants import is_linear
from graphprune.graph.frames import Frame, Member
from graphprune.graph.layer_arguments import name_argument, named_arguments
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import TensorUse, calls_in_order, operation_call
from graphprune.shrink.book import LayerBook, Reader, Zeros
from graphprune.shrink.channels import Reason
from graphprune.shrink.findings import Findings, same_places

_BATCH = ("BatchNormalization", "SyncBatchNormalization")
MAX_CALLS = 200_000
"""Calls of all layers, those of nested models for each call of the model."""


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
    walk.findings.pairs += same_places(walk.findings, _shared_ids(graph))
    return walk.findings


def _may_mask(graph: LayerGraph) -> bool:
    """Return whether a layer may make a mask; layers of a user's own may."""
    for address, layer in graph.layers.items():
        if address in graph.frames or find_operation(layer.entry) is not None:
            continue
        known = known_class(layer.entry)
        if known is None or (known.mask is not None and known.mask(layer.config, None) != ()):
            return True
    return False


def _shared_ids(graph: LayerGraph) -> dict[tuple[str, str], Hashable]:
    """Return the weights of layers that stand in several models, with what names them."""
    found: dict[tuple[str, str], Hashable] = {}
    for address, layer in graph.layers.items():
        shared = layer.entry.get("shared_object_id")
        if isinstance(shared, int):
            key = (layer.type, layer.name, shared)
            found |= {(address, tensor.name): (*key, tensor.name) for tensor in layer.tensors}
    return found


class _Walk:
    def __init__(
        self, graph: LayerGraph, shapes: Mapping[TensorUse, Shape], read: Reader | None
    ) -> None:
        self.findings = Findings(replaces_masked=graph.keras == 3 and _may_mask(graph))
        self._graph = graph
        self._shapes = shapes
        self._zeros = Zeros(read)
        self._calls = 0
        self._noted: set[str] = set()
        self._taken_by: dict[str, dict[str, list[Member | None]]] = {}

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
        names = named_arguments(layer, arguments)
        mean = self._mean_behind(frame, member, made)
        book = LayerBook(address, layer, "", self.findings, self._zeros, mean)
        return book.apply(layer.entry, taken, names, shapes, made, operation)

    def _mean_behind(
        self, frame: Frame, member: Member, made: Shape | None
    ) -> tuple[str, str] | None:
        """Return the moving mean of the batch normalization that alone takes a layer's output.

        It cannot take constants that an activation of the layer changes before.
        """
        takers = self._takers(frame).get(member.name, ())
        layer = self._graph.layers[frame.address_of(member.name)]
        only = takers[0] if len(takers) == 1 else None
        if only is None or len(only.calls) != 1 or len(member.calls) != 1:
            return None
        address = frame.address_of(only.name)
        taker = self._graph.layers.get(address)
        if taker is None or taker.type not in _BATCH:
            return None
        if not is_linear(layer.config.get("activation")):
            return None
        is_last = along_last(taker.config.get("axis", -1), made) == -1
        is_first = layer.config.get("data_format") == "channels_first"
        return (address, "moving_mean") if is_last and not is_first else None

    def _takers(self, frame: Frame) -> Mapping[str, Sequence[Member | None]]:
        """Return for each member of a model the calls that take its outputs; None for an output."""
        known = self._taken_by.get(frame.address)
        if known is None:
            known = self._taken_by[frame.address] = {}
            for member in frame.members:
                for use in itertools.chain.from_iterable(member.calls):
                    known.setdefault(use.source, []).append(member)
            for use in frame.outputs:
                known.setdefault(use.source, []).extend((None, None))
        return known

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
