"""What files and models say of their pruned layers, in either Keras, and training that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tf_keras

import graphprune
from graphprune.engine.saved_pruning import read_saved_pruning
from graphprune.graph.read import open_model_file


def state_of(path: Path) -> dict[str, Any]:
    """Return all that a file says of its pruned layers, by address, for comparisons."""
    return {
        address: (
            *(saved.pruning, saved.provenance, saved.step, saved.last_update),
            [float(np.float32(value)) for value in saved.thresholds],  # as tf_keras keeps them
            [mask.tolist() for mask in saved.masks],
        )
        for address, saved in read_saved_pruning(open_model_file(path)).items()
    }


def masks_of(model: Any) -> dict[str, list[list[bool]]]:
    """Return the masks of a live model as lists, by the names of layers and tensors."""
    return {
        f"{pruned.layer.name}.{name}": np.asarray(mask).astype(bool).tolist()
        for pruned in graphprune.collect_prunable_layers(model)
        for name, (_, mask, _) in zip(pruned.pruning.weights, pruned.pruning_vars, strict=True)
    }


def train_on(model: Any, x: Any, y: Any) -> None:
    """Train a model of either Keras for an epoch of batches of 4, with a new optimizer, eagerly:
    tracing takes longer.
    """
    library = tf_keras if isinstance(model, tf_keras.Model) else keras
    model.compile(library.optimizers.SGD(0.05), "mse", run_eagerly=True)
    callbacks = [graphprune.UpdatePruningStep()]
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)
