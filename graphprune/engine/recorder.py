"""The files and messages of a running training: checkpoints, metrics, progress."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.file_copy import FileCopy, HDF5Bytes
from graphprune.engine.callbacks import MaskUpdates
from graphprune.engine.early_stopping import KIND as STOPPING
from graphprune.engine.early_stopping import EarlyStopping
from graphprune.engine.progress import overall
from graphprune.engine.workers import ALONE, StopVotes, Workers, gather_state, is_chief
from graphprune.errors import TrainingError
from graphprune.runs.best import Best, parse_ranking
from graphprune.runs.checkpoint_writer import CheckpointWriter
from graphprune.runs.checkpoints import RunState, write_checkpoint
from graphprune.runs.disk_needs import DiskNeeds
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions
from graphprune.runs.training_arguments import OnProgress, Progress, StopRequest

Arrays = Mapping[str, NDArray[Any]]


class Interrupted(Exception):
    """Training was asked to stop.

    `stop_after_step` stops as if the process had been killed; a `StopRequest` stops after a
    checkpoint is written.
    """


class RunRecorder(ABC):
    """Writes checkpoints and one line of metrics per epoch, and reports progress.

    A mix-in for the `Callback` of a Keras, which implements the abstract methods. The callback
    comes after the pruner's. Checkpoints are copies of the state, which the writer of the run
    brings to disk while training goes on.

    A checkpoint in the middle of an epoch holds the running sums of the epoch's metrics; one at the
    end of an epoch is written after its line of metrics. If training is asked to stop after the
    last batch of an epoch, or during validation, the checkpoint counts as one in the middle of the
    epoch with no batch left, and the resumed run starts with the validation. State that validation
    changes (sums, random states and recurrent states) is stored as it was before.
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
        writer: CheckpointWriter,
        kept: Mapping[str, Callable[[], Arrays]] | None = None,
        stopping: EarlyStopping | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self._folder, self._options, self._start, self._pruning = folder, options, start, pruning
        self._writer = writer
        self._metric_sums, self._stop_after_step = metric_sums, stop_after_step
        self._on_progress, self._votes, self._workers = (
            on_progress,
            StopVotes(workers, stop),
            workers,
        )
        self._kept, self._stopping = dict(kept or {}), stopping
        if stopping is not None:
            self._kept[STOPPING] = stopping.to_arrays
        self._saved_at = (start.epoch, start.batch)
        self.saved_step = start.step
        self.best = start.best
        self._ranking = parse_ranking(options.keep_best) if options.keep_best else None
        self._before_validation: dict[str, Arrays] = {}
        self._epoch = start.epoch
        self._sparsity = (0.0, 0.0)
        self._last_updates: tuple[int, ...] = ()
        self.step, self.memory = start.step, HDF5Bytes()

    @abstractmethod
    def read_lasting(self) -> dict[str, Arrays]:
        """Return, by kind, state that validation does not change and model files do not hold."""

    @abstractmethod
    def read_passing(self) -> dict[str, Arrays]:
        """Return, by kind, the state that validation changes or resets.

        `metrics` are the running sums of the epoch's metrics.
        """

    @abstractmethod
    def restore_sums(self, sums: Arrays) -> None:
        """Restore the `metrics` that `read_passing` returned."""

    @abstractmethod
    def copy_model(self, path: Path) -> FileCopy:
        """Return the model's file for `path`, with layer settings as before training.

        Its tensors are in `memory`, where they are overwritten by the next copy.
        """

    @abstractmethod
    def end_training(self) -> None:
        """Let `fit` end after this epoch."""

    @abstractmethod
    def check_weights(self, place: str, remedy: str) -> None:
        """Refuse weights that are not finite.

        Raises:
            TrainingError: some are NaN or infinite; the text has `place`, their names and `remedy`.
        """

    @property
    @abstractmethod
    def scales_loss(self) -> bool:
        """Whether the optimizer scales the loss, and skips steps whose loss is infinite."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Write the first checkpoint, from which a run interrupted at once is resumed."""
        if self.step == 0:
            self.save(0, 0)
        self._stop_if(self._votes.asked(), *self._saved_at)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the metric sums of an interrupted epoch."""
        self._epoch = epoch
        self._before_validation = {}
        if epoch == self._start.epoch and self._start.batch:
            self.restore_sums(self._metric_sums)
        if (epoch, self._options.steps_per_epoch) == (self._start.epoch, self._start.batch):
            self._before_validation = self.read_passing()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step, report progress, write a checkpoint that is due or requested.

        Raises:
            WriteError: the checkpoint before could not be written.
        """
        self._writer.check()
        self.step = self._epoch * self._options.steps_per_epoch + batch + 1
        is_last = batch + 1 >= self._options.steps_per_epoch
        if is_last:
            self._before_validation = self.read_passing()
        if self._is_due() and not is_last:
            self.save(self._epoch, batch + 1)
        self._stop_if(self._votes.asked_after_step(), self._epoch, batch + 1)
        if self._on_progress is not None:
            self._tell(logs or {}, epoch_ended=False)
        stop_after = self._stop_after_step
        if stop_after is not None and self._before() < stop_after <= self.step:
            raise Interrupted

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop in the middle of validation if requested.

        Several workers stop after the validation, which they end together.
        """
        if self._workers.count == 1:
            self._stop_if(self._votes.asked(), self._epoch, self._options.steps_per_epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's line of metrics, then a checkpoint that is due or the best so far."""
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
        is_best, is_over = self._has_improved(epoch, values), self._looks_over(values)
        if is_best or is_over or self._is_due() or self.step == self._options.steps:
            self.save(epoch + 1, 0)
        self._stop_if(self._votes.asked(), epoch + 1, 0)
        if is_over:
            self.end_training()

    def _looks_over(self, metrics: Mapping[str, Any]) -> bool:
        """Return whether early stopping ends training after this epoch."""
        if self._stopping is None:
            return False
        self._stopping.look(metrics, at_target=self._pruning.pruner.is_finished)
        return self._stopping.is_over

    def _has_improved(self, epoch: int, values: Mapping[str, Any]) -> bool:
        """Compare the epoch with the best before; return whether it takes its place."""
        if self._ranking is None:
            return False
        self._ranking.check_known(values)
        value = values[self._ranking.metric]
        is_missed = any(one.zeros < one.target_zeros for one in self._pruning.pruner.tensors())
        new = Best(
            self._ranking.metric,
            math.nan if value is None else float(value),
            epoch + 1,
            self.step,
            at_target=not is_missed,
        )
        if not self._ranking.is_better(new, self.best):
            return False
        self.best = new
        return True

    def _stop_if(self, asked: bool, epoch: int, batch: int) -> None:
        """Stop if `asked`, with a checkpoint that resumes at `batch` of `epoch`.

        An existing checkpoint of that position is not written again.

        Raises:
            Interrupted: training was asked to stop.
        """
        if not asked:
            return
        if self._saved_at != (epoch, batch):
            self.save(epoch, batch)
        raise Interrupted

    def save(self, epoch: int, batch: int) -> None:
        """Begin to write a checkpoint that resumes at `batch` of `epoch`, from a copy of the state.

        Raises:
            TrainingError: a weight is not finite; earlier checkpoints stay.
            WriteError: the checkpoint before could not be written.
        """
        self._writer.wait()  # first, so that there is only one copy
        place = f"{self._folder.path}: training diverged by step {self.step}"
        self.check_weights(
            place,
            "lower the learning rate or look for such values in the data; earlier checkpoints are"
            " intact",
        )
        arrays: dict[str, Arrays] = {
            **self.read_lasting(),
            **(
                self._before_validation
                if batch == self._options.steps_per_epoch
                else self.read_passing()
            ),
            **{kind: read() for kind, read in self._kept.items()},
        }
        if not batch:
            arrays["metrics"] = {}
        layers = self._pruning.pruner.layers.values()
        flat = gather_state(self._workers, arrays, layers, place)
        mark = self._folder.mark_metrics()
        state = replace(
            self._start,
            step=self.step,
            epoch=epoch,
            batch=batch,
            metrics_size=mark.size,
            metrics_sha256=mark.sha256,
            best=self.best,
        )
        root, name = self._folder.checkpoints, self._options.model_name
        # variables that differ between workers are averaged by all of them together
        copy = self.copy_model(root / name)
        self._saved_at, self.saved_step = (epoch, batch), self.step
        if not is_chief(self._workers):
            return
        if not self.step:
            size = copy.size + sum(array.nbytes for array in flat.values())
            needs = DiskNeeds(size, self._options.keep, self._ranking is not None)
            needs.check(self._folder.path)
        keep = self._options.keep
        self._writer.start(lambda: write_checkpoint(root, state, flat, name, copy.write, keep=keep))

    def _check_loss(self, logs: Mapping[str, Any]) -> None:
        """Stop training if the epoch's loss is not finite even though the weights are.

        Later checkpoints would be useless.

        Raises:
            TrainingError: the training loss is NaN, or it is infinite without loss scaling, whose
                skipped steps may have an infinite loss.
        """
        loss = float(np.asarray(logs.get("loss", 0.0)))
        if math.isnan(loss) or (math.isinf(loss) and not self.scales_loss):
            raise TrainingError(
                f"the loss became {loss:g} by step {self.step}; lower the"
                " learning rate or check the loss and the data; earlier checkpoints are intact",
                place=self._folder.path,
            )

    def _is_due(self) -> bool:
        every = self._options.checkpoint_every
        return self.step // every > self._before() // every

    def _before(self) -> int:
        """Return the step before the execution that ended with this step.

        An execution is one step, or `steps_per_execution` of them, but none goes over the end of an
        epoch.
        """
        length, size = self._options.steps_per_epoch, self._options.compiling.steps_per_execution
        epoch, batch = divmod(max(0, self.step - 1), length)
        return epoch * length + batch // size * size

    def _measure(self, *, anew: bool) -> tuple[float, float]:
        """Return target and measured sparsity over all pruned weights.

        They are measured only after a mask update, or if `anew` is true.
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
    """Return a number or list that JSON can hold; None for a number that is not finite."""
    array = np.asarray(value)
    if array.ndim:
        return [_plain(element) for element in array]
    return float(array) if math.isfinite(array) else None
