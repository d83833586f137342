"""The one loop that trains a run, from its beginning or from a checkpoint to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.callbacks import CallbackList
from tf_keras.src.utils import tf_utils

from graphprune.engine.faults import explain_fault
from graphprune.engine.progress import TensorProgress
from graphprune.errors import DataError
from graphprune.runs.checkpoints import Checkpoint, RunState, resumable
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions
from graphprune.runs.training_arguments import OnProgress, StopRequest
from graphprune.sparsity.positions import Run
from graphprune.tf.pruning.callbacks import PruningSummaries, UpdatePruningStep
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.training.data import Data
from graphprune.tf.training.event_files import Place, cut_events
from graphprune.tf.training.hidden_state import (
    restore_optimizer_attributes,
    restore_optimizer_rest,
    restore_recurrent_states,
    restore_replica_values,
)
from graphprune.tf.training.randomness import saved_randomness
from graphprune.tf.training.recorder import Interrupted, Recorder


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


Status = Literal["finished", "interrupted", "already-finished"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a run stands when `train` or `resume` returns.

    Attributes:
        run_dir: The run's folder.
        status: `already-finished` when there was nothing left to do.
        step, steps: Optimizer updates done, and of the whole run.
        model: The trained, wrapped model; None while the run is not finished.
        metrics: The last line of `metrics.jsonl`.
        tensors: Every pruned tensor with its zeros and its target; empty while the run is not
            finished.
        resumed_from: The checkpoint that the run went on from, if any.
        warnings: What the user should know: a damaged checkpoint that was passed over, other
            versions of TensorFlow.
        standing_still: Addresses of pruned layers that no update reached, because they get no
            gradient.
    """

    run_dir: Path
    status: Status
    step: int
    steps: int
    model: Path | None
    metrics: Mapping[str, Any]
    tensors: tuple[TensorProgress, ...] = ()
    resumed_from: Path | None = None
    warnings: tuple[str, ...] = ()
    standing_still: tuple[str, ...] = ()

    @property
    def missed(self) -> tuple[TensorProgress, ...]:
        """The tensors of a finished run that did not reach their target."""
        return tuple(tensor for tensor in self.tensors if tensor.zeros < tensor.target_zeros)

    def to_config(self) -> dict[str, Any]:
        """Return what `result.json` holds of a finished run."""
        model = None if self.model is None else self.model.name
        return {
            "step": self.step,
            "steps": self.steps,
            "model": model,
            "metrics": dict(self.metrics),
            "tensors": [asdict(tensor) for tensor in self.tensors],
        }

    @classmethod
    def from_config(cls, run_dir: Path, config: Mapping[str, Any]) -> TrainingResult:
        """Return the result of a run that was finished earlier."""
        tensors = tuple(TensorProgress(**tensor) for tensor in config["tensors"])
        return cls(
            run_dir,
            "already-finished",
            config["step"],
            config["steps"],
            run_dir / config["model"],
            config["metrics"],
            tensors,
        )


def run_to_end(
    model: tf_keras.Model,
    data: Data,
    options: RunOptions,
    folder: RunFolder,
    start: RunState,
    checkpoint: Checkpoint | None,
    *,
    stop_after_step: int | None = None,
    on_progress: OnProgress | None = None,
    warnings: tuple[str, ...] = (),
    stop: StopRequest | None = None,
) -> TrainingResult:
    """Train the compiled, wrapped `model` from `start` on, and save it when the run is at its end.

    Raises:
        DataError: the data fails on the way; the checkpoints stay.
    """
    resumed_from = None if checkpoint is None else checkpoint.folder
    stop = stop or StopRequest()
    with (
        stop.listening(),
        resumable(folder.checkpoints),
        saved_randomness(model, options.seed) as randomness,
    ):
        if checkpoint is not None:
            randomness.restore(_part(checkpoint, "random"))
            restore_recurrent_states(model, _part(checkpoint, "recurrent"))
            restore_optimizer_rest(model, _part(checkpoint, "optimizer"))
            restore_optimizer_attributes(model, _part(checkpoint, "attributes"))
            restore_replica_values(model, _part(checkpoint, "replicas"))
            _cut_events(model, options, folder, start)
        pruning = UpdatePruningStep(Run(options.steps_per_epoch, options.epochs), done=start.step)
        sums = {} if checkpoint is None else _part(checkpoint, "metrics")
        recorder = Recorder(
            folder,
            options,
            start,
            pruning,
            randomness,
            metric_sums=sums,
            stop_after_step=stop_after_step,
            on_progress=on_progress,
            stop=stop,
        )
        summaries = (
            []
            if options.tensorboard is None
            else [
                PruningSummaries(
                    folder.path / options.tensorboard, run=pruning.run, write_graph=False
                )
            ]
        )
        try:
            _fit(model, data, options, start, [pruning, *summaries, recorder])
        except Interrupted:
            return TrainingResult(
                folder.path,
                "interrupted",
                recorder.step,
                options.steps,
                None,
                folder.last_metrics(),
                (),
                resumed_from,
                warnings,
            )
        except tf.errors.OpError as fault:
            raise DataError(
                f"failed after step {recorder.step}: {explain_fault(fault)}", place=data.spec
            ) from fault
        finally:
            for summary in summaries:
                summary.close()
        path = folder.path / options.model_name
        # a run that was resumed behind its last step has seen no batch, and its model is the same
        model.reset_metrics()
        recorder.save_model(path)
        tensors, still = pruning.pruner.tensors(), pruning.pruner.standing_still()
        result = TrainingResult(
            folder.path,
            "finished",
            recorder.step,
            options.steps,
            path,
            folder.last_metrics(),
            tensors,
            resumed_from,
            warnings,
            still,
        )
        folder.write_result(result.to_config(), options.run_id)
    return result


def _fit(
    model: tf_keras.Model,
    data: Data,
    options: RunOptions,
    start: RunState,
    callbacks: list[tf_keras.callbacks.Callback],
) -> None:
    """Train in one call of `fit`, so that whatever happens once a training (the pruner's start,
    averages of weights at the end) happens once.
    """
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


def _cut_events(
    model: tf_keras.Model, options: RunOptions, folder: RunFolder, start: RunState
) -> None:
    """Take out of TensorBoard's files what the run will write again; in a folder that is not the
    run's, other runs may have theirs.
    """
    if options.tensorboard is not None:
        since = folder.began if Path(options.tensorboard).is_absolute() else 0.0
        place = Place(start.epoch, int(model.optimizer.iterations.numpy()), Pruner(model).step)
        cut_events(folder.path / options.tensorboard, place, since)


def _part(checkpoint: Checkpoint, kind: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(f"{kind}/"): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(f"{kind}/")
    }
