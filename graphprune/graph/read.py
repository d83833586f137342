"""Reading a layer graph: from a saved model, a graph JSON file, an opened archive, or a config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any

from graphprune.archive import Archive, find_source, no_weights, opened_archive, read_document
from graphprune.archive.files import collector_paused
from graphprune.arguments import check_path, wrong_type
from graphprune.errors import ArchiveError
from graphprune.graph.from_config import TensorFacts, graph_from_config, graph_with_tensors
from graphprune.graph.graph_json import graph_from_json_config, is_graph_document
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.pruned_state import with_pruned_state
from graphprune.graph.weight_faults import find_missing_fault, find_shape_fault, find_state_fault
from graphprune.graph.weights import (
    ModelWeights,
    ReadableWeights,
    TensorKey,
    TensorMetrics,
    locate_weights,
    measure_mask_faults,
    measure_tensors,
    measure_zeros,
    read_steps,
)

_LIVE = "a live model is written to a file first: graphprune.save_model(model, 'model.keras')"


@dataclass(frozen=True)
class ModelFile:
    """A saved model, or a live one: everything that reads its weights goes through this.

    The file is opened once for config and layout, and again where weights are asked for; `opened`
    keeps it open for several questions. What was measured is kept.

    Attributes:
        path: What to call it in reports.
        graph: Its layers.
        located: Its weights; None for a layer graph as JSON, which has none.
    """

    path: str
    graph: LayerGraph
    located: ReadableWeights | None

    @property
    def archive(self) -> Archive | None:
        """The file; None for a layer graph as JSON, and for a live model."""
        return self.located.archive if isinstance(self.located, ModelWeights) else None

    @contextmanager
    def opened(self) -> Iterator[ReadableWeights | None]:
        """Keep the file open for many reads; gives the weights."""
        if self.located is None:
            yield None
            return
        with self.located.opened():
            yield self.located

    @cached_property
    def zeros(self) -> Mapping[TensorKey, int] | None:
        """The measured zeros of each weight tensor; None where there are no weights."""
        return None if self.located is None else measure_zeros(self.located)

    @cached_property
    def metrics(self) -> Mapping[TensorKey, TensorMetrics] | None:
        """What the values of each weight tensor say; None where there are no weights."""
        return None if self.located is None else measure_tensors(self.located)

    @cached_property
    def mask_faults(self) -> Mapping[TensorKey, int] | None:
        """The nonzero weights under a zero mask in each pruned tensor; None without weights."""
        return None if self.located is None else measure_mask_faults(self.located)

    @cached_property
    def steps(self) -> Mapping[str, int] | None:
        """The optimizer updates before each wrapper was saved, by address; None without weights."""
        return None if self.located is None else read_steps(self.located)

    @property
    def weights(self) -> ModelWeights:
        """The weights in the file.

        Raises:
            ArchiveError: the file is a layer graph as JSON.
        """
        if not isinstance(self.located, ModelWeights):
            raise no_weights(self.path)
        return self.located

    def need_archive(self) -> Archive:
        """Return the saved model.

        Raises:
            ArchiveError: the file is a layer graph as JSON.
        """
        return self.weights.archive


def open_model_file(path: str | PathLike[str]) -> ModelFile:
    """Return the model at `path`, its format told by content and not by name.

    It may be a `.keras` or `.h5` file, a SavedModel folder, or a graph JSON file.

    Raises:
        ArchiveError: the file cannot be read or is not a whole model.
        GraphError: the config or the graph JSON does not hold together.
    """
    place = check_path("path", path, "the path of a saved model", _LIVE)
    source = find_source(place)
    if source is None:
        return ModelFile(place, graph_from_json_config(read_document(place), place), None)
    with collector_paused(), opened_archive(source) as archive:
        return model_file_of(archive)


def model_file_of(archive: Archive) -> ModelFile:
    """Return the model in an archive.

    Raises:
        ArchiveError: its weights are damaged or do not fit its config.
        GraphError: the config does not hold together.
    """
    graph = graph_from_config(archive.config, place=archive.path)
    located = with_pruned_state(locate_weights(archive, graph))
    read = graph_with_tensors(
        located.graph,
        {
            address: [(name, stored.shape, stored.dtype) for name, stored in named.items()]
            for address, named in located.tensors.items()
        },
    )
    fault = (
        find_missing_fault(read)
        or find_shape_fault(read)
        or find_state_fault(read, located.tensors)
    )
    if fault is not None:
        raise ArchiveError(fault, place=archive.path)
    return ModelFile(archive.path, read, replace(located, graph=read))


@collector_paused()
def read_graph(
    source: str | PathLike[str] | Mapping[str, Any] | Archive | LayerGraph,
    *,
    tensors: Mapping[str, Iterable[TensorFacts]] | None = None,
) -> LayerGraph:
    """Return the layer graph of a saved model, of a graph JSON file, of an archive, or of a config.

    Args:
        source: A path, an `Archive`, a serialized model, what a model's `get_config()` returns, or
            a layer graph as JSON data. A layer graph is returned as it is.
        tensors: Only with a config: name, shape and dtype of each layer's weights by address;
            without them no layer has weights, and none can be pruned.

    Raises:
        ArchiveError: the file cannot be read or is not a whole model.
        GraphError: the config or the graph JSON does not hold together.
        TypeError: `source` is something else, such as a live model.
    """
    if isinstance(source, LayerGraph):
        return source
    if isinstance(source, Mapping) and is_graph_document(source) and tensors is None:
        return graph_from_json_config(source)
    if isinstance(source, Mapping):
        return graph_from_config(source, tensors=tensors)
    if not isinstance(source, str | PathLike | Archive):
        raise wrong_type("source", "the path of a saved model, or a model's config", source, _LIVE)
    if tensors is not None:
        raise TypeError("tensors come from the file; give them only with a config")
    if not isinstance(source, Archive):
        return open_model_file(source).graph
    return model_file_of(source).graph
