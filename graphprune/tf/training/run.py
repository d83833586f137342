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
from graphprune.engine.reached import check_targets_reached
from graphprune.errors import TrainingError
from graphprune.graph import ModelFile, read_graph
from graphprune.plan import Plan, plan_to_config
from graphprune.plan.from_document import plan_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.runs.resume_point import Tell, cut_metrics, find_finished, find_original, find_start
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import MAX_EPOCHS, Compiling, RunOptions
from graphprune.runs.training_arguments import (
    NONE,
    OnProgress,
    StopRequest,
    check_run_dir,
    check_settings,
)
from graphprune.sparsity.positions import Position, Run
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import check_reads_back
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import check_tensorboard
from graphprune.tf.pruning.pruner import held_layers
from graphprune.tf.training.compiling import compile_model
from graphprune.tf.training.data import Data, read_data
from graphprune.tf.training.evaluation import check_data_fits
from graphprune.tf.training.event_files import Place, cut_events
from graphprune.tf.training.given_data import given_data
from graphprune.tf.training.origin import Load, check_origin, open_origin
from graphprune.tf.training.ready_model import given_rules, make_ready, plan_for
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


Rules = RuleSet | str | Path | Mapping[str, Any] | Sequence[str | Path | Mapping[str, Any]]
"""Rules as users give them."""


def tell_nobody(_text: str) -> None:
    """Do nothing: nobody wants to know."""


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
    """Wrap the model as `rules` say, train it on the data, and leave everything in `run_dir`; the
    user's file or live model is not touched.

    Nothing is written before model, data and settings were found to fit together.

    Args:
        model: The path of a saved model, or what `open_model_file` returned for it; checkpoints
            have the same format, those of a SavedModel are `.keras`. Or a Keras model, with the
            optimizer, loss and metrics that it is compiled with; a copy of it is kept in `run_dir`,
            and its own classes and functions need not be among `custom_objects`.
        rules: What to prune: a rule set, a rule file, `builtin:NAME`, YAML text (with a line break)
            or what a rule file holds as a dict, or a list of these; or a plan, or the path of its
            JSON file. None for a model that is wrapped already.
        data: Arrays as `(x, y)` or `((x, y), (x_val, y_val))`; a `tf.data.Dataset` or a
            `tf_keras.utils.Sequence`, or a pair (training, validation) of them, in an order of
            their own; the path of an `.npz`, or `package.module:function` (see `read_data`).
        run_dir: A new folder, or one with an earlier run and `force`.
        epochs: Passes over the data.
        batch_size: Samples in a batch of arrays, 32 by default.
        optimizer, loss, metrics, learning_rate: Instead of what the model was compiled with.
        reset_optimizer: Start the saved optimizer anew.
        checkpoint_every: Such as `1 epoch` or `50 steps`. The beginning and the end have
            checkpoints as well.
        steps_per_epoch: The length of an epoch, for datasets that never end.
        seed: Seed for the order of the samples of arrays, and for dropout.
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
            f"the number of epochs must be from 1 to {MAX_EPOCHS:,}, got {epochs}", place=run_dir
        )
    if tensorboard is not None:
        check_tensorboard()
    asked = Compiling(optimizer, loss, metrics, learning_rate, reset_optimizer)
    spread = open_spread(strategy)
    on_stage(LOADING)
    with (
        open_origin(
            model, custom_objects, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops
        ) as origin,
        spread.scope(),
    ):
        trained = origin.load_first()
        on_stage(READING)
        samples = read_data(
            given,
            batch_size=batch_size,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            replicas=spread.replicas,
        )
        graph = read_graph(origin.file).to_config()
        first_batch = first_batch_sha256(samples)
        on_stage(CHECKING)
        length = Run(samples.steps_per_epoch, epochs)
        plan = plan_for(origin, trained, asked_rules, length, allow_missed=allow_missed)
        trained = make_ready(trained, plan, asked, samples, origin.place)
        if not allow_missed:
            check_targets_reached(held_layers(find_wrappers(trained)), length, plan)
        every = checkpoint_steps(checkpoint_every, length)
        options = run_options(
            origin,
            trained,
            plan,
            samples,
            given,
            epochs,
            steps_per_epoch is not None,
            seed,
            every,
            asked,
            tensorboard,
            spread.name,
            first_batch,
        )
        check_reads_back(trained, Path(options.model_name).suffix, origin.place, origin.load)
        plan_config = None if plan is None else plan_to_config(plan)
        on_stage(TRACING)
        with folder.created(
            options,
            plan=plan_config,
            graph=graph,
            rule_files=rule_files(options.rules),
            found=found,
            force=force,
            original=origin.file if origin.is_live else None,
        ):
            origin.discard()
            return run_to_end(
                trained,
                samples,
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
    """Go on with the run in `run_dir` from its newest whole checkpoint, to the same end as if it
    had never stopped.

    Without any checkpoint it starts from the beginning. A finished run is left as it is; what was
    deleted of it is written again.

    Args:
        run_dir: What `train` made.
        plan: Refused unless it is the plan that the run was made from; None trusts the run.
        data: The same data again, where it was given to `train` as Python objects. Arrays must be
            equal; datasets and a Sequence must come in the same order as from the start.
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
        DataError: the data is gone, is not what the run began with, or must be given again.
        TypeError: `run_dir` is not a path, `plan` not a plan, or `data` of no kind that can be
            trained on.

    Example:
        A run on arrays, which must be the same ones:

            result = graphprune.resume("runs/a", data=((x, y), (x_val, y_val)))
    """
    folder = RunFolder(Path(check_run_dir(run_dir)))
    given = None if data is None else given_data(data)
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
            samples = read_same_data(folder, options, spread.replicas, tell, given)
            on_stage(LOADING)
            if checkpoint is None:
                model = _load_first(folder, options, samples, load)
                state = first_state(options)
            else:
                model = load(checkpoint.model)
                compile_model(model, Compiling(), str(checkpoint.model))
                check_data_fits(model, samples)
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
                samples,
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
    original = find_original(folder.path, options)
    model = make_ready(load(original), plan, options.compiling, data, str(original))
    if options.tensorboard is not None:
        since = folder.began if Path(options.tensorboard).is_absolute() else 0.0
        cut_events(
            folder.path / options.tensorboard,
            Place(0, int(model.optimizer.iterations.numpy()), 0),
            since,
        )
    return model
