"""What the weights of a saved model say: zeros, masks that were broken, and the steps of wrappers; one tensor in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphprune.archive import Archive
from graphprune.errors import ArchiveError
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.weights import locate_weights

TensorKey = tuple[str, str]
"""Layer address and tensor name."""


def measure_zeros(archive: Archive, graph: LayerGraph) -> Mapping[TensorKey, int]:
    """Return the number of weights that are exactly zero in each tensor of each layer, without the state of wrappers.

    Raises:
        ArchiveError: the weights are damaged.
    """
    weights = locate_weights(archive, graph)
    zeros = {}
    with archive.opened() as reader:
        for address, layer in graph.layers.items():
            for tensor in layer.tensors:
                values = reader.read(weights.find(address, tensor.name))
                zeros[address, tensor.name] = int(values.size - np.count_nonzero(values))
    return zeros


def measure_mask_faults(archive: Archive, graph: LayerGraph) -> Mapping[TensorKey, int]:
    """Return, for each tensor that a wrapper prunes, how many weights are not zero although their mask is.

    Raises:
        ArchiveError: the weights are damaged, or a mask has another shape than its weight.
    """
    weights = locate_weights(archive, graph)
    faults = {}
    with archive.opened() as reader:
        for address, layer in graph.layers.items():
            pruned = layer.wrap.pruning.weights if layer.wrap is not None and layer.wrap.pruning is not None else ()
            for name in pruned:
                values, mask = reader.read(weights.find(address, name)), reader.read(weights.find(address, f"mask_{name}"))
                if values.shape != mask.shape:
                    shapes = f"the mask of {name!r} in layer {address!r} has shape {list(mask.shape)}, the weight {list(values.shape)}"
                    raise ArchiveError(f"{archive.path}: {shapes}; save the model again")
                faults[address, name] = int(np.count_nonzero(values[mask == 0]))
    return faults


def read_steps(archive: Archive, graph: LayerGraph) -> Mapping[str, int]:
    """Return after how many optimizer updates each of graphprune's wrappers was saved, by the address of its layer.

    Raises:
        ArchiveError: the weights are damaged.
    """
    weights = locate_weights(archive, graph)
    wrapped = [address for address, layer in graph.layers.items() if layer.wrap is not None and layer.wrap.pruning is not None]
    with archive.opened() as reader:
        return {address: int(reader.read(weights.find(address, "pruning_step"))) for address in wrapped}
