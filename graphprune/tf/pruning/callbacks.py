"""The pruner as a Keras callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tf_keras

from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Run, check_run
from graphprune.tf.pruning.pruner import Pruner


class UpdatePruningStep(tf_keras.callbacks.Callback):
    """Updates masks while `fit` trains a pruned model: `model.fit(x, y,
    callbacks=[UpdatePruningStep()])`.

    Put it before callbacks that save or measure the model, so that they see the masks of the step
    they run at. Where `EarlyStopping` stops training, or restores weights of a step before the
    target, a warning says so when `fit` ends, whichever of the two comes first. A custom loop may
    call its methods as Keras does; a missed call is made up for by the next one. After the first
    update, a warning names the pruned layers that get no gradient.

    Args:
        run: The length of the run, where `fit` cannot know it: an input of unknown size with a
            schedule in epochs or percent.
        done: Steps of that run that were done before, where it is resumed.

    """

    def __init__(self, run: Run | None = None, *, done: int = 0) -> None:
        super().__init__()
        check_run(run)
        self.params: dict[str, Any] | None = (
            None  # a loop that is no `fit` never calls `set_params`
        )
        self.run, self._done = run, done
        self._pruner: Pruner | None = None
        self._ends_batches = False
        self._has_advanced = False

    @property
    def pruner(self) -> Pruner:
        """The pruner of the callback's model.

        Raises:
            TrainingError: the callback has no model yet.
        """
        if self._pruner is None:
            raise TrainingError(
                "UpdatePruningStep has no model; call set_model(model) first, as fit does"
            )
        return self._pruner

    def set_model(self, model: tf_keras.Model) -> None:
        """Find the model's pruned layers."""
        super().set_model(model)
        self._pruner = Pruner(model)

    def on_train_begin(self, logs: Any = None) -> None:
        """Resolve the schedules and do the update that is due at step 0.

        Raises:
            TrainingError: no layer of the model is pruned, or a schedule needs a length that `fit`
                does not know.
        """
        self.pruner.check_pruned("UpdatePruningStep")
        params, self._ends_batches, self._has_advanced = self.params or {}, False, False
        self.pruner.start(
            self.run or Run(params.get("steps"), params.get("epochs")), done=self._done
        )

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Catch up, for loops that call nothing else; where batches end with a call there is
        nothing to catch up with.
        """
        if not self._ends_batches:
            self.pruner.on_step()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Update the masks that the last optimizer updates made due."""
        self._ends_batches = True
        self.pruner.on_step()
        if not self._has_advanced and self.pruner.has_advanced:
            self._has_advanced = True
            self.pruner.warn_standing_still()

    def on_epoch_end(
        self, epoch: int | None = None, logs: Any = None, *, batch: int | None = None
    ) -> None:
        """Catch up, for loops that call nothing at the end of a batch; those written for another
        library may name the argument `batch`.
        """
        self.pruner.on_step()

    def on_train_end(self, logs: Any = None) -> None:
        """Do what is still due, make sure that masked weights are zero, and let go of the model."""
        self.pruner.on_step()
        self.pruner.project()
        self._at_the_very_end(self._warn_missed)
        self.pruner.stop()

    def _warn_missed(self) -> None:
        was_stopped = bool(getattr(self.model, "stop_training", False))
        if was_stopped or self.run is None:
            self.pruner.warn_missed(was_stopped=was_stopped)

    def _at_the_very_end(self, finish: Callable[[], None]) -> None:
        """Call `finish` once the callbacks behind this one have ended too, which may restore
        weights: in `fit`, Keras's History is the last of all.
        """
        history: Any = getattr(self.model, "history", None)
        # Keras gives all callbacks of one fit the same dict
        is_fit = self.params is not None and getattr(history, "params", None) is self.params
        self.params = None
        if not is_fit:
            finish()
            return

        def end(logs: Any = None) -> None:
            del history.on_train_end
            finish()

        history.on_train_end = end
