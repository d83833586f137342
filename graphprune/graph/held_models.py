"""Models that a layer holds inside (TimeDistributed of a model): no part of the graph, but a graph
of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphprune.archive import StoredTensor
from graphprune.errors import GraphError
from graphprune.graph.entries import Entry, is_model
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer

INSIDE = "layer"
"""The attribute in which wrappers keep what they wrap."""


@dataclass(frozen=True, slots=True)
class HeldGraph:
    """The graph of a model inside a layer, and the attributes that lead from the layer to it
    (`layer`, or several where wrappers wrap wrappers).
    """

    path: tuple[str, ...]
    graph: LayerGraph

    @property
    def prefix(self) -> str:
        """What begins the names of the model's weights in the holding layer; then comes the address
        of their layer in the model.
        """
        return f"{'.'.join(self.path)}."

    def join(self, located: Mapping[str, Mapping[str, StoredTensor]]) -> dict[str, StoredTensor]:
        """Return the weights of the held model's layers as those of the holding layer; what several
        layers share stands for the first of them.
        """
        found = (
            (f"{self.prefix}{address}.{name}", tensor)
            for address, named in located.items()
            for name, tensor in named.items()
        )
        by_place: dict[str, tuple[str, StoredTensor]] = {}
        for name, tensor in found:
            by_place.setdefault(tensor.path, (name, tensor))
        return dict(by_place.values())


def find_held_graph(layer: Layer) -> HeldGraph | None:
    """Return the graph of the model that the layer holds; None where it holds none, or one that
    does not hold together.
    """
    path, inner = find_held_entry(layer)
    if inner is None:
        return None
    try:
        return HeldGraph(path, graph_from_config(inner))
    except GraphError:
        return None


def find_held_entry(layer: Layer) -> tuple[tuple[str, ...], Entry | None]:
    """Return where the layer holds a model, through wrappers in wrappers, and its entry."""
    path: tuple[str, ...] = ()
    inner = layer.config.get(INSIDE) if layer.kind == "layer" else None
    while (
        isinstance(inner, Mapping)
        and isinstance(inner.get("class_name"), str)
        and isinstance(inner.get("config"), Mapping)
    ):
        path += (INSIDE,)
        if is_model(inner):
            return path, inner
        inner = inner["config"].get(INSIDE)
    return path, None
