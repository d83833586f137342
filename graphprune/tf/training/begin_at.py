"""Where a resumed training begins: at a batch of an epoch, or with the validation that ends one."""

from __future__ import annotations

from typing import Any

import tf_keras
from tf_keras.src.callbacks import CallbackList
from tf_keras.src.utils import tf_utils


class BeginAt(tf_keras.callbacks.Callback):
    """Lets `fit` begin in the middle of an epoch, through the seam that Keras's own
    BackupAndRestore uses.

    Args:
        epoch, batch: The place, both from 0. Behind the last batch of an epoch, the epoch is ended
            first: validation, and what callbacks do at its end.
        steps_per_epoch: The batches of an epoch.
        validation_data: What `fit` validates with.

    Attributes:
        hooks: All callbacks of the training, this one among them.
    """

    hooks: CallbackList

    def __init__(self, epoch: int, batch: int, steps_per_epoch: int, validation_data: Any) -> None:
        super().__init__()
        self._place = (epoch, batch)
        self._is_trained, self._validation_data = batch == steps_per_epoch, validation_data

    def on_train_begin(self, logs: Any = None) -> None:
        """Offer the place to `fit`, which asks for it next."""
        self.model._training_state = self

    def maybe_load_initial_counters_from_ckpt(
        self, steps_per_epoch: int, initial_epoch: int, mode: Any = None
    ) -> tuple[int, int]:
        """Return (epoch, batch) to begin at; `fit` asks when every callback's `on_train_begin` was
        called.
        """
        self.model._training_state = None
        epoch, _ = self._place
        if not self._is_trained:
            return self._place
        self._end_epoch(epoch)
        return epoch + 1, 0

    def _end_epoch(self, epoch: int) -> None:
        """Do what `fit` does after the last batch of an epoch; the recorder restores the sums of
        metrics when the epoch begins.
        """
        self.hooks.on_epoch_begin(epoch)
        logs = tf_utils.sync_to_numpy_or_python_type(self.model.get_metrics_result())
        if self._validation_data is not None:
            found = self.model.evaluate(
                self._validation_data, verbose=0, callbacks=self.hooks, return_dict=True
            )
            logs |= {f"val_{name}": value for name, value in found.items()}
        self.hooks.on_epoch_end(epoch, logs)
