"""Which stored tensor is which weight of which layer, without building the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from graphprune.archive import Archive, StoredTensor
from graphprune.errors import GraphError
from graphprune.graph.checkpoint_weights import locate_checkpoint
from graphprune.graph.keras_weights import locate_keras
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.legacy_weights import locate_legacy
from graphprune.graph.weight_misfits import Named


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The tensors of one archive by layer address and bare name, in storage order, the state of
    pruning wrappers included.
    """

    archive: Archive
    tensors: Mapping[str, Named]

    def read(self, address: str, name: str) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            GraphError: there is no such tensor.
            ArchiveError: the file is damaged.
        """
        return self.archive.read(self.find(address, name))

    def find(self, address: str, name: str) -> StoredTensor:
        """Return where one tensor is stored.

        Raises:
            GraphError: there is no such tensor.
        """
        named = self.tensors.get(address, {})
        if name not in named:
            is_pruned = self.archive.format == "keras" and f"mask_{name}" in named
            way_out = (
                "; load the model and save it again, which writes the names of the weights that a"
                " custom layer has in layers inside it"
                if is_pruned
                else ""
            )
            raise GraphError(
                f"{self.archive.path}: layer {address!r} has no tensor {name!r}; it has"
                f" {', '.join(named) or 'none'}{way_out}"
            )
        return named[name]


def locate_weights(archive: Archive, graph: LayerGraph) -> ModelWeights:
    """Return where the file holds each weight of `graph`, which was read from the same file.

    Raises:
        ArchiveError: the weights are damaged or do not fit the config.
    """
    located: Mapping[str, Named]
    if archive.format == "savedmodel":
        located = locate_checkpoint(archive, graph)
    else:
        located = (
            locate_keras(archive, graph)
            if archive.format == "keras"
            else locate_legacy(archive, graph)
        )
    return ModelWeights(archive, MappingProxyType(located))
