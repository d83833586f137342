"""A layer graph as JSON data of our own: the model's config and the facts of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.errors import GraphError
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph

FORMAT_VERSION = "1.0"
KIND = "graphprune.graph"


def graph_to_config(graph: LayerGraph) -> dict[str, Any]:
    """Return the graph as JSON data, from which `graph_from_json_config` makes an equal one."""
    tensors = {address: [[tensor.name, list(tensor.shape), tensor.dtype] for tensor in layer.tensors] for address, layer in graph.layers.items()}
    return {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "config": graph.to_config(),
        "tensors": {address: facts for address, facts in tensors.items() if facts},
    }


def graph_from_json_config(config: Mapping[str, Any], *, place: str = "graph") -> LayerGraph:
    """Return the graph that `graph_to_config` wrote.

    Raises:
        GraphError: this is other data, of a later version, or damaged.
    """
    if config.get("kind") != KIND or config.get("format_version") != FORMAT_VERSION:
        got = f"{config.get('kind')!r}, format {config.get('format_version')!r}"
        raise GraphError(f"{place}: not a layer graph of format {FORMAT_VERSION}, got {got}; write it with graphprune graph MODEL -o FILE.json")
    try:
        tensors = {address: [(str(name), tuple(map(int, shape)), str(dtype)) for name, shape, dtype in facts] for address, facts in config["tensors"].items()}
        model = config["config"]
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise GraphError(f"{place}: the layer graph is damaged ({type(err).__name__}: {err}); write it again") from err
    return graph_from_config(model, tensors=tensors, place=place)
