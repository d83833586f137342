"""Reading a layer graph: from a saved model, an opened archive, or a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from graphprune.archive import Archive, read_archive
from graphprune.archive.collector import collector_paused
from graphprune.archive.files import read_whole
from graphprune.archive.json_text import MAX_JSON, parse_object
from graphprune.graph.from_config import TensorFacts, graph_from_config, graph_with_tensors
from graphprune.graph.graph_json import graph_from_json_config, is_graph_document
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.weights import locate_weights


@collector_paused()
def read_graph(source: str | PathLike[str] | Mapping[str, Any] | Archive, *, tensors: Mapping[str, Iterable[TensorFacts]] | None = None) -> LayerGraph:
    """Return the layer graph of a saved model (`.keras`, `.h5`, SavedModel folder), of a graph JSON file, of an archive, or of a config.

    Args:
        source: A path, an `Archive`, a serialized model, what a model's `get_config()` returns, or a layer graph as JSON data.
        tensors: Only with a config: name, shape and dtype of each layer's weights by address; without them no layer has weights, and none can be pruned.

    Raises:
        ArchiveError: the file cannot be read or is not a whole model.
        GraphError: the config or the graph JSON does not hold together.
    """
    if isinstance(source, Mapping) and is_graph_document(source) and tensors is None:
        return graph_from_json_config(source)
    if isinstance(source, Mapping):
        return graph_from_config(source, tensors=tensors)
    if tensors is not None:
        raise TypeError("tensors come from the file; give them only with a config")
    if not isinstance(source, Archive) and fspath(source).endswith(".json"):
        place = fspath(source)
        return graph_from_json_config(parse_object(read_whole(place, MAX_JSON), place, "it"), place)
    archive = source if isinstance(source, Archive) else read_archive(source)
    graph = graph_from_config(archive.config, place=archive.path)
    located = locate_weights(archive, graph).tensors
    return graph_with_tensors(graph, {address: [(name, stored.shape, stored.dtype) for name, stored in named.items()] for address, named in located.items()})
