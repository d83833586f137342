"""The recorder of a run as a tf_keras callback, which reads the state of a tf_keras model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tf_keras

from graphprune.archive.file_copy import FileCopy
from graphprune.engine.recorder import Arrays, RunRecorder
from graphprune.tf.layers.live_tensors import check_finite
from graphprune.tf.models.saving import copy_model
from graphprune.tf.training.hidden_state import (
    read_metric_sums,
    read_optimizer_attributes,
    read_optimizer_rest,
    read_recurrent_states,
    read_replica_values,
    restore_metric_sums,
    restore_optimizer_attributes,
    restore_optimizer_rest,
    restore_recurrent_states,
    restore_replica_values,
)
from graphprune.tf.training.randomness import Randomness


class Recorder(RunRecorder, tf_keras.callbacks.Callback):
    """Writes checkpoints and one line of metrics per epoch, and reports progress."""

    def __init__(self, randomness: Randomness, *args: Any, **kwargs: Any) -> None:
        tf_keras.callbacks.Callback.__init__(self)
        RunRecorder.__init__(self, *args, **kwargs)
        self._supports_tf_logs = True
        self._randomness = randomness

    def read_lasting(self) -> dict[str, Arrays]:
        """Return, by kind, state that validation does not change and model files do not hold."""
        return {
            "optimizer": read_optimizer_rest(self.model),
            "attributes": read_optimizer_attributes(self.model),
            "replicas": read_replica_values(self.model),
        }

    def read_passing(self) -> dict[str, Arrays]:
        """Return, by kind, the state that validation changes or resets."""
        return {
            "random": self._randomness.to_arrays(),
            "recurrent": read_recurrent_states(self.model),
            "metrics": read_metric_sums(self.model),
        }

    def restore_sums(self, sums: Arrays) -> None:
        """Restore the `metrics` that `read_passing` returned."""
        restore_metric_sums(self.model, sums)

    def copy_model(self, path: Path) -> FileCopy:
        """Return the model's file for `path`, with layer settings as before training."""
        with self._randomness.hidden():
            return copy_model(self.model, path, self.memory)

    def end_training(self) -> None:
        """Let `fit` end after this epoch."""
        self.model.stop_training = True

    def check_weights(self, place: str, remedy: str) -> None:
        """Refuse weights that are not finite.

        Raises:
            TrainingError: some are NaN or infinite.
        """
        check_finite(self.model, place, remedy)

    @property
    def scales_loss(self) -> bool:
        """Whether the optimizer scales the loss, and skips steps whose loss is infinite."""
        return isinstance(self.model.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)


def restore_state(
    model: tf_keras.Model, randomness: Randomness, state: Mapping[str, Arrays]
) -> None:
    """Restore what a recorder read, except the sums of metrics; a missing kind is empty.

    Raises:
        CheckpointError: the model is a different one.
    """
    randomness.restore(state.get("random", {}))
    restore_recurrent_states(model, state.get("recurrent", {}))
    restore_optimizer_rest(model, state.get("optimizer", {}))
    restore_optimizer_attributes(model, state.get("attributes", {}))
    restore_replica_values(model, state.get("replicas", {}))
