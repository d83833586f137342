"""Training runs: `train` starts one, `resume` continues it exactly.

A wrapped model is trained along its schedules, with checkpoints.

A resumed run equals an uninterrupted one, bit for bit: weights, masks, optimizer, metrics.
This holds on the same machine with the same versions, and for data in the same order (always so
for an `.npz`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

import graphprune
from graphprune.engine.callbacks import check_tensorboard
from graphprune.engine.resuming import Warnings, find_result, find_resumption, read_same_data
from graphprune.engine.run_record import first_state, new_options, rule_files
from graphprune.engine.train_request import (
    CHECKING,
    LOADING,
    READING,
    TRACING,
    Rules,
    TrainRequest,
    given_rules,
    tell_nobody,
)
from graphprune.engine.training_result import TrainingResult
from graphprune.graph import ModelFile, read_graph
from graphprune.plan import Plan, plan_to_config
from graphprune.plan.from_document import plan_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.runs.resume_point import Tell, cut_metrics
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import Compiling, RunOptions
from graphprune.runs.training_arguments import NONE, OnProgress, StopRequest, check_run_dir
from graphprune.sparsity.positions import Position
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import check_reads_back
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.pruner import held_layers
from graphprune.tf.training.data import Data, read_data
from graphprune.tf.training.given_data import GivenData, given_data
from graphprune.tf.training.origin import Origin, check_origin, open_origin
from graphprune.tf.training.ready_model import load_to_go_on, wrap_for_run
from graphprune.tf.training.strategies import Spread, open_spread
from graphprune.tf.training.training_loop import Task, run_to_end


def train(
    model: str | Path | ModelFile | tf_keras.Model,
    rules: Plan | Rules | None,
    data: Any,
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
    """Wrap the model as `rules` say, train it on the data, and leave everything in `run_dir`.

    The user's file or live model is not touched. Nothing is written before model, data and settings
    are checked against each other.

    Args:
        model: The path of a saved model, or what `open_model_file` returned for it; checkpoints
            have the same format, or `.keras` for a SavedModel. Or a Keras model, with the
            optimizer, loss and metrics that it is compiled with; a copy of it is kept in `run_dir`,
            and its own classes and functions need not be among `custom_objects`.
        rules: What to prune: a rule set, a rule file, `builtin:NAME`, YAML text (with a line break)
            or the contents of a rule file as a dict, or a list of these; or a plan, or the path of
            its JSON file. None for a model that is wrapped already.
        data: Arrays as `(x, y)` or `((x, y), (x_val, y_val))`; a `tf.data.Dataset` or a
            `tf_keras.utils.Sequence`, or a pair (training, validation) of them, in an order of
            their own; the path of an `.npz`, or `package.module:function` (see `read_data`).
        run_dir: A new folder, or one with an earlier run and `force`.
        epochs: Passes over the data.
        batch_size: Samples in a batch of arrays, 32 by default.
        optimizer, loss, metrics, learning_rate: Replace the model's compile settings.
        reset_optimizer: Reset the optimizer state.
        checkpoint_every: Such as `1 epoch` or `50 steps`. Checkpoints are also written at the
            beginning and the end.
        steps_per_epoch: The length of an epoch, for datasets that never end.
        seed: Seed for the order of the samples of arrays, and for dropout.
        custom_objects: Classes and functions by name, to load the model with.
        unsafe_lambda, unsafe_ops: As for `load_model`.
        force: Replace an earlier run in `run_dir`.
        tensorboard: Write TensorBoard events into this folder, here and when the run is resumed; a
            relative one is in `run_dir`.
        strategy: `none`; `mirrored` for all GPUs, `mirrored:N` for N of them (without a GPU, N
            logical CPU devices). They share each batch: `batch_size` is that of all together.
        stop_after_step: Stop right after this step, as if the process had been killed.
        allow_missed: Train, with a warning, if the run is too short for a schedule to reach its
            target.
        on_progress: Called after each step and each epoch.
        on_stage: Called at the start of each stage before the first step, such as `loading the
            model`.
        stop: Lets another thread stop the run at its next step, with a checkpoint.

    Raises:
        GraphpruneError: a file, a setting or the data cannot be used; the text says which, and what
            to do.
        TypeError: an argument has another type.

    Example:
        A compiled model, arrays and a rule, for ten epochs; `load_model(result.model)` is the
        trained model, `graphprune strip runs/a -o sparse.keras` writes it without wrappers.

            result = graphprune.train(
                model, "builtin:dense-90", ((x, y), (x_val, y_val)), "runs/a", epochs=10
            )
    """
    check_origin(model)
    given, run_dir = given_data(data), check_run_dir(run_dir)
    asked_rules = given_rules(rules)
    request = TrainRequest(
        epochs=epochs,
        compiling=Compiling(optimizer, loss, metrics, learning_rate, reset_optimizer),  # type: ignore[arg-type]  # `checked` makes a tuple of the metrics
        batch_size=batch_size,
        checkpoint_every=checkpoint_every,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        force=force,
        tensorboard=tensorboard,
        strategy=strategy,
        stop_after_step=stop_after_step,
        allow_missed=allow_missed,
        on_progress=on_progress,
        on_stage=on_stage,
        stop=stop,
    ).checked(custom_objects)
    folder = RunFolder(Path(run_dir))
    found = folder.check_free(force=force)
    request.check_epochs(run_dir)
    if tensorboard is not None:
        check_tensorboard()
    spread = open_spread(strategy)
    on_stage(LOADING)
    with (
        open_origin(
            model, custom_objects, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops
        ) as origin,
        spread.scope(),
    ):
        return _train_new(request, origin, asked_rules, given, spread, folder, found)


def _train_new(
    request: TrainRequest,
    origin: Origin,
    rules: Plan | RuleSet | None,
    given: str | GivenData,
    spread: Spread,
    folder: RunFolder,
    found: str,
) -> TrainingResult:
    """Train the model of `origin` in a new run; `found` is what `folder.check_free` returned."""
    loaded = origin.load_first()
    request.on_stage(READING)
    samples = read_data(
        given,
        batch_size=request.batch_size,
        seed=request.seed,
        steps_per_epoch=request.steps_per_epoch,
        replicas=spread.replicas,
    )
    graph = read_graph(origin.file).to_config()
    first_batch = samples.first_batch_sha256()
    request.on_stage(CHECKING)
    model, plan = wrap_for_run(request, origin, loaded, rules, samples)
    layers = held_layers(find_wrappers(model))
    options = new_options(
        request,
        origin.file,
        origin.recorded,
        samples,
        given,
        layers,
        plan,
        spread.name,
        first_batch,
    )
    check_reads_back(model, Path(options.model_name).suffix, origin.place, origin.load)
    request.on_stage(TRACING)
    with folder.created(
        options,
        plan=None if plan is None else plan_to_config(plan),
        graph=graph,
        rule_files=rule_files(options.rules),
        found=found,
        force=request.force,
        original=origin.file if origin.is_live else None,
    ):
        origin.discard()
        return run_to_end(
            Task(
                model,
                samples,
                options,
                folder,
                first_state(options, versions()),
                None,
                request.stop_after_step,
                request.on_progress,
                request.stop or StopRequest(),
            )
        )


def resume(
    run_dir: str | Path,
    *,
    plan: Plan | str | Path | None = None,
    data: Any = None,
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
    """Resume the run in `run_dir` from its newest intact checkpoint and train it to its end.

    Without a checkpoint it starts from the beginning. A finished run is left as it is, except that
    deleted files are written again.

    Args:
        run_dir: What `train` made.
        plan: Must be the plan that the run was made from; None trusts the run.
        data: The same data again, if it was given to `train` as Python objects. Arrays must be
            equal; datasets and a Sequence must come in the same order as from the start.
        custom_objects, unsafe_lambda, unsafe_ops, stop_after_step, on_progress, on_stage, stop: As
            for `train`.
        trust_run: Call the data function that a run names, and write events to the folder it names,
            even if this user did not make the run on this machine.
        on_checkpoint: Called before training resumes, with the checkpoint's folder, or with None
            for a start from the beginning.
        on_warning: Called immediately with each of the result's warnings.

    Raises:
        CheckpointError: the folder is not a run, no checkpoint is intact, another plan was given,
            or the run is not trusted.
        DataError: the data is missing, has changed, or must be given again.
        TypeError: `run_dir` is not a path, `plan` is not a plan, or `data` is of no supported kind.

    Example:
        A run on arrays, which must be the same ones:

            result = graphprune.resume("runs/a", data=((x, y), (x_val, y_val)))
    """
    folder = RunFolder(Path(check_run_dir(run_dir)))
    given = None if data is None else given_data(data)
    plan = None if plan is None else plan_of(plan)
    finished = find_result(folder) if plan is None else None
    if finished is not None:
        return finished
    warnings = Warnings(on_warning)
    load = partial(
        load_model,
        custom_objects=custom_objects,
        unsafe_lambda=unsafe_lambda,
        unsafe_ops=unsafe_ops,
    )
    with folder.locked():
        found = find_resumption(folder, plan, trust_run=trust_run, tell=warnings.tell)
        if isinstance(found, TrainingResult):
            return found
        spread = open_spread(found.options.strategy)
        with spread.scope():
            on_stage(READING)
            samples = _read_data_again(folder, found.options, given, spread, warnings.tell)
            on_stage(LOADING)
            model = load_to_go_on(folder, found, samples, load)
            state = found.state(versions(), warnings.tell)
            cut_metrics(folder, state, warnings.tell)
            if on_checkpoint is not None:
                on_checkpoint(None if found.checkpoint is None else found.checkpoint.folder)
            on_stage(TRACING)
            return run_to_end(
                Task(
                    model,
                    samples,
                    found.options,
                    folder,
                    state,
                    found.checkpoint,
                    stop_after_step,
                    on_progress,
                    stop or StopRequest(),
                    warnings.told,
                )
            )


def _read_data_again(
    folder: RunFolder,
    options: RunOptions,
    given: str | GivenData | None,
    spread: Spread,
    tell: Tell,
) -> Data:
    """Return the data that the run began with.

    Raises:
        DataError: it is missing or has changed.
    """
    read = partial(
        read_data,
        batch_size=options.batch_size,
        seed=options.seed,
        steps_per_epoch=options.steps_per_epoch if options.own_steps_per_epoch else None,
        replicas=spread.replicas,
    )
    return read_same_data(folder, options, given, tell, read)


def versions() -> dict[str, str]:
    """Return the versions of the packages that a run depends on, by the package's name."""
    return {
        "graphprune": graphprune.__version__,
        "tensorflow": tf.__version__,
        "tf_keras": tf_keras.__version__,
    }
