"""Weights in memory, for tests of what reads weights through a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Wrap
from graphprune.sparsity.pruning import Provenance, Pruning


@dataclass
class MemoryWeights:
    """Tensors by (address, name), with the state of wrappers beside them; counts how often each is
    read.
    """

    tensors: dict[tuple[str, str], NDArray[Any]]
    states: dict[tuple[str, str], NDArray[Any]] = field(default_factory=dict)
    reads: list[tuple[str, str]] = field(default_factory=list)

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        self.reads.append((address, name))
        return self.tensors[address, name]

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        return self.states.get((address, name))


def make_weights(graph: LayerGraph, seed: int = 0) -> MemoryWeights:
    """Return weights without a zero; the same seed gives the same weights to layers in the same
    order, whatever their names.
    """
    rng = np.random.default_rng(seed)
    return MemoryWeights(
        {
            (layer.address, tensor.name): rng.uniform(0.1, 1.0, tensor.shape).astype(np.float32)
            for layer in graph.layers.values()
            for tensor in layer.tensors
        }
    )


def with_zeros(weights: MemoryWeights, zeros: Mapping[tuple[str, str], int]) -> MemoryWeights:
    """Return a copy with the first so many entries of some tensors set to zero."""
    tensors = {key: values.copy() for key, values in weights.tensors.items()}
    for key, count in zeros.items():
        tensors[key].reshape(-1)[:count] = 0
    return MemoryWeights(tensors, dict(weights.states))


def wrap_layers(
    graph: LayerGraph, pruning: Pruning, addresses: tuple[str, ...], rule: str = "dense-90"
) -> LayerGraph:
    """Return the graph with a pruning wrapper around some layers."""

    def wrapped(layer: Layer) -> Layer:
        wrap = Wrap(
            "graphprune>PruneLowMagnitude",
            {"class_name": "graphprune>PruneLowMagnitude", "config": {"layer": layer.entry}},
            pruning,
            Provenance(rule),
        )
        return Layer(**{name: getattr(layer, name) for name in Layer.__slots__} | {"wrap": wrap})

    return graph.replace({address: wrapped(graph.layers[address]) for address in addresses})
