"""The recorder of a run as a callback of Keras 3, which reads the state of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from graphprune.archive.file_copy import FileCopy
from graphprune.engine.recorder import Arrays, RunRecorder
from graphprune.errors import CheckpointError
from graphprune.keras3.backend import sync
from graphprune.keras3.layers import check_finite
from graphprune.keras3.optimizers import copy_of, innermost
from graphprune.keras3.saving import copy_model
from graphprune.keras3.training.randomness import Randomness


class Recorder(RunRecorder, keras.callbacks.Callback):
    """Writes checkpoints and one line of metrics per epoch, and reports progress."""

    def __init__(self, randomness: Randomness, *args: Any, **kwargs: Any) -> None:
        keras.callbacks.Callback.__init__(self)
        RunRecorder.__init__(self, *args, **kwargs)
        self._randomness = randomness

    def set_model(self, model: Any) -> None:
        """Take the model."""
        self._model = model  # on JAX, `self.model` writes back all state, in every step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Let the step draw the random numbers that follow those of the step before."""
        self._randomness.begin_step()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keep the state of random numbers; see `RunRecorder`."""
        self._randomness.end_step()
        super().on_train_batch_end(batch, logs)

    def read_lasting(self) -> dict[str, Arrays]:
        """Return, by kind, state that validation does not change and model files do not hold."""
        sync(self._model)
        return {"optimizer": _values(_hidden_variables(self._model))}

    def read_passing(self) -> dict[str, Arrays]:
        """Return, by kind, the state that validation changes or resets."""
        sync(self._model)
        return {
            "random": self._randomness.to_arrays(),
            "recurrent": _values(recurrent_variables(self._model)),
            "metrics": _values(_metric_variables(self._model)),
        }

    def restore_sums(self, sums: Arrays) -> None:
        """Restore the `metrics` that `read_passing` returned."""
        _assign(_metric_variables(self._model), sums, "metrics")

    def copy_model(self, path: Path) -> FileCopy:
        """Return the model's file for `path`."""
        sync(self._model)
        self._randomness.begin_step()  # the file holds the state, too
        return copy_model(self._model, path, self.memory)

    def end_training(self) -> None:
        """Let `fit` end after this epoch."""
        self._model.stop_training = True

    def check_weights(self, place: str, remedy: str) -> None:
        """Refuse weights that are not finite.

        Raises:
            TrainingError: some are NaN or infinite.
        """
        sync(self._model)
        check_finite(self._model, place, remedy)

    @property
    def scales_loss(self) -> bool:
        """Whether the optimizer scales the loss, and skips steps whose loss is infinite."""
        return isinstance(self._model.optimizer, keras.mixed_precision.LossScaleOptimizer)


def restore_state(model: Any, randomness: Randomness, state: Mapping[str, Arrays]) -> None:
    """Restore what a recorder read, except the sums of metrics; a missing kind is empty.

    Raises:
        CheckpointError: the model is a different one.
    """
    randomness.restore(state.get("random", {}))
    _assign(recurrent_variables(model), state.get("recurrent", {}), "stateful layers")
    _assign(_hidden_variables(model), state.get("optimizer", {}), "optimizer variables")


def stateful_layers(model: Any) -> list[Any]:
    """Return the recurrent layers that keep their states from batch to batch."""
    return [layer for layer in model._flatten_layers() if getattr(layer, "stateful", False)]


def recurrent_variables(model: Any) -> list[Any]:
    """Return the states of stateful recurrent layers."""
    states = (
        keras.tree.flatten(getattr(layer, "states", None)) for layer in stateful_layers(model)
    )
    return [state for found in states for state in found if isinstance(state, keras.Variable)]


def _metric_variables(model: Any) -> list[Any]:
    return [variable for metric in model.metrics for variable in metric.variables]


def _hidden_variables(model: Any) -> list[Any]:
    """Return the state of the optimizer outside its `variables`, such as that of Nadam."""
    optimizer = model.optimizer
    parts = {id(part): part for part in (optimizer, *innermost(optimizer))}.values()
    listed = {id(variable) for part in parts for variable in part.variables}
    return [
        value
        for part in parts
        for _, value in sorted(vars(part).items())
        if isinstance(value, keras.Variable) and id(value) not in listed
    ]


def _values(variables: list[Any]) -> dict[str, NDArray[Any]]:
    return {str(index): _storable(copy_of(one)) for index, one in enumerate(variables)}


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that a checkpoint can hold: bfloat16 is no dtype of NumPy."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _assign(variables: list[Any], arrays: Mapping[str, Any], what: str) -> None:
    shapes = {str(index): tuple(variable.shape) for index, variable in enumerate(variables)}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        raise CheckpointError(f"the checkpoint was written with other {what}; start a new run")
    for name, array in arrays.items():
        variables[int(name)].assign(array)
