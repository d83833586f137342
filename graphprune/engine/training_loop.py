"""The loop that trains a run to its end, from the beginning or from a checkpoint."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from graphprune.engine.callbacks import MaskUpdates
from graphprune.engine.early_stopping import KIND as STOPPING
from graphprune.engine.early_stopping import EarlyStopping
from graphprune.engine.faults import explain_fault
from graphprune.engine.own_callbacks import kept_states, restore_states
from graphprune.engine.own_code import OwnCode
from graphprune.engine.pruner import Pruner
from graphprune.engine.ready_model import FIRST
from graphprune.engine.recorder import Interrupted, RunRecorder
from graphprune.engine.resuming import arrays_by_kind
from graphprune.engine.training_result import Status, TrainingResult
from graphprune.engine.training_seam import Fit, TrainingSeam
from graphprune.engine.workers import ALONE, Workers, is_chief, own_state, wait_for_all
from graphprune.errors import DataError, GraphpruneError
from graphprune.files import copy_whole
from graphprune.runs.best import Best
from graphprune.runs.checkpoint_writer import CheckpointWriter
from graphprune.runs.checkpoints import Checkpoint, RunState, folder_of, read_checkpoint, resumable
from graphprune.runs.event_files import Place, cut_run_events
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions
from graphprune.runs.run_status import clear_failure, write_failure
from graphprune.runs.setting_values import read_stopping
from graphprune.runs.training_arguments import OnProgress, StopRequest


class Watching(Protocol):
    """Who follows a run while it trains; the attributes are as for `train`."""

    @property
    def stop_after_step(self) -> int | None:
        """Stop right after this step, as if the process had been killed."""
        ...

    @property
    def on_progress(self) -> OnProgress | None:
        """Called after each step and each epoch."""
        ...

    @property
    def stop(self) -> StopRequest | None:
        """Lets another thread stop the run."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """A run to train from `start` to its end.

    Attributes:
        model: The compiled model with pruned layers.
        data, options, folder: The run.
        start: The state to start from.
        checkpoint: The checkpoint of this state; None for the beginning.
        request: Who follows the run, and may stop it.
        warnings: The warnings so far, for the result.
        callbacks: The user's own callbacks.
        workers: The processes that train the run together; the chief writes its folder.
    """

    model: Any
    data: Any
    options: RunOptions
    folder: RunFolder
    start: RunState
    checkpoint: Checkpoint | None = None
    request: Watching = field(kw_only=True)
    warnings: tuple[str, ...] = ()
    callbacks: tuple[Any, ...] = ()
    workers: Workers = ALONE

    @property
    def own_code(self) -> OwnCode:
        """The user's own code that the settings name."""
        options = self.options
        return OwnCode.of(options.compiling, options.fitting, self.callbacks, options.data)

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
            original_metrics=self.options.original_metrics,
            **more,
        )


def run_to_end(seam: TrainingSeam, task: Task) -> TrainingResult:
    """Train a run to its end and save the model.

    Raises:
        DataError: reading the data fails during training; the checkpoints stay.
        TrainingError: a callback, the loss or a metric of the user fails; the checkpoints stay.
    """
    options, start, request = task.options, task.start, task.request
    writes = is_chief(task.workers)
    if writes:
        clear_failure(task.folder.path)
    stop = request.stop or StopRequest()
    with (
        stop.listening(),
        resumable(task.folder.checkpoints),
        seam.saved_randomness(task.model, options.seed) as randomness,
        CheckpointWriter() as writer,
    ):
        state = own_state(arrays_by_kind(task.checkpoint), task.workers)
        if task.checkpoint is not None:
            seam.restore_state(task.model, randomness, state)
            updates = seam.read_updates(task.model)
            place = Place(start.epoch, updates, seam.pruner(task.model).step)
            if writes:
                cut_run_events(task.folder, options, place)
        pruning = seam.mask_updates(options.run, options.updates_by(start.step))
        _warn_never_stops(seam.pruner(task.model), options)
        stopping = _stopping_of(options, state.get(STOPPING, {}))
        with task.own_code.failures_named("when its state was restored"):
            restore_states(task.callbacks, state)
        recorder = seam.recorder(
            randomness,
            task.folder,
            options,
            start,
            pruning,
            metric_sums=state.get("metrics", {}),
            stop_after_step=request.stop_after_step,
            on_progress=request.on_progress,
            stop=stop,
            writer=writer,
            kept=kept_states(task.callbacks),
            stopping=stopping,
            workers=task.workers,
        )
        left = task
        if stopping is not None and stopping.is_over:  # no epoch is left
            left = replace(task, options=replace(options, epochs=start.epoch))
        try:
            has_ended = _fit(seam, left, pruning, recorder)
            writer.wait()
        except Exception as fault:
            if writes:
                write_failure(task.folder.path, recorder.step, fault)
            raise
        if not has_ended:
            return task.result("interrupted", recorder.step, None)
        return _finish(seam, task, pruning.pruner, recorder, stopping)


def _stopping_of(options: RunOptions, state: Mapping[str, Any]) -> EarlyStopping | None:
    asked = options.fitting.early_stopping
    return None if asked is None else EarlyStopping(read_stopping(asked), state)


def _warn_never_stops(pruner: Pruner, options: RunOptions) -> None:
    """Warn where the schedules end with the run, so that early stopping can never act."""
    if options.fitting.early_stopping is None:
        return
    pruner.follow(options.run)
    end, steps = pruner.last_target, options.run.steps
    if steps is not None and end >= steps:
        warnings.warn(
            f"early stopping counts from the end of the schedules, step {end}, and the run has"
            f" {steps} steps, so it cannot stop the run; let the schedules end earlier",
            stacklevel=2,
        )


def try_one_batch(seam: TrainingSeam, task: Task) -> None:
    """Train on one batch, and write nothing.

    Raises:
        DataError: reading the batch fails.
        TrainingError: a callback, the loss or a metric of the user fails.
    """
    size = task.options.compiling.steps_per_execution
    every = task.options.compiling.gradient_accumulation
    options = replace(task.options, epochs=1, steps_per_epoch=max(size, every))
    pruning = seam.mask_updates(task.options.run, 0)
    with seam.saved_randomness(task.model, options.seed):
        try:
            seam.fit(Fit(task.model, task.data, options, task.start), [pruning, *task.callbacks])
        except (Exception, SystemExit) as fault:
            explained = _explain(seam, task, fault, FIRST)
            if explained is None:
                raise
            raise explained from fault


def _explain(
    seam: TrainingSeam, task: Task, fault: BaseException, when: str, remedy: str = ""
) -> GraphpruneError | None:
    """Return the error to raise for one of `fit` if the user's code or data failed, else None.

    Another error gets the remedy as a note, which Python prints after its traceback.
    """
    if isinstance(fault, GraphpruneError):
        return None
    own = task.own_code
    found: GraphpruneError | None = own.find_failure(fault, when, told=False)
    if found is None and isinstance(fault, Exception) and seam.is_data_fault(fault):
        found = DataError(f"failed {when}: {explain_fault(fault)}", place=task.data.spec)
    found = found or own.find_failure(fault, when)
    if found is None:
        if remedy:
            fault.add_note(f"graphprune: failed {when}; {remedy}")
        return None
    return type(found)(f"{found.text}; {remedy}" if remedy else found.text, place=found.place)


def _finish(
    seam: TrainingSeam,
    task: Task,
    pruner: Pruner,
    recorder: RunRecorder,
    stopping: EarlyStopping | None,
) -> TrainingResult:
    """Write the trained model and the result; all workers return once the chief has."""
    path = task.folder.path / task.options.model_name
    # a run resumed after its last step has seen no batch, but must write the same model
    seam.reset_metrics(task.model)
    copy = recorder.copy_model(path)
    if is_chief(task.workers):
        copy.write(path)
    result = task.result(
        "finished",
        recorder.step,
        path,
        tensors=pruner.tensors(),
        standing_still=pruner.standing_still(),
        best=recorder.best,
        best_model=_write_best(task, recorder.best),
        stopped_early=_explain_stop(task.options, recorder, stopping),
        stripped_metrics=_measure_stripped(seam, task),
    )
    task.folder.write_result(result.to_config(), task.options.run_id)
    wait_for_all(task.workers)
    return result


def _measure_stripped(seam: TrainingSeam, task: Task) -> dict[str, float]:
    """Return loss and metrics of what stripping gives, if it has another precision."""
    if task.options.compiling.mixed_precision is None or task.data.test is None:
        return {}
    return seam.evaluate(seam.strip_model(task.model), task.data)


def _write_best(task: Task, best: Best | None) -> Path | None:
    """Write the model of the best checkpoint beside the trained one, and return its path.

    Raises:
        CheckpointError: the checkpoint is damaged or gone.
    """
    name = task.options.best_name
    if best is None or name is None:
        return None
    if is_chief(task.workers):
        checkpoint = read_checkpoint(folder_of(task.folder.checkpoints, best.step))
        copy_whole(checkpoint.model, task.folder.path / name)
    return task.folder.path / name


def _explain_stop(
    options: RunOptions, recorder: RunRecorder, stopping: EarlyStopping | None
) -> str:
    """Return why training ended before its last epoch; empty if it did not."""
    if recorder.step == options.steps:
        return ""
    epoch = recorder.step // options.steps_per_epoch
    if stopping is not None and stopping.is_over:
        return stopping.explain(epoch, options.epochs)
    return f"a callback stopped training after epoch {epoch} of {options.epochs}"


def _fit(seam: TrainingSeam, task: Task, pruning: MaskUpdates, recorder: RunRecorder) -> bool:
    """Train, with TensorBoard's callback if the run writes events; return whether to the end.

    Raises:
        DataError: reading the data fails during training.
    """
    events, summaries = task.options.tensorboard, None
    if events is not None and pruning.run is not None and is_chief(task.workers):
        summaries = seam.summaries(task.folder.path / events, pruning.run)
    fit = Fit(task.model, task.data, task.options, task.start)
    try:
        written = [] if summaries is None else [summaries]
        seam.fit(fit, [pruning, *written, *task.callbacks, recorder])
    except Interrupted:
        return False
    except (Exception, SystemExit) as fault:
        when, run = f"after step {recorder.step}", shlex.quote(str(task.folder.path))
        remedy = f"go on with graphprune resume {run}, which starts at step {recorder.saved_step}"
        explained = _explain(seam, task, fault, when, remedy)
        if explained is None:
            raise
        raise explained from fault
    finally:
        if summaries is not None:
            summaries.close()
    return True
