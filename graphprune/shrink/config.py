"""The config of a model without some of its channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.archive.calls import TENSOR
from graphprune.archive.entries import Entry, is_entry, is_model, name_of
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.channels import Weights
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Layer
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import TensorUse
from graphprune.nested import rebuild
from graphprune.shrink.dead import Removal

_SHAPES = ("batch_input_shape", "batch_shape")


def shrunk_config(
    written: Mapping[str, Any],
    graph: LayerGraph,
    removal: Removal,
    shapes: Mapping[TensorUse, Shape],
) -> dict[str, Any]:
    """Return a model's entry without the removed channels and without compile settings.

    Args:
        written: The entry as the file has it, in the dialect of its Keras.
        graph: The model.
        removal: The channels to remove.
        shapes: The shapes of the tensors between layers, before.
    """
    made: dict[str, Any] = rebuild(written, lambda mapping: mapping)
    made.pop("compile_config", None)
    _ModelShrinker(graph, removal, shapes).shrink(made, "")
    return made


def new_shape(removal: Removal, shapes: Mapping[TensorUse, Shape], use: TensorUse) -> Shape | None:
    """Return the shape of a tensor without the removed channels; None where it is not known."""
    shape, change = shapes.get(use), removal.lengths.get(use)
    if shape is None or change is None:
        return shape
    axis, length = change
    at = len(shape) + axis
    return (*shape[:at], length, *shape[at + 1 :])


def new_weights(layer: Layer, removal: Removal) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's weights without the removed channels."""
    return {
        tensor.name: tuple(
            int(removal.kept[place].sum()) if place in removal.kept else length
            for axis, length in enumerate(tensor.shape)
            for place in [(layer.address, tensor.name, axis)]
        )
        for tensor in layer.tensors
    }


class _ModelShrinker:
    """Changes the entries of a copied config in place."""

    def __init__(
        self, graph: LayerGraph, removal: Removal, shapes: Mapping[TensorUse, Shape]
    ) -> None:
        self._graph = graph
        self._removal = removal
        self._shapes = shapes
        self._changed = {address for address, _, _ in removal.lengths} | {
            address for address, _, _ in removal.kept
        }

    def shrink(self, entry: dict[str, Any], address: str) -> None:
        """Change the layers of one model."""
        for member in entry["config"]["layers"]:
            name = name_of(member)
            inner = f"{address}{SEPARATOR}{name}" if address else name
            if is_model(member):
                self.shrink(member, inner)
            elif inner in self._changed:
                self._shrink_layer(member, self._graph.layers[inner])
            if self._is_touched(inner):
                member.pop("build_config", None)
            if "inbound_nodes" in member:
                member["inbound_nodes"] = rebuild(
                    member["inbound_nodes"], lambda item: self._tensor(item, address)
                )

    def _is_touched(self, address: str) -> bool:
        """Return whether a layer takes or gives a tensor, or has a weight, that gets shorter."""
        sources = self._graph.network.in_edges(address) if address in self._graph.layers else ()
        return address in self._changed or any(source in self._changed for source, _ in sources)

    def _shrink_layer(self, entry: dict[str, Any], layer: Layer) -> None:
        made = new_shape(self._removal, self._shapes, (layer.address, 0, 0))
        if layer.kind == "input" and made is not None:
            for key in _SHAPES:
                if key in entry["config"]:
                    entry["config"][key] = list(made)
            return
        entry["config"] = resized(entry, new_weights(layer, self._removal), made)

    def _tensor(self, item: dict[str, Any], address: str) -> dict[str, Any]:
        """Return a tensor in a call of Keras 3 with its new shape; other objects as they are."""
        config = item.get("config")
        if item.get("class_name") != TENSOR or not isinstance(config, dict):
            return item
        name, call, index = config["keras_history"]
        source = f"{address}{SEPARATOR}{name}" if address else name
        shape = new_shape(self._removal, self._shapes, (source, call, index))
        return item if shape is None else {**item, "config": {**config, "shape": list(shape)}}


def resized(entry: Entry, weights: Weights, made: Shape | None) -> dict[str, Any]:
    """Return the config of a layer for weights of these shapes and an output of the shape `made`.

    Example:
        >>> dense = {"class_name": "Dense", "config": {"units": 8, "use_bias": True}}
        >>> resized(dense, {"kernel": (4, 3), "bias": (3,)}, (None, 3))
        {'units': 3, 'use_bias': True}
    """
    config, known = dict(entry["config"]), known_class(entry)
    if known is None:
        return config
    if known.resized is not None:
        return {**config, **known.resized(config, weights, made)}
    for part in (known.parts(config) or ()) if known.parts is not None else ():
        if not part.setting or not is_entry(part.entry):
            continue
        before = f"{part.name}." if part.name else ""
        own = {
            name.removeprefix(before): shape
            for name, shape in weights.items()
            if name.startswith(before)
        }
        inner = {**part.entry, "config": resized(part.entry, own, None)}
        inner.pop("build_config", None)
        if config.get(part.setting) is not None:
            config[part.setting] = inner
    return config
