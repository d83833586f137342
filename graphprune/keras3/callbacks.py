"""The pruner as a callback of Keras 3."""

from __future__ import annotations

import warnings
from os import PathLike
from typing import Any

import keras

from graphprune.engine.callbacks import MaskUpdates, SparsityCurves, SparsityEvents, check_log_dir
from graphprune.keras3.pruner import Pruner
from graphprune.keras3.state import state_of
from graphprune.sparsity.positions import Run


class UpdatePruningStep(MaskUpdates, keras.callbacks.Callback):
    """Updates masks while `fit` trains a pruned model of Keras 3."""

    def __init__(self, run: Run | None = None, *, done: int = 0) -> None:
        super().__init__()
        self.follow(run, done)

    def set_model(self, model: Any) -> None:
        """Find the model's pruned layers, and add their masks to the optimizer."""
        self._model = model  # not `super().set_model`: on JAX, `self.model` writes back all state
        self._pruner = self._of_keras = Pruner(model)
        self._of_keras.expect()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the random generator of a loaded training."""
        state = state_of(self._model)
        if state is not None:
            state.restore_generator()

    def on_train_end(self, logs: Any = None) -> None:
        """Do the updates still due, zero the masked weights, and detach from the model."""
        self._tell_restored()
        super().on_train_end(logs)
        self._of_keras.release()

    def on_last_end(self) -> None:
        """Zero masked weights that a later callback restored, and warn of missed targets."""
        self._tell_restored()
        self._of_keras.project()
        super().on_last_end()

    def _tell_restored(self) -> None:
        """Warn of restored weights; masks are variables of the optimizer, and are not restored."""
        restored = self._of_keras.find_unmasked()
        if restored:
            warnings.warn(
                f"{self._model.name}: weights of an earlier step were restored, as EarlyStopping"
                f" does, and the masks of {', '.join(restored)} have changed since; masked weights"
                " are zero again, so accuracy is not that of the best epoch; let EarlyStopping"
                " begin later (start_from_epoch), or end the schedule earlier",
                stacklevel=2,  # within graphprune, whose warnings the command line shows
            )


class PruningSummaries(SparsityEvents, keras.callbacks.TensorBoard):
    """The TensorBoard callback of Keras 3, with the sparsity of each pruned tensor."""

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
        super().__init__(log_dir=str(log_dir), update_freq=update_freq, **kwargs)
        self.params: dict[str, Any] | None = None

    def set_model(self, model: Any) -> None:
        """Find the model's pruned layers."""
        self.curves.follow(Pruner(model))
        super().set_model(model)

    def close(self) -> None:
        """Flush pending events if training ended before `on_train_end`."""
        for writer in self._writers.values():
            writer.close()

    def write_points(self, step: int, points: dict[str, float]) -> None:
        """Write a scalar for each tag."""
        with self.summary.record_if(True), self._train_writer.as_default():
            for tag, value in points.items():
                self.summary.scalar(tag, value, step=step)
