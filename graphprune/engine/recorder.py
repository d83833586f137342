"""What a training run writes while it goes: checkpoints, metrics, progress."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.engine.callbacks import MaskUpdates
from graphprune.engine.progress import overall
from graphprune.errors import TrainingError
from graphprune.runs.checkpoints import RunState, write_checkpoint
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions
from graphprune.runs.training_arguments import OnProgress, Progress, StopRequest

Arrays = Mapping[str, NDArray[Any]]


class Interrupted(Exception):
    """Training was asked to stop.

    `stop_after_step` stops as if the process had been killed, a `StopRequest` once a checkpoint is
    written.
    """


class RunRecorder(ABC):
    """Writes checkpoints and one line of metrics an epoch, and tells progress.

    A Keras mixes it into its `Callback`, behind the pruner's, and implements the abstract methods.

    A checkpoint in the middle of an epoch holds the sums that the epoch's metrics are made of; one
    at its end is written after the epoch's line. Where training is asked to stop behind the last
    batch of an epoch, or while the model is validated, the checkpoint is one in the middle of the
    epoch with no batch left: the run goes on with the validation. It holds what validation changes
    as it was before: the sums, random states and recurrent states.
    """

    def __init__(
        self,
        folder: RunFolder,
        options: RunOptions,
        start: RunState,
        pruning: MaskUpdates,
        *,
        metric_sums: Arrays,
        stop_after_step: int | None,
        on_progress: OnProgress | None,
        stop: StopRequest,
    ) -> None:
        self._folder, self._options, self._start, self._pruning = folder, options, start, pruning
        self._metric_sums, self._stop_after_step = metric_sums, stop_after_step
        self._on_progress, self._stop = on_progress, stop
        self._saved_at = (start.epoch, start.batch)
        self._before_validation: dict[str, Arrays] = {}
        self._epoch = start.epoch
        self._sparsity = (0.0, 0.0)
        self._last_updates: tuple[int, ...] = ()
        self.step = start.step

    @abstractmethod
    def read_lasting(self) -> dict[str, Arrays]:
        """Return by kind what model files do not hold and validation does not change."""

    @abstractmethod
    def read_passing(self) -> dict[str, Arrays]:
        """Return by kind what validation changes as well, or sets back.

        `metrics` are the sums that the metrics of the epoch are made of.
        """

    @abstractmethod
    def restore_sums(self, sums: Arrays) -> None:
        """Put back the `metrics` that `read_passing` returned."""

    @abstractmethod
    def save_model(self, path: Path) -> None:
        """Save the model at `path`, its layers as they were before training."""

    @abstractmethod
    def check_weights(self, place: str, remedy: str) -> None:
        """Refuse weights that are not finite.

        Raises:
            TrainingError: some are NaN or infinite; the text is `place`, their names, `remedy`.
        """

    @property
    @abstractmethod
    def scales_loss(self) -> bool:
        """Whether the optimizer scales the loss, and skips steps whose loss is infinite."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Write the checkpoint that a run interrupted at once goes on from."""
        if self.step == 0:
            self.save(0, 0)
        self._stop_if_asked(*self._saved_at)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Go on with the sums of an epoch that was interrupted."""
        self._epoch = epoch
        self._before_validation = {}
        if epoch == self._start.epoch and self._start.batch:
            self.restore_sums(self._metric_sums)
        if (epoch, self._options.steps_per_epoch) == (self._start.epoch, self._start.batch):
            self._before_validation = self.read_passing()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step, tell progress, write the checkpoint that is due or asked for."""
        self.step = self._epoch * self._options.steps_per_epoch + batch + 1
        is_last = batch + 1 >= self._options.steps_per_epoch
        if is_last:
            self._before_validation = self.read_passing()
        if self._is_due() and not is_last:
            self.save(self._epoch, batch + 1)
        self._stop_if_asked(self._epoch, batch + 1)
        if self._on_progress is not None:
            self._tell(logs or {}, epoch_ended=False)
        if self.step == self._stop_after_step:
            raise Interrupted

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop in the middle of validation where that was asked for."""
        self._stop_if_asked(self._epoch, self._options.steps_per_epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's line, then the checkpoint that is due."""
        self._check_loss(logs or {})
        target, measured = self._measure(anew=True)
        values = {name: _plain(value) for name, value in (logs or {}).items()}
        self._folder.append_metrics(
            {
                "epoch": epoch + 1,
                "step": self.step,
                **values,
                "target_sparsity": target,
                "sparsity": measured,
            }
        )
        if self._on_progress is not None:
            self._tell(logs or {}, epoch_ended=True)
        if self._is_due() or self.step == self._options.steps:
            self.save(epoch + 1, 0)
        self._stop_if_asked(epoch + 1, 0)

    def _stop_if_asked(self, epoch: int, batch: int) -> None:
        """Stop if that was asked for, with a checkpoint that goes on at `batch` of `epoch`.

        An existing checkpoint of that place is not written again.

        Raises:
            Interrupted: training was asked to stop.
        """
        if not self._stop.asked:
            return
        if self._saved_at != (epoch, batch):
            self.save(epoch, batch)
        raise Interrupted

    def save(self, epoch: int, batch: int) -> None:
        """Write a checkpoint that goes on at `batch` of `epoch`.

        Raises:
            TrainingError: a weight is not finite; the checkpoints before stay.
        """
        place = f"{self._folder.path}: training broke down by step {self.step}"
        self.check_weights(
            place,
            "lower the learning rate or look for such values in the data; earlier checkpoints"
            " are intact",
        )
        arrays: dict[str, Arrays] = {
            **self.read_lasting(),
            **(
                self._before_validation
                if batch == self._options.steps_per_epoch
                else self.read_passing()
            ),
        }
        if not batch:
            arrays["metrics"] = {}
        flat = {
            f"{kind}/{name}": array
            for kind, found in arrays.items()
            for name, array in found.items()
        }
        mark = self._folder.mark_metrics()
        state = replace(
            self._start,
            step=self.step,
            epoch=epoch,
            batch=batch,
            metrics_size=mark.size,
            metrics_sha256=mark.sha256,
        )
        write_checkpoint(
            self._folder.checkpoints, state, flat, self._options.model_name, self.save_model
        )
        self._saved_at = epoch, batch

    def _check_loss(self, logs: Mapping[str, Any]) -> None:
        """Refuse to go on if the epoch's loss is not finite, though the weights still are.

        The next checkpoints would be useless.

        Raises:
            TrainingError: the training loss is NaN or infinite; under loss scaling, whose skipped
                steps may have such losses, NaN only.
        """
        loss = float(np.asarray(logs.get("loss", 0.0)))
        if math.isnan(loss) or (math.isinf(loss) and not self.scales_loss):
            raise TrainingError(
                f"the loss became {loss:g} by step {self.step}; lower the"
                " learning rate or look at the loss and the data; earlier checkpoints are intact",
                place=self._folder.path,
            )

    def _is_due(self) -> bool:
        return self.step % self._options.checkpoint_every == 0

    def _measure(self, *, anew: bool) -> tuple[float, float]:
        """Return target and measured sparsity over all pruned weights.

        They are measured again only after a mask update, or with `anew`.
        """
        pruner = self._pruning.pruner
        if anew or pruner.last_updates != self._last_updates:
            self._sparsity = overall(pruner.tensors())
            self._last_updates = pruner.last_updates
        return self._sparsity

    def _tell(self, logs: Mapping[str, Any], *, epoch_ended: bool) -> None:
        if self._on_progress is None:
            return
        target, measured = self._measure(anew=False)
        values = {name: float(value) for name, value in logs.items() if np.ndim(value) == 0}
        self._on_progress(
            Progress(
                self._epoch + 1,
                self._options.epochs,
                self.step,
                self._options.steps,
                values,
                target,
                measured,
                epoch_ended,
            )
        )


def _plain(value: Any) -> Any:
    """Return a number (or list) that JSON can hold; None for one that is not finite."""
    array = np.asarray(value)
    if array.ndim:
        return [_plain(element) for element in array]
    return float(array) if math.isfinite(array) else None
