"""The shapes of the tensors between layers.

They come from the inputs through the layers, and from build configs where that is not enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphprune.archive.entries import Entry, is_model
from graphprune.errors import GraphError
from graphprune.graph.classes.builtin_layers import find_output_shapes, known_class
from graphprune.graph.frames import Frame, Member, Use, constants_of
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.shapes.axis_lengths import MAX_RANK, Shape, format_shape
from graphprune.graph.shapes.operation_calls import OperationCall

__all__ = [
    "Shape",
    "TensorUse",
    "calls_in_order",
    "find_tensor_shapes",
    "format_shape",
    "operation_call",
]

TensorUse = tuple[str, int, int]
"""Address of the layer that makes the tensor, its call, and the tensor's index."""

_Shapes = tuple[Shape | None, ...]
_WALKS_PER_FRAME = 8
"""Nested models are walked again for calls with other shapes, but not more often than this for each
model: towers in towers double with each level.
"""
_HELD_IN_EACH_OTHER = 3
"""Models that are held by layers of models that are held by layers: deeper ones are not walked."""


def find_tensor_shapes(graph: LayerGraph) -> Mapping[TensorUse, Shape]:
    """Return the known shapes, the batch axis included (None where it is open).

    The tensors inside a nested model have the shapes of its own inputs; where it has none (a
    Sequential that was never built alone), those of its first call.
    """
    walk = _Walk(graph)
    walk.run()
    return walk.shapes


class _Walk:
    """Carries shapes through the model, then through nested models with inputs of their own."""

    def __init__(self, graph: LayerGraph, depth: int = 0) -> None:
        self._depth = depth
        self.shapes: dict[TensorUse, Shape] = {}
        self._graph = graph
        self._built = dict(_built_shapes(graph))
        self._made: dict[tuple[str, _Shapes], _Shapes] = {}
        self._left = _WALKS_PER_FRAME * len(graph.frames)

    def run(self) -> None:
        """Find the shapes of all frames, the innermost first.

        So each is walked with its own inputs before it is walked for its calls.
        """
        for address, frame in reversed(tuple(self._graph.frames.items())):
            if not address or frame.inputs:
                self._made[address, self._own_inputs(frame)] = self._walk(frame, None)

    def give(self, given: Shape) -> _Shapes:
        """Return what the model gives for one tensor of the shape `given`."""
        for address, frame in reversed(tuple(self._graph.frames.items())):
            if address and frame.inputs:
                self._made[address, self._own_inputs(frame)] = self._walk(frame, None)
        return self._walk(self._graph.frames[""], (given,))

    def _own_inputs(self, frame: Frame) -> _Shapes:
        return tuple(
            next(iter(_input_shapes(self._graph.layers[frame.address_of(use.source)])), None)
            for use in frame.inputs
        )

    def _walk(self, frame: Frame, given: _Shapes | None) -> _Shapes:
        """Return the shapes of the frame's outputs, for its own inputs or for others.

        The shapes inside are kept unless they are known already.
        """
        found: dict[TensorUse, Shape] = {}
        if given is not None:
            found |= {
                _key(frame, use): shape
                for use, shape in zip(frame.inputs, given, strict=False)
                if shape is not None
            }
        for member, call in calls_in_order(frame):
            for index, shape in enumerate(self._member_shapes(frame, member, call, given, found)):
                if shape is not None:
                    found.setdefault((frame.address_of(member.name), call, index), shape)
        for key, shape in found.items():
            self.shapes.setdefault(key, shape)
        return tuple(found.get(_key(frame, use)) for use in frame.outputs)

    def _member_shapes(
        self,
        frame: Frame,
        member: Member,
        call: int,
        given: _Shapes | None,
        found: Mapping[TensorUse, Shape],
    ) -> _Shapes:
        address = frame.address_of(member.name)
        layer, uses = self._graph.layers[address], member.calls[call]
        if layer.kind == "input":
            return tuple(_input_shapes(layer)) if given is None else ()
        taken: Sequence[Shape | None] = [found.get(_key(frame, use)) for use in uses]
        if not uses and not frame.inputs and frame.members[0] is member:
            taken = given or tuple(_first_shapes(frame, layer))
        made = (
            self._nested_shapes(address, tuple(taken))
            if layer.kind == "model"
            else self._layer_shapes(layer.entry, tuple(taken), operation_call(member, call, taken))
        )
        return (
            made
            if any(shape is not None for shape in made) or given is not None
            else (self._built.get((address, call, 0)),)
        )

    def _layer_shapes(self, entry: Entry, taken: _Shapes, call: OperationCall | None) -> _Shapes:
        """Return what a layer gives, models that it holds included."""
        return find_output_shapes(entry, taken, call, self._shapes_inside)

    def _shapes_inside(self, entry: Entry, taken: Sequence[Shape | None]) -> _Shapes:
        first = taken[0]
        if is_model(entry):
            return () if first is None else self._held_shapes(entry, first)
        return self._layer_shapes(entry, tuple(taken), None)

    def _held_shapes(self, entry: Entry, given: Shape) -> _Shapes:
        """Return what a model outside the graph gives for one tensor of the shape `given`."""
        if self._depth >= _HELD_IN_EACH_OTHER:
            return ()
        try:
            return _Walk(graph_from_config(entry), self._depth + 1).give(given)
        except GraphError:
            return ()

    def _nested_shapes(self, address: str, taken: _Shapes) -> _Shapes:
        """Return what a nested model gives for these shapes, found once for the same shapes."""
        frame = self._graph.frames[address]
        key = address, taken[: len(frame.inputs)] if frame.inputs else taken[:1]
        if key not in self._made:
            if self._left <= 0 or None in key[1] or not key[1]:
                return ()
            self._left -= 1
            self._made[key] = self._walk(frame, key[1])
        return self._made[key]


def _key(frame: Frame, use: Use) -> TensorUse:
    return frame.address_of(use.source), use.source_call, use.source_tensor


def calls_in_order(frame: Frame) -> Iterator[tuple[Member, int]]:
    """Yield each call of the frame after those whose tensors it takes.

    Calls in a circle, which only a damaged file has, are left out.
    """
    members = {member.name: member for member in frame.members}
    waits: dict[tuple[str, int], int] = {}
    takers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for member in frame.members:
        for call, uses in enumerate(member.calls):
            sources = {(use.source, use.source_call) for use in uses}
            waits[member.name, call] = len(sources)
            for source in sources:
                takers.setdefault(source, []).append((member.name, call))
    ready = [key for key, count in waits.items() if not count]
    for name, call in ready:  # grows while it is walked
        yield members[name], call
        for taker in takers.get((name, call), ()):
            waits[taker] -= 1
            if not waits[taker]:
                ready.append(taker)


def operation_call(
    member: Member, call: int, taken: Sequence[Shape | None]
) -> OperationCall | None:
    """Return what an operation is called with; None where the shape of a tensor is not known.

    The other arguments of a call stand as fourth item in the first reference of its inbound node,
    tensors among them as references.
    """
    known = {
        use.argument: shape
        for use, shape in zip(member.calls[call], taken, strict=False)
        if shape is not None
    }
    if len(known) < len(taken):
        return None
    nodes = member.placement.get("inbound_nodes", ())
    first = node = nodes[call] if call < len(nodes) else ()
    while isinstance(first, list | tuple) and first and isinstance(first[0], list | tuple):
        first = first[0]
    last = first[3] if isinstance(first, list | tuple) and len(first) == 4 else {}
    is_named = {argument: not argument.split(".")[0].isdecimal() for argument in known}
    mixed = frozenset(
        argument.split(".")[0] for argument, named in is_named.items() if named and "." in argument
    )
    named = {
        argument: shape
        for argument, shape in known.items()
        if is_named[argument] and "." not in argument
    }
    keywords = last if isinstance(last, Mapping) else {}
    return OperationCall(
        taken=tuple(shape for argument, shape in known.items() if not is_named[argument]),
        named=named,
        settings={
            key: value for key, value in keywords.items() if key not in named and key not in mixed
        },
        constants=tuple(constants_of(node)),
        mixed=mixed,
    )


def _first_shapes(frame: Frame, layer: Layer) -> Iterator[Shape]:
    """Yield the input shape of a Sequential without InputLayer.

    It is in the config of the first layer, or in that of the model.
    """
    yield from _input_shapes(layer)
    yield from _shapes_in(frame.entry["config"].get("build_input_shape"))


def _input_shapes(layer: Layer) -> Iterator[Shape]:
    return _shapes_in(layer.config.get("batch_input_shape", layer.config.get("batch_shape")))


def _built_shapes(graph: LayerGraph) -> Iterator[tuple[TensorUse, Shape]]:
    """Yield the shapes that layers were built with.

    Only of layers that are called once, as a build config is that of the first call.
    """
    for frame in graph.frames.values():
        for member in frame.members:
            layer = graph.layers[frame.address_of(member.name)]
            if len(member.calls) == 1 and member.calls[0]:
                build = (layer.entry if layer.wrap is None else layer.wrap.entry).get(
                    "build_config"
                )
                found = list(
                    _shapes_in(build.get("input_shape") if isinstance(build, Mapping) else None)
                )
                if len(found) == len(member.calls[0]):
                    yield from zip(
                        (_key(frame, use) for use in member.calls[0]), found, strict=True
                    )


def _shapes_in(value: Any) -> Iterator[Shape]:
    """Yield the shape, or the shapes in a list or dict, in the order of `tf.nest.flatten`."""
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value, key=str)]
    if not isinstance(value, list | tuple) or len(value) > 10_000:
        return
    if all(length is None or type(length) is int for length in value):
        if len(value) <= MAX_RANK:
            yield tuple(value)
        return
    for item in value:
        if (
            isinstance(item, list | tuple)
            and len(item) <= MAX_RANK
            and all(length is None or type(length) is int for length in item)
        ):
            yield tuple(item)


def find_last_axis(layer: Layer) -> int | None:
    """Return the length of the last axis of the layer's output, if one of its weights tells it.

    That is what is known where the tensor that it takes is not (behind a Lambda).
    """
    known = known_class(layer.entry)
    name = "" if known is None else known.output_weight
    if not name or layer.config.get("data_format") == "channels_first":
        return None
    return next(
        (
            tensor.shape[-1]
            for tensor in layer.tensors
            if tensor.name == name and len(tensor.shape) > 1
        ),
        None,
    )


def format_output(layer: Layer, shape: Shape | None) -> str:
    """Return a layer's output shape as reports show it.

    That is `…×10` where only the last axis is known, and nothing where nothing is known.

    Example:
        >>> from graphprune.graph.layers import Tensor
        >>> dense = Layer(
        ...     "fc",
        ...     "Dense",
        ...     {"class_name": "Dense", "config": {}},
        ...     tensors=(Tensor("kernel", (8, 10)),),
        ... )
        >>> format_output(dense, (None, 10)), format_output(dense, None)
        ('?×10', '…×10')
    """  # noqa: RUF002 - the sign of multiplication is meant
    if shape is not None:
        return format_shape(shape)
    last = find_last_axis(layer)
    return "" if last is None else f"…×{last}"  # noqa: RUF001
