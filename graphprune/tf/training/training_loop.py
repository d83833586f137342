"""The loop that trains a run to its end, from the beginning or from a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.callbacks import CallbackList
from tf_keras.src.utils import tf_utils

from graphprune.engine import pruner as engine
from graphprune.engine.faults import explain_fault
from graphprune.engine.recorder import Interrupted
from graphprune.engine.resuming import arrays_by_kind
from graphprune.engine.training_result import Status, TrainingResult
from graphprune.errors import DataError
from graphprune.runs.checkpoints import Checkpoint, RunState, resumable
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions
from graphprune.runs.training_arguments import OnProgress, StopRequest
from graphprune.sparsity.positions import Run
from graphprune.tf.pruning.callbacks import PruningSummaries, UpdatePruningStep
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.training.data import Data
from graphprune.tf.training.event_files import Place, cut_run_events
from graphprune.tf.training.randomness import saved_randomness
from graphprune.tf.training.recorder import Recorder, restore_state


class BeginAt(tf_keras.callbacks.Callback):
    """Lets `fit` begin in the middle of an epoch, as Keras's own BackupAndRestore does.

    Args:
        epoch, batch: The position, both from 0. After the last batch of an epoch, the epoch is
            finished first: validation, and the callbacks' work at its end.
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
                self._validation_data, verbose=0, callbacks=self.hooks, return_dict=True
            )
            logs |= {f"val_{name}": value for name, value in found.items()}
        self.hooks.on_epoch_end(epoch, logs)


@dataclass(frozen=True, slots=True)
class Task:
    """A run to train from `start` to its end.

    Attributes:
        model: The compiled, wrapped model.
        data, options, folder: The run.
        start: The state to start from.
        checkpoint: The checkpoint of this state; None for the beginning.
        stop_after_step, on_progress, stop: As for `train`.
        warnings: The warnings so far, for the result.
    """

    model: tf_keras.Model
    data: Data
    options: RunOptions
    folder: RunFolder
    start: RunState
    checkpoint: Checkpoint | None
    stop_after_step: int | None
    on_progress: OnProgress | None
    stop: StopRequest
    warnings: tuple[str, ...] = ()

    def result(self, status: Status, step: int, model: Path | None, **more: Any) -> TrainingResult:
        """Return the result of the run at `step`."""
        return TrainingResult(
            self.folder.path,
            status,
            step,
            self.options.steps,
            model,
            self.folder.last_metrics(),
            resumed_from=None if self.checkpoint is None else self.checkpoint.folder,
            warnings=self.warnings,
            **more,
        )


def run_to_end(task: Task) -> TrainingResult:
    """Train a run to its end and save the model.

    Raises:
        DataError: reading the data fails during training; the checkpoints stay.
    """
    options, start = task.options, task.start
    with (
        task.stop.listening(),
        resumable(task.folder.checkpoints),
        saved_randomness(task.model, options.seed) as randomness,
    ):
        state = arrays_by_kind(task.checkpoint)
        if task.checkpoint is not None:
            restore_state(task.model, randomness, state)
            updates = int(task.model.optimizer.iterations.numpy())
            place = Place(start.epoch, updates, Pruner(task.model).step)
            cut_run_events(task.folder, options, place)
        pruning = UpdatePruningStep(Run(options.steps_per_epoch, options.epochs), done=start.step)
        recorder = Recorder(
            randomness,
            task.folder,
            options,
            start,
            pruning,
            metric_sums=state.get("metrics", {}),
            stop_after_step=task.stop_after_step,
            on_progress=task.on_progress,
            stop=task.stop,
        )
        try:
            _fit(task, pruning, recorder)
        except Interrupted:
            return task.result("interrupted", recorder.step, None)
        return _finish(task, pruning.pruner, recorder)


def _finish(task: Task, pruner: engine.Pruner, recorder: Recorder) -> TrainingResult:
    """Write the trained model and the result."""
    path = task.folder.path / task.options.model_name
    # a run resumed after its last step has seen no batch, but must write the same model
    task.model.reset_metrics()
    recorder.save_model(path)
    result = task.result(
        "finished",
        recorder.step,
        path,
        tensors=pruner.tensors(),
        standing_still=pruner.standing_still(),
    )
    task.folder.write_result(result.to_config(), task.options.run_id)
    return result


def _fit(task: Task, pruning: UpdatePruningStep, recorder: Recorder) -> None:
    """Train with TensorBoard's callback if the run writes events.

    Raises:
        DataError: reading the data fails during training.
    """
    events, summaries = task.options.tensorboard, None
    if events is not None:
        summaries = PruningSummaries(task.folder.path / events, run=pruning.run, write_graph=False)
    try:
        _fit_once(task, [pruning, *([] if summaries is None else [summaries]), recorder])
    except tf.errors.OpError as fault:
        raise DataError(
            f"failed after step {recorder.step}: {explain_fault(fault)}", place=task.data.spec
        ) from fault
    finally:
        if summaries is not None:
            summaries.close()


def _fit_once(task: Task, callbacks: list[tf_keras.callbacks.Callback]) -> None:
    """Train in one call of `fit`.

    Work that is done once per training (the pruner's start, weight averages at the end) is then
    done once.
    """
    model, data, options, start = task.model, task.data, task.options, task.start
    begin = BeginAt(start.epoch, start.batch, options.steps_per_epoch, data.test)
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
    model.fit(
        data.batches(start.step),
        validation_data=data.test,
        initial_epoch=start.epoch,
        epochs=options.epochs,
        steps_per_epoch=options.steps_per_epoch,
        verbose=0,
        callbacks=hooks,
    )
