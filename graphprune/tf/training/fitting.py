"""Training with tf_keras, from a position that may be in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.callbacks import CallbackList
from tf_keras.src.utils import tf_utils

from graphprune.engine.training_seam import Fit
from graphprune.tf.training.workers import lost_as_error


class BeginAt(tf_keras.callbacks.Callback):
    """Lets `fit` begin in the middle of an epoch, as Keras's own BackupAndRestore does.

    Args:
        epoch, batch: The position, both from 0. After the last batch of an epoch, the epoch is
            finished first: validation, and the callbacks' work at its end.
        steps_per_epoch: The batches of an epoch.
        validation_data: What `fit` validates with.
        validation_steps: Its batches, where `fit` is told.

    Attributes:
        hooks: All callbacks of the training, this one among them.
    """

    hooks: CallbackList

    def __init__(
        self,
        epoch: int,
        batch: int,
        steps_per_epoch: int,
        validation_data: Any,
        validation_steps: int | None,
    ) -> None:
        super().__init__()
        self._place = (epoch, batch)
        self._is_trained, self._validation_data = batch == steps_per_epoch, validation_data
        self._validation_steps = validation_steps

    def on_train_begin(self, logs: Any = None) -> None:
        """Give the position to `fit`, which asks for it next."""
        self.model._training_state = self

    def maybe_load_initial_counters_from_ckpt(
        self, steps_per_epoch: int, initial_epoch: int, mode: Any = None
    ) -> tuple[int, int]:
        """Return (epoch, batch) to begin at.

        `fit` calls it after every callback's `on_train_begin`.
        """
        self.model._training_state = None
        epoch, _ = self._place
        if not self._is_trained:
            return self._place
        self._end_epoch(epoch)
        return epoch + 1, 0

    def _end_epoch(self, epoch: int) -> None:
        """Do what `fit` does after the last batch of an epoch.

        The recorder restores the sums of metrics when the epoch begins.
        """
        self.hooks.on_epoch_begin(epoch)
        logs = tf_utils.sync_to_numpy_or_python_type(self.model.get_metrics_result())
        if self._validation_data is not None:
            found = self.model.evaluate(
                self._validation_data,
                steps=self._validation_steps,
                verbose=0,
                callbacks=self.hooks,
                return_dict=True,
            )
            logs |= {f"val_{name}": value for name, value in found.items()}
        self.hooks.on_epoch_end(epoch, logs)


def fit(task: Fit, callbacks: Sequence[tf_keras.callbacks.Callback]) -> None:
    """Train in one call of `fit`.

    Work that is done once per training (the pruner's start, weight averages at the end) is then
    done once.
    """
    model, data, options, start = task.model, task.data, task.options, task.start
    held_out, steps = data.validation(), data.validation_steps
    begin = BeginAt(start.epoch, start.batch, options.steps_per_epoch, held_out, steps)
    hooks = CallbackList(
        [begin, *callbacks],
        add_history=True,
        model=model,
        verbose=0,
        epochs=options.epochs,
        steps=options.steps_per_epoch,
    )
    begin.hooks = hooks
    hooks._check_timing = False  # writing a checkpoint may well take longer than a step
    with lost_as_error(tf.distribute.get_strategy()):
        model.fit(
            data.batches(start.step),
            validation_data=held_out,
            validation_steps=steps,
            initial_epoch=start.epoch,
            epochs=options.epochs,
            steps_per_epoch=options.steps_per_epoch,
            verbose=0,
            callbacks=hooks,
            class_weight=_class_weights(task),
        )


def _class_weights(task: Fit) -> dict[int, float] | None:
    """Return a weight for each class; a class without one has 1, as in Keras 3.

    tf_keras takes classes from 0 on without gaps.
    """
    given = task.class_weight
    if given is None:
        return None
    count = max(2, *(number + 1 for number in given), task.model.outputs[0].shape[-1] or 0)
    return {number: given.get(number, 1.0) for number in range(count)}
