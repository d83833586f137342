"""The shapes of the tensors between layers: from the inputs through the layers, and from build configs where that is not enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphprune.graph.frames import Frame, Member, Use
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.output_shapes import find_output_shapes
from graphprune.graph.shapes import MAX_RANK, Shape, format_shape

__all__ = ["Shape", "TensorUse", "find_tensor_shapes", "format_shape"]

TensorUse = tuple[str, int, int]
"""Address of the layer that makes the tensor, its call, and the tensor's index."""

_Shapes = tuple[Shape | None, ...]
_WALKS_PER_FRAME = 8
"""Nested models are walked again for calls with other shapes, but not more often than this for each model: towers in towers double with each level."""


def find_tensor_shapes(graph: LayerGraph) -> Mapping[TensorUse, Shape]:
    """Return the known shapes, the batch axis included (None where it is open).

    The tensors inside a nested model have the shapes of its own inputs; where it has none (a Sequential that was never built alone), those of its first call.
    """
    walk = _Walk(graph)
    walk.run()
    return walk.shapes


class _Walk:
    """Carries shapes through the model, then through the nested models that have inputs of their own."""

    def __init__(self, graph: LayerGraph) -> None:
        self.shapes: dict[TensorUse, Shape] = {}
        self._graph = graph
        self._built = dict(_built_shapes(graph))
        self._made: dict[tuple[str, _Shapes], _Shapes] = {}
        self._left = _WALKS_PER_FRAME * len(graph.frames)

    def run(self) -> None:
        """Find the shapes of all frames, the innermost first, so that each is walked with its own inputs before it is walked for its calls."""
        for address, frame in reversed(tuple(self._graph.frames.items())):
            if not address or frame.inputs:
                self._made[address, self._own_inputs(frame)] = self._walk(frame, None)

    def _own_inputs(self, frame: Frame) -> _Shapes:
        return tuple(next(iter(_input_shapes(self._graph.layers[frame.address_of(use.source)])), None) for use in frame.inputs)

    def _walk(self, frame: Frame, given: _Shapes | None) -> _Shapes:
        """Return the shapes of the frame's outputs, for its own inputs or for others; the shapes inside are kept unless they are known already."""
        found: dict[TensorUse, Shape] = {}
        if given is not None:
            found |= {_key(frame, use): shape for use, shape in zip(frame.inputs, given, strict=False) if shape is not None}
        for member, call in _in_order(frame):
            for index, shape in enumerate(self._member_shapes(frame, member, call, given, found)):
                if shape is not None:
                    found.setdefault((frame.address_of(member.name), call, index), shape)
        for key, shape in found.items():
            self.shapes.setdefault(key, shape)
        return tuple(found.get(_key(frame, use)) for use in frame.outputs)

    def _member_shapes(self, frame: Frame, member: Member, call: int, given: _Shapes | None, found: Mapping[TensorUse, Shape]) -> _Shapes:
        address = frame.address_of(member.name)
        layer, uses = self._graph.layers[address], member.calls[call]
        if layer.kind == "input":
            return tuple(_input_shapes(layer)) if given is None else ()
        taken: Sequence[Shape | None] = [found.get(_key(frame, use)) for use in uses]
        if not uses and not frame.inputs and frame.members[0] is member:
            taken = given or tuple(_first_shapes(frame, layer))
        made = self._nested_shapes(address, tuple(taken)) if layer.kind == "model" else find_output_shapes(layer.entry, taken, _keywords(member, call))
        return made if any(made) or given is not None else (self._built.get((address, call, 0)),)

    def _nested_shapes(self, address: str, taken: _Shapes) -> _Shapes:
        """Return what a nested model makes of tensors of these shapes, found once for the same shapes."""
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


def _in_order(frame: Frame) -> Iterator[tuple[Member, int]]:
    """Yield each call of the frame after those whose tensors it takes; calls in a circle, which only a damaged file has, are left out."""
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


def _keywords(member: Member, call: int) -> Mapping[str, Any]:
    """Return the constant arguments of a call, which stand as fourth item in the first reference of its inbound node."""
    nodes = member.placement.get("inbound_nodes", ())
    node = nodes[call] if call < len(nodes) else ()
    while isinstance(node, list | tuple) and node and isinstance(node[0], list | tuple):
        node = node[0]
    last = node[3] if isinstance(node, list | tuple) and len(node) == 4 else {}
    return last if isinstance(last, Mapping) else {}


def _first_shapes(frame: Frame, layer: Layer) -> Iterator[Shape]:
    """Yield the input shape that a Sequential without InputLayer tells in its first layer, or in its own config."""
    yield from _input_shapes(layer)
    yield from _shapes_in(frame.entry["config"].get("build_input_shape"))


def _input_shapes(layer: Layer) -> Iterator[Shape]:
    return _shapes_in(layer.config.get("batch_input_shape", layer.config.get("batch_shape")))


def _built_shapes(graph: LayerGraph) -> Iterator[tuple[TensorUse, Shape]]:
    """Yield what the takers of a tensor were built with; of layers that are called once, as a build config is that of the first call."""
    for frame in graph.frames.values():
        for member in frame.members:
            layer = graph.layers[frame.address_of(member.name)]
            if len(member.calls) == 1 and member.calls[0]:
                build = (layer.entry if layer.wrap is None else layer.wrap.entry).get("build_config")
                found = list(_shapes_in(build.get("input_shape") if isinstance(build, Mapping) else None))
                if len(found) == len(member.calls[0]):
                    yield from zip((_key(frame, use) for use in member.calls[0]), found, strict=True)


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
        if isinstance(item, list | tuple) and len(item) <= MAX_RANK and all(length is None or type(length) is int for length in item):
            yield tuple(item)
