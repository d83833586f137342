"""Training runs: a wrapped model is trained along its schedules, with checkpoints from which `resume` goes on exactly.

A resumed run equals one that was never interrupted, bit for bit: weights, masks, optimizer, metrics. That holds on the same machine with the same versions,
and for data that comes in the same order again (an `.npz` always does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

import graphprune
from graphprune.archive import read_archive
from graphprune.errors import CheckpointError, DataError, TrainingError
from graphprune.files import file_sha256, model_sha256
from graphprune.graph import read_graph
from graphprune.plan import Plan, plan_sha256, plan_to_config
from graphprune.rules.text.shipped import find_rule_file
from graphprune.runs.checkpoints import Checkpoint, RunState, find_checkpoint
from graphprune.runs.progress import OnProgress
from graphprune.runs.run_folder import RunFolder, RunOptions
from graphprune.sparsity.positions import Position, Run, parse_position
from graphprune.tf.models.loading import load_model
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.summaries import check_tensorboard
from graphprune.tf.pruning.surgery import apply_plan
from graphprune.tf.training.compiling import Compiling, compile_model
from graphprune.tf.training.data import ArrayData, Data, read_data
from graphprune.tf.training.evaluation import check_data_fits
from graphprune.tf.training.finite import check_finite
from graphprune.tf.training.gradients import check_gradients
from graphprune.tf.training.strategies import NONE, open_spread
from graphprune.tf.training.training_loop import TrainingResult, run_to_end

MAX_EPOCHS = 1_000_000


def train(
    model_path: str | Path,
    plan: Plan | None,
    data_spec: str,
    run_dir: str | Path,
    *,
    epochs: int,
    batch_size: int | None = None,
    optimizer: str | None = None,
    loss: str | None = None,
    metrics: tuple[str, ...] | None = None,
    learning_rate: float | None = None,
    reset_optimizer: bool = False,
    checkpoint_every: Position | str = "1 epoch",
    steps_per_epoch: int | None = None,
    seed: int = 0,
    custom_objects: Mapping[str, Any] | None = None,
    unsafe_lambda: bool = False,
    force: bool = False,
    tensorboard: str | Path | None = None,
    strategy: str = NONE,
    stop_after_step: int | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingResult:
    """Wrap the saved model by `plan`, train it on the data, and leave everything in `run_dir`; the file at `model_path` is not touched.

    Nothing is written before model, data and settings were found to fit together.

    Args:
        model_path: A saved model; checkpoints have the same format, those of a SavedModel are `.keras`.
        plan: What to wrap; None for a model that is wrapped already.
        data_spec: An `.npz` or `package.module:function`; see `read_data`.
        run_dir: A new folder, or one with an earlier run and `force`.
        epochs: Passes over the data.
        batch_size: Samples in a batch of an `.npz`, 32 by default.
        optimizer, loss, metrics, learning_rate: Instead of what the model was saved with.
        reset_optimizer: Start the saved optimizer anew.
        checkpoint_every: Such as `1 epoch` or `50 steps`. The beginning and the end have checkpoints as well.
        steps_per_epoch: The length of an epoch, for datasets that never end.
        seed: Of the order of the samples and of dropout.
        custom_objects: Classes and functions by name, to load the model with.
        unsafe_lambda: Load Lambda layers that carry Python bytecode.
        force: Replace an earlier run in `run_dir`.
        tensorboard: Write TensorBoard events into this folder, here and when the run is resumed; a relative one is in `run_dir`.
        strategy: `none`; `mirrored` for all GPUs, `mirrored:N` for N of them (without a GPU, N devices made of the CPU). They share each batch: `batch_size`
            is that of all together.
        stop_after_step: Stop right after this step, as if the process had been killed.
        on_progress: Called after each step and each epoch.

    Raises:
        GraphpruneError: a file, a setting or the data is not usable; the text says which and what to do.
    """
    folder = RunFolder(Path(run_dir))
    folder.check_free(force=force)
    if not 1 <= epochs <= MAX_EPOCHS:
        raise TrainingError(f"{run_dir}: the number of epochs must be from 1 to {MAX_EPOCHS:,}, got {epochs}")
    if tensorboard is not None:
        check_tensorboard()
    asked = Compiling(optimizer, loss, None if metrics is None else tuple(metrics), learning_rate, reset_optimizer)
    spread = open_spread(strategy)
    with spread.scope():
        model = load_model(model_path, custom_objects, unsafe_lambda=unsafe_lambda)
        data = read_data(data_spec, batch_size=batch_size, seed=seed, steps_per_epoch=steps_per_epoch, replicas=spread.replicas)
        graph = read_graph(model_path).to_config()
        if plan is not None:
            model = apply_plan(model, plan)
        if not find_wrappers(model) and plan is not None:
            raise TrainingError(f"{model_path}: the plan wraps no layer, so there is nothing to train for; graphprune plan shows why")
        if not find_wrappers(model):
            raise TrainingError(f"{model_path}: no layer is pruned; give rules with -r RULES, or wrap the model first with graphprune apply")
        check_finite(model, str(model_path), "such a model cannot be pruned by magnitude; train it anew")
        compile_model(model, asked, str(model_path))
        check_data_fits(model, data)
        check_gradients(model, data, str(model_path))
        every = _checkpoint_steps(checkpoint_every, Run(data.steps_per_epoch, epochs))
        options = _options(model_path, model, plan, data, data_spec, epochs, steps_per_epoch is not None, seed, every, asked, tensorboard, spread.name)
        if folder.is_run:
            with folder.locked():
                pass  # nobody else trains in the run that is about to be replaced
        folder.create(options, plan=None if plan is None else plan_to_config(plan), graph=graph, rule_files=_rule_files(options.rules))
        with folder.locked():
            return run_to_end(model, data, options, folder, _first_state(options), None, stop_after_step=stop_after_step, on_progress=on_progress)


def resume(
    run_dir: str | Path,
    *,
    plan: Plan | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    unsafe_lambda: bool = False,
    stop_after_step: int | None = None,
    on_checkpoint: Callable[[Path], None] | None = None,
    on_progress: OnProgress | None = None,
) -> TrainingResult:
    """Go on with the run in `run_dir` from its newest whole checkpoint, to the same end as if it had never stopped.

    Args:
        run_dir: What `train` made.
        plan: Refused unless it is the plan that the run was made from; None trusts the run.
        custom_objects, unsafe_lambda, stop_after_step, on_progress: As for `train`.
        on_checkpoint: Called with the checkpoint's folder before training goes on.

    Raises:
        CheckpointError: the folder is no run, no checkpoint is whole, or another plan was given.
        DataError: the data is gone, or is not what the run began with.
    """
    folder = RunFolder(Path(run_dir))
    options = folder.read_options()
    with folder.locked():
        result = folder.read_result()
        if result is not None and plan is None:
            return TrainingResult.from_config(folder.path, result)
        checkpoint, messages = find_checkpoint(folder.checkpoints, folder.path)
        _check_same_run(checkpoint, options, options.plan_sha256 if plan is None else plan_sha256(plan))
        if result is not None:
            return TrainingResult.from_config(folder.path, result)
        spread = open_spread(options.strategy)
        with spread.scope():
            data = _read_same_data(folder, options, spread.replicas)
            model = load_model(checkpoint.model, custom_objects, unsafe_lambda=unsafe_lambda)
            compile_model(model, Compiling(), str(checkpoint.model))
            check_data_fits(model, data)
            if on_checkpoint is not None:
                on_checkpoint(checkpoint.folder)
            folder.cut_metrics(checkpoint.state.step)
            messages = (*messages, *_other_versions(checkpoint))
            state = checkpoint.state
            return run_to_end(model, data, options, folder, state, checkpoint, stop_after_step=stop_after_step, on_progress=on_progress, warnings=messages)


def _options(
    model_path: str | Path,
    model: tf_keras.Model,
    plan: Plan | None,
    data: Data,
    data_spec: str,
    epochs: int,
    own_steps_per_epoch: bool,
    seed: int,
    checkpoint_every: int,
    asked: Compiling,
    tensorboard: str | Path | None,
    strategy: str,
) -> RunOptions:
    return RunOptions(
        model=str(Path(model_path).absolute()),
        model_sha256=model_sha256(Path(model_path)),
        model_name="model.h5" if read_archive(model_path).format == "h5" else "model.keras",
        data=str(Path(data_spec).absolute()) if isinstance(data, ArrayData) else data_spec,
        data_sha256=data.sha256,
        batch_size=data.batch_size if isinstance(data, ArrayData) else None,
        epochs=epochs,
        steps_per_epoch=data.steps_per_epoch,
        own_steps_per_epoch=own_steps_per_epoch,
        seed=seed,
        checkpoint_every=checkpoint_every,
        compiling=asked.to_config(),
        plan_sha256=_wrapped_by(model) if plan is None else plan_sha256(plan),
        rules=() if plan is None else plan.rules,
        schedule_units=_schedule_units(model),
        version=graphprune.__version__,
        tensorboard=None if tensorboard is None else str(tensorboard),
        strategy=strategy,
    )


def _first_state(options: RunOptions) -> RunState:
    return RunState(
        step=0,
        epoch=0,
        batch=0,
        epochs=options.epochs,
        steps_per_epoch=options.steps_per_epoch,
        batch_size=options.batch_size,
        seed=options.seed,
        schedule_units=options.schedule_units,
        plan_sha256=options.plan_sha256,
        rules=options.rules,
        versions=_versions(),
    )


def _checkpoint_steps(every: Position | str, run: Run) -> int:
    """Return the distance between checkpoints in steps.

    Raises:
        TrainingError: it is no position, or shorter than a step.
    """
    try:
        steps = (every if isinstance(every, Position) else parse_position(every)).to_step(run)
    except ValueError as fault:
        raise TrainingError(f"checkpoint every: {fault}") from fault
    if not steps:
        raise TrainingError(f"checkpoint every: must be at least 1 step, got {every}")
    return steps


def _wrapped_by(model: tf_keras.Model) -> str:
    """Return the hash of the plan that the model was wrapped by; empty where there are several, or none is known."""
    plans = {wrapper.provenance.plan_sha256 for wrapper in find_wrappers(model).values()}
    return plans.pop() if len(plans) == 1 else ""


def _schedule_units(model: tf_keras.Model) -> tuple[str, ...]:
    schedules = [wrapper.pruning.schedule for wrapper in find_wrappers(model).values()]
    places = [place for schedule in schedules for place in (schedule.begin, schedule.end, schedule.every) if place is not None]
    return tuple(sorted({place.unit for place in places}))


def _rule_files(rules: tuple[tuple[str, str], ...]) -> dict[str, bytes]:
    """Return the rule files by a name each, as far as they are still there and unchanged."""
    found: dict[str, bytes] = {}
    for path, digest in rules:
        file = find_rule_file(path)
        if file.is_file() and file_sha256(file) == digest:
            found[file.name if file.name not in found else f"{len(found)}-{file.name}"] = file.read_bytes()
    return found


def _read_same_data(folder: RunFolder, options: RunOptions, replicas: int) -> Data:
    own_steps = options.steps_per_epoch if options.own_steps_per_epoch else None
    data = read_data(options.data, batch_size=options.batch_size, seed=options.seed, steps_per_epoch=own_steps, replicas=replicas)
    if data.sha256 != options.data_sha256:
        raise DataError(f"{options.data}: has changed since the run in {folder.path} began; put the old file back, or start a new run")
    if data.steps_per_epoch != options.steps_per_epoch:
        raise DataError(
            f"{options.data}: has {data.steps_per_epoch} steps in an epoch, the run in {folder.path} began with {options.steps_per_epoch}; start a new run"
        )
    return data


def _check_same_run(checkpoint: Checkpoint, options: RunOptions, plan: str) -> None:
    state, folder = checkpoint.state, checkpoint.folder
    if state.plan_sha256 != plan:
        made, this = state.plan_sha256[:4] or "no plan", plan[:4] or "none"
        raise CheckpointError(f"{folder}: made from plan {made}, this plan is {this}; resume without rules, or apply the new rules to a copy first")
    for name in ("epochs", "steps_per_epoch", "batch_size", "seed"):
        if getattr(state, name) != getattr(options, name):
            got, wanted = getattr(state, name), getattr(options, name)
            raise CheckpointError(f"{folder}: made with {name} {got}, run.json says {wanted}; put the old run.json back, or start a new run")


def _versions() -> dict[str, str]:
    return {"graphprune": graphprune.__version__, "tensorflow": tf.__version__, "tf_keras": tf_keras.__version__}


def _other_versions(checkpoint: Checkpoint) -> tuple[str, ...]:
    old = checkpoint.state.versions
    changed = [f"{name} {old.get(name)}, now {version}" for name, version in _versions().items() if old.get(name) != version]
    return (f"{checkpoint.folder}: written with {'; '.join(changed)}; the rest of the run may differ in the last bits",) if changed else ()
