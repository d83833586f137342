"""The callbacks of Keras's `fit`: mask updates, and sparsity in TensorBoard."""

from __future__ import annotations

from os import PathLike
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.engine.callbacks import MaskUpdates, SparsityCurves, SparsityEvents, check_log_dir
from graphprune.sparsity.positions import Run
from graphprune.tf.pruning.pruner import Pruner


class UpdatePruningStep(MaskUpdates, tf_keras.callbacks.Callback):
    """Updates masks while `fit` trains a pruned model.

    `graphprune.UpdatePruningStep` documents its use and arguments. After the first update, a
    warning names the pruned layers that get no gradient.
    """

    def __init__(self, run: Run | None = None, *, done: int = 0) -> None:
        super().__init__()
        self.follow(run, done)

    def set_model(self, model: tf_keras.Model) -> None:
        """Find the model's pruned layers."""
        super().set_model(model)
        self._pruner = Pruner(model)


class PruningSummaries(SparsityEvents, tf_keras.callbacks.TensorBoard):
    """Keras's TensorBoard callback, with the sparsity of each pruned tensor.

    `graphprune.PruningSummaries` documents tags and arguments.
    """

    def __init__(
        self,
        log_dir: str | PathLike[str] = "logs",
        update_freq: str | int = "epoch",
        *,
        run: Run | None = None,
        **kwargs: Any,
    ) -> None:
        check_log_dir(log_dir)
        self.curves = SparsityCurves(update_freq, run)
        super().__init__(log_dir=log_dir, update_freq=update_freq, **kwargs)
        self.params: dict[str, Any] | None = None  # only `fit` calls `set_params`

    def set_model(self, model: tf_keras.Model) -> None:
        """Find the model's pruned layers."""
        self.curves.follow(Pruner(model))
        super().set_model(model)

    def close(self) -> None:
        """Flush pending events if training ended before `on_train_end`."""
        self._close_writers()

    def write_points(self, step: int, points: dict[str, float]) -> None:
        """Write a scalar for each tag."""
        with tf.summary.record_if(True), self._train_writer.as_default():
            for tag, value in points.items():
                tf.summary.scalar(tag, value, step=step)

    def _implements_train_batch_hooks(self) -> bool:
        return super()._implements_train_batch_hooks() or self.update_freq != "epoch"
