"""The weights of a model inside a layer, which the graph has as those of the layer or near it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from graphprune.archive.entries import to_snake_case
from graphprune.graph.from_config import TensorFacts, graph_with_tensors
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.out_of_reach import HeldGraph, find_held_graph

_LIST = "layers"
"""The attribute in which Keras 3 finds the layers of a model when it saves it."""


def held_with_tensors(graph: LayerGraph, layer: Layer) -> LayerGraph | None:
    """Return the graph of the model inside a layer, with the shapes of its weights.

    None where it has none, or its weights cannot be told.
    """
    held = find_held_graph(layer)
    if held is None or len(held.graph.frames) > 1:
        return None
    found = dict(_named(layer, held)) or dict(_numbered(graph, layer, held))
    return graph_with_tensors(held.graph, found)


def _named(layer: Layer, held: HeldGraph) -> Iterator[tuple[str, list[TensorFacts]]]:
    """Yield the weights of each layer of a model, which the holding layer has among its own."""
    for address in held.graph.layers:
        before = f"{held.prefix}{address}."
        tensors: list[TensorFacts] = [
            (tensor.name.removeprefix(before), tensor.shape, tensor.dtype)
            for tensor in layer.tensors
            if tensor.name.startswith(before)
        ]
        if tensors:
            yield address, tensors


def _numbered(
    graph: LayerGraph, layer: Layer, held: HeldGraph
) -> Iterator[tuple[str, list[TensorFacts]]]:
    """Yield the weights of each layer of a model that are layers of the graph.

    Keras 3 names such a layer after its class, with a counter (`_save_container_state`,
    keras/src/saving/saving_lib.py).
    """
    before = ".".join((layer.address, *held.path, _LIST))
    counts: Counter[str] = Counter()
    for member in held.graph.frames[""].members:
        own = held.graph.layers[member.name]
        name = to_snake_case(own.type)
        number = counts[name]
        counts[name] += 1
        found = graph.layers.get(f"{before}.{name}" + (f"_{number}" if number else ""))
        if found is not None:
            tensors: list[TensorFacts] = [
                (each.name, each.shape, each.dtype) for each in found.tensors
            ]
            yield own.address, tensors
