"""The shapes of the tensors between layers, where a saved model tells them: from inputs, from build configs, and through layers that keep them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.graph.entries import is_builtin
from graphprune.graph.frames import Frame, Use
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer

Shape = tuple[int | None, ...]
TensorUse = tuple[str, int, int]
"""Address of the layer that makes the tensor, its call, and the tensor's index."""

_MAX_RANK = 16
_KEEP_SHAPE = re.compile(
    "Activation|.*ReLU|ELU|Softmax|Masking|Rescaling|ActivityRegularization|.*Normalization|Gaussian(Noise|Dropout)|(Alpha|Spatial)?Dropout([123]D)?"
    "|Add|Subtract|Multiply|Average|Maximum|Minimum"
)


def find_tensor_shapes(graph: LayerGraph) -> Mapping[TensorUse, Shape]:
    """Return the known shapes, the batch axis included (None where it is open); `.h5` files tell fewer of them than `.keras` files.

    A layer's build config is that of its first call, so only the tensors of that call are taken from it.
    """
    shapes: dict[TensorUse, Shape] = {}
    members = {frame.address_of(member.name): (frame, member) for frame in graph.frames.values() for member in frame.members}
    for address, layer in graph.layers.items():
        frame, member = members[address]
        if layer.kind == "input":
            shapes.update(((address, 0, 0), shape) for shape in _shapes_in(layer.config.get("batch_input_shape", layer.config.get("batch_shape"))))
        for key, shape in zip((_key(frame, use) for use in member.calls[0]), _built_shapes(layer, len(member.calls[0])), strict=False):
            shapes.setdefault(key, shape)
    for address, layer in graph.layers.items():  # the producers come first, so one walk is enough
        frame, member = members[address]
        for call, uses in enumerate(member.calls):
            made = _made_shape(layer, [shapes.get(_key(frame, use)) for use in uses])
            if made is not None:
                shapes.setdefault((address, call, 0), made)
    for address, frame in reversed(tuple(graph.frames.items())):  # a nested model comes after the one around it
        for index, use in enumerate(frame.outputs if address else ()):
            known = shapes.get(_key(frame, use))
            if known is not None:
                shapes.update({(address, call, index): known for call in range(len(members[address][1].calls))})
    return shapes


def format_shape(shape: Shape) -> str:
    """Return a shape as drawings show it.

    Example:
        >>> format_shape((None, 8, 8, 32)), format_shape(())
        ('?×8×8×32', 'scalar')
    """  # noqa: RUF002 - the sign of multiplication is meant
    return "×".join("?" if length is None else str(length) for length in shape) or "scalar"  # noqa: RUF001


def _key(frame: Frame, use: Use) -> TensorUse:
    return frame.address_of(use.source), use.source_call, use.source_tensor


def _built_shapes(layer: Layer, count: int) -> list[Shape]:
    """Return the shapes of the tensors of the first call, empty where the file does not tell them all."""
    entry = layer.entry if layer.wrap is None else layer.wrap.entry
    build = entry.get("build_config")
    found = list(_shapes_in(build.get("input_shape") if isinstance(build, Mapping) else None))
    return found if len(found) == count or len(found) == 1 else []


def _shapes_in(value: Any) -> Iterator[Shape]:
    """Yield the shape, or the shapes in a list or dict, in the order of `tf.nest.flatten`."""
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value, key=str)]
    if not isinstance(value, list | tuple) or len(value) > 10_000:
        return
    if all(length is None or type(length) is int for length in value):
        if len(value) <= _MAX_RANK:
            yield tuple(value)
        return
    for item in value:
        if isinstance(item, list | tuple) and len(item) <= _MAX_RANK and all(length is None or type(length) is int for length in item):
            yield tuple(item)


def _made_shape(layer: Layer, taken: list[Shape | None]) -> Shape | None:
    """Return what a layer makes of tensors of these shapes, for the few classes where that is plain."""
    first = taken[0] if taken else None
    if first is None or not is_builtin(layer.entry):
        return None
    units = layer.config.get("units")
    if layer.type == "Dense" and first and type(units) is int:
        return (*first[:-1], units)
    same = all(shape == first for shape in taken)
    return first if same and _KEEP_SHAPE.fullmatch(layer.type) else None
