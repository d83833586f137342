"""Models that a layer holds inside (TimeDistributed of a model): no part of the graph, so that rules reach none of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphprune.graph.entries import is_model
from graphprune.graph.layers import Layer


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model inside a layer: its name, and the number of its weights."""

    name: str
    weights: int


def find_held_model(layer: Layer) -> HeldModel | None:
    """Return the model with weights that the layer wraps, if rules reach none of them.

    Example:
        >>> from graphprune.graph.layers import Tensor
        >>> inner = {"class_name": "Sequential", "config": {"name": "frame_model", "layers": []}}
        >>> entry = {"class_name": "TimeDistributed", "config": {"layer": inner}}
        >>> find_held_model(Layer("frames", "TimeDistributed", entry, tensors=(Tensor("fc.kernel", (144, 5)),)))
        HeldModel(name='frame_model', weights=720)
    """
    inner = layer.config.get("layer")
    if layer.kind != "layer" or not isinstance(inner, Mapping) or not isinstance(inner.get("class_name"), str) or not is_model(inner):
        return None
    if not layer.tensors or layer.is_candidate:
        return None
    return HeldModel(str(inner["config"].get("name", "")), sum(tensor.size for tensor in layer.tensors))
