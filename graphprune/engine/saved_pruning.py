"""How a layer of a saved model is pruned, and the same for a layer of a live model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphprune.engine.held import PrunedLayer, zero_masked
from graphprune.graph.read import ModelFile
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.wrapper_names import LAST_UPDATE, STEP, mask_name, threshold_name


@dataclass(frozen=True, slots=True)
class SavedPruning:
    """How one layer is pruned, and the state of its pruning.

    Attributes:
        pruning: What to prune, how much, and when.
        provenance: The rule and the plan that asked for it.
        step: Optimizer updates since the layer was set up for pruning.
        last_update: The step of the last mask update; -1 before the first.
        masks: The mask of each of `pruning.weights`; True keeps a weight.
        thresholds: The smallest score that the last mask update kept, of each of them.
    """

    pruning: Pruning
    provenance: Provenance
    step: int
    last_update: int
    masks: tuple[NDArray[np.bool_], ...]
    thresholds: tuple[float, ...]

    def restore(self, layer: PrunedLayer) -> None:
        """Give a live layer, set up alike, these masks and steps; masked weights become zero."""
        layer.write_step(self.step)
        layer.write_last_update(self.last_update)
        for tensor, mask, threshold in zip(layer.tensors, self.masks, self.thresholds, strict=True):
            tensor.write_mask(mask, threshold)
            zero_masked(tensor, tensor.read(), mask)


def read_saved_pruning(source: ModelFile) -> dict[str, SavedPruning]:
    """Return how the layers of a saved model are pruned, by address.

    Wrappers that prune no weights, as tfmot puts around all layers, are left out.

    Raises:
        ArchiveError: the weights are damaged.
    """
    wraps = {address: layer.wrap for address, layer in source.graph.layers.items()}
    with source.opened():
        return {
            address: _read(source, address, wrap.pruning, wrap.provenance)
            for address, wrap in wraps.items()
            if wrap is not None and wrap.pruning is not None and wrap.pruning.weights
        }


def _read(
    source: ModelFile, address: str, pruning: Pruning, provenance: Provenance
) -> SavedPruning:
    weights = source.weights
    last_update = weights.read_state(address, LAST_UPDATE)  # tfmot has none
    thresholds = (weights.read(address, threshold_name(name)) for name in pruning.weights)
    return SavedPruning(
        pruning,
        provenance,
        step=int(weights.read(address, STEP)),
        last_update=-1 if last_update is None else int(last_update),
        masks=tuple(
            weights.read(address, mask_name(name)).astype(np.bool_) for name in pruning.weights
        ),
        thresholds=tuple(map(float, thresholds)),
    )
