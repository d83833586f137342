"""Which stored tensor is which weight of which layer, without building the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
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
from graphprune.wrapper_names import mask_name


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The weights of one archive, one tensor in memory at a time.

    Attributes:
        archive: The saved model.
        graph: Its layers.
        tensors: Where the tensors are stored, by layer address and bare name, in storage order; the
            state of pruning wrappers is included.
    """

    archive: Archive
    graph: LayerGraph
    tensors: Mapping[str, Named]

    @property
    def path(self) -> str:
        """What to call the model."""
        return self.archive.path

    def opened(self) -> AbstractContextManager[object]:
        """Keep the file open for many reads."""
        return self.archive.opened()

    def read(self, address: str, name: str) -> NDArray[Any]:
        """Return the values of one tensor.

        Raises:
            GraphError: there is no such tensor.
            ArchiveError: the file is damaged.
        """
        return self.archive.read(self.find(address, name))

    def read_state(self, address: str, name: str) -> NDArray[Any] | None:
        """Return a tensor of the pruning wrapper around the layer, or None where it has none of
        that name.

        Raises:
            ArchiveError: the file is damaged.
        """
        stored = self.tensors.get(address, {}).get(name)
        return None if stored is None else self.archive.read(stored)

    def find(self, address: str, name: str) -> StoredTensor:
        """Return where one tensor is stored.

        Raises:
            GraphError: there is no such tensor.
        """
        named = self.tensors.get(address, {})
        if name not in named:
            is_pruned = self.archive.format == "keras" and mask_name(name) in named
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
    return ModelWeights(archive, graph, MappingProxyType(_LOCATE[archive.format](archive, graph)))


_LOCATE: Mapping[str, Callable[[Archive, LayerGraph], Mapping[str, Named]]] = {
    "keras": locate_keras,
    "h5": locate_legacy,
    "savedmodel": locate_checkpoint,
}
