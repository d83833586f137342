"""The Python functions that train a model to its planned sparsity: `train` and `resume`.

The Keras of the model, tf_keras or Keras 3, decides which implementation is imported; the other one
is not imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

from graphprune.archive import read_archive
from graphprune.archive.archive import keras_of
from graphprune.dispatch import is_keras_3, seam_of
from graphprune.engine.callbacks import check_tensorboard
from graphprune.engine.early_checks import check_before_import
from graphprune.engine.file_data import file_data
from graphprune.engine.live_compiling import LiveCompiling
from graphprune.engine.origin import check_origin
from graphprune.engine.resuming import find_result
from graphprune.engine.resuming_together import cluster_settings, find_run_cluster
from graphprune.engine.train_request import (
    Rules,
    TrainRequest,
    given_rules,
    named_rules,
    plain_setting,
    tell_nobody,
    text_keys,
)
from graphprune.engine.training import NewRun, ResumeRequest, begin_run, go_on
from graphprune.engine.training_result import TrainingResult
from graphprune.engine.training_seam import Loading, TrainingSeam
from graphprune.errors import ArchiveError, CheckpointError
from graphprune.graph import ModelFile
from graphprune.plan import Plan
from graphprune.plan.from_document import plan_of
from graphprune.runs.cluster import WAIT, find_cluster
from graphprune.runs.followed_folder import open_folder
from graphprune.runs.resume_point import Tell
from graphprune.runs.run_file import check_arguments
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import KEPT, Compiling, Fitting
from graphprune.runs.training_arguments import (
    NONE,
    OnProgress,
    StopRequest,
    check_callbacks,
    check_run_dir,
)
from graphprune.sparsity.positions import Position


def training_seam(keras: int) -> TrainingSeam:
    """Return what tf_keras (2) or Keras 3 does for training runs.

    Raises:
        GraphError: this Keras, or its backend, is not installed.
    """
    return cast(TrainingSeam, seam_of(keras, "training"))


def keras_for(model: Any) -> int:
    """Return which Keras trains a model: 2 for tf_keras, or 3.

    Files that cannot be read, and objects that are no models, are left to tf_keras, which refuses
    them.
    """
    if isinstance(model, ModelFile):
        return keras_of(model.need_archive())
    if not isinstance(model, str | PathLike):
        return 3 if is_keras_3(model) else 2
    try:
        return keras_of(read_archive(model))
    except ArchiveError:
        return 2


def train(
    model: Any,
    rules: Plan | Rules | None,
    data: Any,
    run_dir: str | Path,
    *,
    epochs: int,
    label: str | Sequence[str] | None = None,
    parse: str | None = None,
    validation_data: str | Path | None = None,
    batch_size: int | None = None,
    validation_split: float | None = None,
    optimizer: Any = None,
    loss: Any = None,
    metrics: Any = None,
    learning_rate: float | Mapping[str, Any] | None = None,
    reset_optimizer: bool = False,
    class_weight: Mapping[int, float] | None = None,
    gradient_accumulation: int = 1,
    callbacks: Sequence[Any] = (),
    early_stopping: str | Mapping[str, Any] | None = None,
    checkpoint_every: Position | str = "1 epoch",
    keep: int = KEPT,
    keep_best: str | None = None,
    steps_per_epoch: int | None = None,
    seed: int = 0,
    custom_objects: Mapping[str, Any] | None = None,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
    force: bool = False,
    tensorboard: str | Path | None = None,
    strategy: str = NONE,
    workers: Sequence[str] | None = None,
    rank: int | None = None,
    wait: int = WAIT,
    mixed_precision: str | None = None,
    jit_compile: bool | Literal["auto"] | None = None,
    steps_per_execution: int = 1,
    stop_after_step: int | None = None,
    allow_missed: bool = False,
    dry_run: bool = False,
    evaluate: bool = False,
    on_progress: OnProgress | None = None,
    on_stage: Tell = tell_nobody,
    stop: StopRequest | None = None,
    run_file: Mapping[str, Any] | None = None,
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
            Or the path of a `.csv`, of a folder of images, or of TFRecord files (also a pattern of
            paths).
        run_dir: A new folder, or one with an earlier run and `force`.
        epochs: Passes over the data.
        label: The column of a `.csv` that has the labels, or one for each output.
        parse: The function for one record of TFRecord files, `package.module:function`: it takes
            the bytes as a tensor and returns (x, y) or (x, y, weight).
        validation_data: Validation samples of the same kind, for a `.csv`, images or TFRecords.
        batch_size: Samples in a batch of arrays and files, 32 by default.
        validation_split: The share of the samples of arrays, the last ones, to validate with.
        optimizer: In place of the model's: a name, `{"name": "AdamW", "weight_decay": 1e-4}`, or an
            optimizer, of which the run uses a copy without state.
        loss: In place of the model's: a name, `module:function`, a loss or function, or a dict of
            these by output.
        metrics: The same, a list, or a dict of lists by output.
        learning_rate: A number, or a curve such as `{"curve": "cosine", "from": 1e-3, "to": 1e-5,
            "warm_up": "5%"}`; a curve begins with the run, so the optimizer state is reset.
        reset_optimizer: Reset the optimizer state.
        class_weight: The weight of each class in the loss.
        gradient_accumulation: Batches whose gradients make one update. Steps of schedules are
            updates; an epoch must have a multiple of it.
        callbacks: Callbacks, or `module:function` for functions that return them. One with
            `get_state` and `set_state` keeps its state in checkpoints.
        early_stopping: `METRIC[:patience]`, or a dict with `metric`, `patience` and `mode`. It is
            watched from the end of the schedules on, never before.
        checkpoint_every: Such as `1 epoch` or `50 steps`. Checkpoints are also written at the
            beginning and the end.
        keep: How many of the newest checkpoints are kept.
        keep_best: Keep the checkpoint of the best epoch by this metric as well, such as
            `val_accuracy`, or `METRIC:min` or `METRIC:max` where the name does not say what is
            better; its model is written as `best.keras` in the end. Epochs in which every pruned
            tensor has its target sparsity are better than all others.
        steps_per_epoch: The length of an epoch, for datasets that never end.
        seed: Seed for the order of the samples of arrays, and for dropout.
        custom_objects: Classes and functions by name, to load the model with.
        unsafe_lambda, unsafe_ops: As for `load_model`.
        force: Replace an earlier run in `run_dir`.
        tensorboard: Write TensorBoard events into this folder, here and when the run is resumed; a
            relative one is in `run_dir`.
        strategy: `none`; `mirrored` for all GPUs, `mirrored:N` for N of them (without a GPU, N
            logical CPU devices); `multiworker` for several machines, which call `train` before they
            use TensorFlow. They share each batch: `batch_size` is that of all together.
        workers: The addresses `HOST:PORT` of all; the first one alone writes `run_dir`. Without it,
            `TF_CONFIG` names them.
        rank: The place of this process among them.
        wait: Seconds to wait for the others.
        mixed_precision: `mixed_float16` or `mixed_bfloat16`: compute in 16 bits, with float32
            weights, and with loss scaling for float16. The layers of the outputs and preprocessing
            layers stay in float32. Checkpoints have this policy; stripping takes it back.
        jit_compile: Compile steps with XLA, or do not; `auto` lets Keras decide.
        steps_per_execution: Steps in one call of the compiled function. Masks change, and
            checkpoints are written, between two calls. An epoch must have a multiple of it.
        stop_after_step: Stop right after this step, as if the process had been killed.
        dry_run: Check everything, train on one batch, and write nothing.
        evaluate: Only measure the model on the validation data, and write nothing.
        allow_missed: Train, with a warning, if the run is too short for a schedule to reach its
            target.
        on_progress: Called after each step and each epoch.
        on_stage: Called at the start of each stage before the first step, such as `loading the
            model`.
        stop: Lets another thread stop the run at its next step, with a checkpoint.
        run_file: Further keys of the run file that is written into `run_dir`, by their path, such
            as the `vars` that a plan was made with.

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
    check_callbacks(callbacks)
    live = LiveCompiling.among(optimizer, loss, metrics)
    compiling = Compiling(
        optimizer=optimizer if live.optimizer is None else None,
        loss=loss if live.loss is None else None,
        metrics=metrics if live.metrics is None else None,
        learning_rate=learning_rate,
        reset_optimizer=reset_optimizer,
        jit_compile=jit_compile,
        steps_per_execution=steps_per_execution,
        gradient_accumulation=gradient_accumulation,
        mixed_precision=mixed_precision,
    )
    check_arguments(
        {
            "train.optimizer": plain_setting(compiling.optimizer),
            "train.loss": plain_setting(compiling.loss),
            "train.metrics": compiling.metrics if isinstance(metrics, Mapping) else None,
            "train.learning_rate": plain_setting(learning_rate),
            "train.stop.early": early_stopping,
            "train.class_weight": text_keys(class_weight),
            "train.validation_split": validation_split,
            "train.gradient_accumulation": gradient_accumulation,
            "on.steps_per_execution": steps_per_execution,
            "on.jit_compile": jit_compile,
            **cluster_settings(workers, wait),
            "on.precision": mixed_precision,
        }
    )
    objects = tuple(one for one in callbacks if not isinstance(one, str))
    fitting = Fitting(
        callbacks=tuple(one for one in callbacks if isinstance(one, str)),
        live_callbacks=len(objects),
        early_stopping=early_stopping,
        class_weight=text_keys(class_weight),
        validation_split=validation_split,
    )
    early = {
        **asdict(compiling),
        **asdict(fitting),
        "label": label,
        "parse": parse,
        "validation_data": validation_data,
        "keep_best": keep_best,
        "evaluate": evaluate,
    }
    keras = keras_for(model)
    if live.is_empty:
        check_before_import(model, data, keras, early)
    seam = training_seam(keras)
    live.check(seam.live_kinds)
    check_origin(model, seam)
    given, run_dir = seam.given_data(data), check_run_dir(run_dir)
    files = file_data(given, label, parse, validation_data)
    asked_rules = given_rules(rules)
    request = TrainRequest(
        epochs=epochs,
        compiling=compiling,
        batch_size=batch_size,
        checkpoint_every=checkpoint_every,
        keep=keep,
        keep_best=keep_best,
        steps_per_epoch=steps_per_epoch,
        seed=seed,
        force=force,
        tensorboard=tensorboard,
        strategy=strategy,
        workers=None if workers is None else tuple(workers),
        wait=wait,
        stop_after_step=stop_after_step,
        allow_missed=allow_missed,
        on_progress=on_progress,
        on_stage=on_stage,
        stop=stop,
        fitting=fitting,
        callbacks=objects,
        dry_run=dry_run,
        evaluate=evaluate,
        given=(*live.given, *(("callbacks",) if objects else ())),
        run_file={**named_rules(rules), **(run_file or {})},
    ).checked(custom_objects)
    cluster = find_cluster(strategy, workers, rank, os.environ, wait)
    folder = open_folder(Path(run_dir), cluster)
    found = "" if evaluate else folder.check_free(force=force)
    request.check_numbers(run_dir)
    if tensorboard is not None:
        check_tensorboard()
    loading = Loading(custom_objects, unsafe_lambda, unsafe_ops)
    parts = folder, found, loading, live, cluster
    return begin_run(seam, NewRun(request, model, asked_rules, files or given, *parts))


def resume(
    run_dir: str | Path,
    *,
    plan: Plan | str | Path | None = None,
    data: Any = None,
    workers: Sequence[str] | None = None,
    rank: int | None = None,
    wait: int = WAIT,
    callbacks: Sequence[Any] = (),
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
        workers, rank, wait: As for `train`, for a run on several workers.
        callbacks: Callbacks like those that were given to `train` as objects, in the same order.
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
    run_dir = check_run_dir(run_dir)
    cluster = find_run_cluster(RunFolder(Path(run_dir)), workers, rank, wait)
    folder = open_folder(Path(run_dir), cluster)
    if data is not None:
        training_seam(keras_of_run(run_dir)).given_data(data)
    plan = None if plan is None else plan_of(plan)
    finished = find_result(folder) if plan is None else None
    if finished is not None:
        return finished
    request = ResumeRequest(
        data=data,
        callbacks=tuple(callbacks),
        trust_run=trust_run,
        stop_after_step=stop_after_step,
        on_checkpoint=on_checkpoint,
        on_progress=on_progress,
        on_stage=on_stage,
        on_warning=on_warning,
        stop=stop,
        cluster=cluster,
    )
    loading = Loading(custom_objects, unsafe_lambda, unsafe_ops)
    return go_on(lambda options: training_seam(options.keras), folder, plan, request, loading)


def keras_of_run(run_dir: str | Path) -> int:
    """Return which Keras trains the run in a folder: 2 for tf_keras, or 3.

    A folder without a run is left to tf_keras; `resume` refuses it.
    """
    try:
        return RunFolder(Path(run_dir)).read_options().keras
    except CheckpointError:
        return 2
