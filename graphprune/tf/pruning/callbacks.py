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

    Usage: `model.fit(x, y, callbacks=[UpdatePruningStep()])`.

    Put it before callbacks that save or measure the model, so that they see the masks of the
    current step. If `EarlyStopping` stops training before the target, or restores earlier weights,
    `fit` ends with a warning, whatever the order of the two callbacks. A custom loop may call its
    methods as Keras does; a missed call is made up for by the next one. After the first
    update, a warning names the pruned layers that get no gradient.

    Args:
        run: The length of the run, if `fit` cannot know it: an input of unknown size with a
            schedule in epochs or percent.
        done: Steps of that run already done, if it is resumed.
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

    It also writes the target sparsity, the measured sparsity and the threshold of the mask of each
    pruned tensor.

    Put it after `UpdatePruningStep`. The tags are `target_sparsity/LAYER/TENSOR`,
    `sparsity/LAYER/TENSOR` and `threshold/LAYER/TENSOR`, with the layer's address and the tensor's
    name; the horizontal axis counts optimizer updates since the wrap, so resumed training continues
    the same curve. The last point is the final state.

    Args:
        log_dir: The folder that TensorBoard shows; events go into its folder `train`.
        update_freq: `epoch`, `batch`, or a number of steps.
        run: The length of the run, if `fit` cannot know it; as for `UpdatePruningStep`.
        **kwargs: Further arguments of `tf_keras.callbacks.TensorBoard`.

    Raises:
        TrainingError: the tensorboard package is not installed.
        TypeError: `log_dir` is not a path, or `run` is not a `Run`.
        ValueError: `update_freq` is something else, or `log_dir` is empty.
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
