"""The hashes of weights that a plan depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer

ReadWeight = Callable[[str, str], Any]
"""From a layer's address and a tensor's name to its values, a NumPy array."""


def hash_layers(graph: LayerGraph, read_weight: ReadWeight) -> tuple[tuple[str, str], ...]:
    """Return (address, hash) of every layer with prunable weights, in graph order."""
    return tuple(hash_each(graph.candidates(), read_weight))


def hash_each(layers: Iterable[Layer], read_weight: ReadWeight) -> Iterator[tuple[str, str]]:
    """Yield (address, hash) of layers with prunable weights."""
    for layer in layers:
        yield layer.address, hash_weights(layer.address, prunable_names(layer), read_weight)


def prunable_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of the layer's prunable weights, in its order."""
    return tuple(tensor.name for tensor in layer.prunable)


def hash_weights(address: str, names: Iterable[str], read_weight: ReadWeight) -> str:
    """Return the hash (hex) of these weights of the layer at `address`."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(read_weight(address, name).tobytes())
    return digest.hexdigest()
