"""Training runs: a wrapped model is trained along its schedules, with checkpoints from which
`resume` goes on exactly.

A resumed run equals one that was never interrupted, bit for bit: weights, masks, optimizer,
metrics. That holds on the same machine with the same versions, and for data that comes in the same
order again (an `.npz` always does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import tf_keras

from graphprune.arguments import check_whole
from graphprune.errors import TrainingError
from graphprune.graph import read_graph
from graphprune.plan import Plan, plan_to_config
from graphprune.plan.from_document import plan_of
from graphprune.runs.progress import OnProgress
from graphprune.runs.resume_point import Tell, cut_metrics, find_finished, find_start
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import MAX_EPOCHS, Compiling, RunOptions
from graphprune.runs.stopping import StopRequest
from graphprune.runs.strategy_names import NONE
from graphprune.runs.training_arguments import check_places, check_run_dir, check_settings
from graphprune.sparsity.positions import Position, Run
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.read_back import check_reads_back
from graphprune.tf.pruning.summaries import check_tensorboard
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.data import Data, read_data
from graphprune.tf.training.evaluation import check_data_fits
from graphprune.tf.training.event_files import Place, cut_events
from graphprune.tf.training.reached import check_targets_reached
from graphprune.tf.training.ready_model import Load, make_ready
from graphprune.tf.training.run_record import (
    checkpoint_steps,
    first_state,
    other_versions,
    rule_files,
    run_options,
    versions,
)
from graphprune.tf.training.same_run import (
    check_original,
    check_plan,
    check_trusted,
    first_batch_sha256,
    read_first_plan,
    read_same_data,
)
from graphprune.tf.training.strategies import open_spread
from graphprune.tf.training.training_loop import TrainingResult, run_to_end

LOADING, READING, CHECKING = (
    "loading the model",
    "reading the data",
    "checking that model and data fit",
)
TRACING = "tracing the training step"


def tell_nobody(_text: str) -> None:
    """Do nothing: nobody wants to know."""


def train(
    model_path: str | Path,
    plan: Plan | str | Path | None,
    data_spec: str | Path,
    run_dir: str | Path,
    *,
    epochs: int,
    batch_size: int | None = None,
    optimizer: str | None = None,
    loss: str | None = None,
    metrics: Sequence[str] | None = None,
    learning_rate: float | None = None,
    reset_optimizer: bool = False,
    checkpoint_every: Position | str = "1 epoch",
    steps_per_epoch: int | None = None,
    seed: int = 0,
    custom_objects: Mapping[str, Any] | None = None,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
    force: bool = False,
    tensorboard: str | Path | None = None,
    strategy: str = NONE,
    stop_after_step: int | None = None,
    allow_missed: bool = False,
    on_progress: OnProgress | None = None,
    on_stage: Tell = tell_nobody,
    stop: StopRequest | None = None,
) -> TrainingResult:
    """Wrap the saved model by `plan`, train it on the data, and leave everything in `run_dir`; the
    file at `model_path` is not touched.

    Nothing is written before model, data and settings were found to fit together.

    Args:
        model_path: A saved model; checkpoints have the same format, those of a SavedModel are
            `.keras`.
        plan: What to wrap, or the path of its JSON file; None for a model that is wrapped already.
        data_spec: An `.npz` or `package.module:function`; see `read_data`.
        run_dir: A new folder, or one with an earlier run and `force`.
        epochs: Passes over the data.
        batch_size: Samples in a batch of an `.npz`, 32 by default.
        optimizer, loss, metrics, learning_rate: Instead of what the model was saved with.
        reset_optimizer: Start the saved optimizer anew.
        checkpoint_every: Such as `1 epoch` or `50 steps`. The beginning and the end have
            checkpoints as well.
        steps_per_epoch: The length of an epoch, for datasets that never end.
        seed: Of the order of the samples and of dropout.
        custom_objects: Classes and functions by name, to load the model with.
        unsafe_lambda, unsafe_ops: As for `load_model`.
        force: Replace an earlier run in `run_dir`.
        tensorboard: Write TensorBoard events into this folder, here and when the run is resumed; a
            relative one is in `run_dir`.
        strategy: `none`; `mirrored` for all GPUs, `mirrored:N` for N of them (without a GPU, N
            devices made of the CPU). They share each batch: `batch_size` is that of all together.
        stop_after_step: Stop right after this step, as if the process had been killed.
        allow_missed: Go on, with a warning, where the run is too short for a schedule to reach its
            target.
        on_progress: Called after each step and each epoch.
        on_stage: Called with what is done before the first step, such as `loading the model`, when
            it begins.
        stop: Stops the run at its next step, with a checkpoint there, when another thread asks for
            it.

    Raises:
        GraphpruneError: a file, a setting or the data is not usable; the text says which and what
            to do.
        TypeError: an argument has another type, such as a live model for `model_path`.
    """
    place, data_spec, run_dir = check_places(model_path, data_spec, run_dir)
    plan = None if plan is None else plan_of(plan)
    check_whole("epochs", epochs)
    counts = {
        "batch_size": batch_size,
        "steps_per_epoch": steps_per_epoch,
        "seed": seed,
        "stop_after_step": stop_after_step,
    }
    metrics = check_settings(
        counts=counts,
        names={"optimizer": optimizer, "loss": loss},
        metrics=metrics,
        learning_rate=learning_rate,
        checkpoint_every=checkpoint_every,
        custom_objects=custom_objects,
        strategy=strategy,
        stop=stop,
    )
    folder = RunFolder(Path(run_dir))
    found = folder.check_free(force=force)
    if not 1 <= epochs <= MAX_EPOCHS:
        raise TrainingError(
            f"{run_dir}: the number of epochs must be from 1 to {MAX_EPOCHS:,}, got {epochs}"
        )
    if tensorboard is not None:
        check_tensorboard()
    asked = Compiling(optimizer, loss, metrics, learning_rate, reset_optimizer)
    spread = open_spread(strategy)
    with spread.scope():
        on_stage(LOADING)
        model = load_model(
            model_path, custom_objects, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops
        )
        on_stage(READING)
        data = read_data(
            data_spec,
            batch_size=batch_size,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            replicas=spread.replicas,
        )
        graph = read_graph(model_path).to_config()
        first_batch = first_batch_sha256(data)
        on_stage(CHECKING)
        model = make_ready(model, plan, asked, data, place)
        if not allow_missed:
            check_targets_reached(model, Run(data.steps_per_epoch, epochs), plan)
        every = checkpoint_steps(checkpoint_every, Run(data.steps_per_epoch, epochs))
        options = run_options(
            model_path,
            model,
            plan,
            data,
            data_spec,
            epochs,
            steps_per_epoch is not None,
            seed,
            every,
            asked,
            tensorboard,
            spread.name,
            first_batch,
        )
        load = partial(
            load_model,
            custom_objects=custom_objects,
            unsafe_lambda=unsafe_lambda,
            unsafe_ops=unsafe_ops,
        )
        check_reads_back(model, Path(options.model_name).suffix, str(model_path), load)
        plan_config = None if plan is None else plan_to_config(plan)
        on_stage(TRACING)
        with folder.created(
            options,
            plan=plan_config,
            graph=graph,
            rule_files=rule_files(options.rules),
            found=found,
            force=force,
        ):
            return run_to_end(
                model,
                data,
                options,
                folder,
                first_state(options),
                None,
                stop_after_step=stop_after_step,
                on_progress=on_progress,
                stop=stop,
            )


def resume(
    run_dir: str | Path,
    *,
    plan: Plan | str | Path | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
    trust_run: bool = False,
    stop_after_step: int | None = None,
    on_checkpoint: Callable[[Path | None], None] | None = None,
    on_progress: OnProgress | None = None,
    on_stage: Tell = tell_nobody,
    on_warning: Tell | None = None,
    stop: StopRequest | None = None,
) -> TrainingResult:
    """Go on with the run in `run_dir` from its newest whole checkpoint, to the same end as if it
    had never stopped.

    Without any checkpoint it starts from the beginning. A finished run is left as it is; what was
    deleted of it is written again.

    Args:
        run_dir: What `train` made.
        plan: Refused unless it is the plan that the run was made from; None trusts the run.
        custom_objects, unsafe_lambda, unsafe_ops, stop_after_step, on_progress, on_stage, stop: As
            for `train`.
        trust_run: Call the data function that a run names, and write events where it says, though
            this user did not make the run on this machine.
        on_checkpoint: Called before training goes on, with the checkpoint's folder, or with None
            for a start from the beginning.
        on_warning: Called at once with each of the result's warnings.

    Raises:
        CheckpointError: the folder is no run, no checkpoint is whole, another plan was given, or
            the run is not trusted.
        DataError: the data is gone, or is not what the run began with.
        TypeError: `run_dir` is not a path, or `plan` not a plan.
    """
    folder = RunFolder(Path(check_run_dir(run_dir)))
    plan = None if plan is None else plan_of(plan)
    options = folder.read_options() if not folder.is_replaced else None
    if options is not None and plan is None:
        # also in a folder that cannot be written
        finished = find_finished(folder, options, lambda message: None)
        if finished is not None:
            return TrainingResult.from_config(folder.path, asdict(finished))
    told: list[str] = []

    def tell(message: str) -> None:
        told.append(message)
        if on_warning is not None:
            on_warning(message)

    with folder.locked():
        options, is_own = folder.read_run()
        check_plan(folder, options, plan)
        finished = find_finished(folder, options, tell)
        if finished is not None:
            return TrainingResult.from_config(folder.path, asdict(finished))
        checkpoint = find_start(folder, options, tell)
        if not is_own:
            check_trusted(folder, options, trust_run=trust_run, tell=tell)
        load = partial(
            load_model,
            custom_objects=custom_objects,
            unsafe_lambda=unsafe_lambda,
            unsafe_ops=unsafe_ops,
        )
        spread = open_spread(options.strategy)
        with spread.scope():
            on_stage(READING)
            data = read_same_data(folder, options, spread.replicas, tell)
            on_stage(LOADING)
            if checkpoint is None:
                model = _load_first(folder, options, data, load)
                state = first_state(options)
            else:
                model = load(checkpoint.model)
                compile_model(model, Compiling(), str(checkpoint.model))
                check_data_fits(model, data)
                state = replace(
                    checkpoint.state,
                    versions=versions(),
                    model_sha256=options.model_sha256,
                    data_sha256=options.data_sha256,
                )
                for message in other_versions(checkpoint):
                    tell(message)
            cut_metrics(folder, state, tell)
            if on_checkpoint is not None:
                on_checkpoint(None if checkpoint is None else checkpoint.folder)
            on_stage(TRACING)
            return run_to_end(
                model,
                data,
                options,
                folder,
                state,
                checkpoint,
                stop_after_step=stop_after_step,
                on_progress=on_progress,
                warnings=tuple(told),
                stop=stop,
            )


def _load_first(folder: RunFolder, options: RunOptions, data: Data, load: Load) -> tf_keras.Model:
    """Return the model that the run began with, ready for its first step.

    Raises:
        CheckpointError: the model or the plan is not the one that the run began with.
    """
    plan = read_first_plan(folder, options)
    check_original(folder, options)
    model = make_ready(load(options.model), plan, options.compiling, data, options.model)
    if options.tensorboard is not None:
        since = folder.began if Path(options.tensorboard).is_absolute() else 0.0
        cut_events(
            folder.path / options.tensorboard,
            Place(0, int(model.optimizer.iterations.numpy()), 0),
            since,
        )
    return model
