"""Training runs, whichever Keras trains the model: a new one, and one that goes on.

A resumed run equals an uninterrupted one, bit for bit: weights, masks, optimizer, metrics.
This holds on the same machine with the same versions, and for data in the same order (always so
for an `.npz`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from graphprune.engine.array_data import split_off, warn_left_out
from graphprune.engine.file_data import FileData
from graphprune.engine.given_data import GivenData
from graphprune.engine.live_compiling import LiveCompiling
from graphprune.engine.origin import Origin, open_origin
from graphprune.engine.own_callbacks import make_callbacks
from graphprune.engine.own_code import OwnCode
from graphprune.engine.ready_model import FIRST, load_to_go_on, lowered, wrap_for_run
from graphprune.engine.resuming import Resumption, Warnings, find_resumption, read_same_data
from graphprune.engine.resuming_together import check_cluster, find_together
from graphprune.engine.run_record import (
    Beginning,
    RunData,
    facts_of,
    first_state,
    new_options,
    rule_copies,
    run_file_text,
)
from graphprune.engine.train_request import (
    CHECKING,
    LOADING,
    MEASURING,
    READING,
    TRACING,
    WAITING,
    TrainRequest,
    tell_nobody,
)
from graphprune.engine.training_loop import Task, run_to_end, try_one_batch
from graphprune.engine.training_result import TrainingResult
from graphprune.engine.training_seam import Loading, Spread, TrainingSeam
from graphprune.engine.workers import check_same_run, is_chief
from graphprune.errors import CheckpointError, DataError
from graphprune.graph import read_graph
from graphprune.graph.precision import check_takes_policy
from graphprune.plan import Plan, plan_to_config
from graphprune.rules.values.rule_set import RuleSet
from graphprune.runs.cluster import Cluster
from graphprune.runs.resume_point import Tell, cut_metrics
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions, run_of
from graphprune.runs.training_arguments import MULTIWORKER, OnProgress, StopRequest


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is to begin.

    Attributes:
        live: Optimizer, loss and metrics that were given as objects.
        request: Its settings.
        model: The path of a saved model, or a live one.
        rules: The rules or the plan; None for a model that is pruned already.
        given: The data as the user gave it.
        folder: Where the run will be.
        found: What `folder.check_free` returned.
        loading: How its models are loaded.
        cluster: The workers that train it together; None for one process.
    """

    request: TrainRequest
    model: Any
    rules: Plan | RuleSet | None
    given: str | GivenData | FileData
    folder: RunFolder
    found: str
    loading: Loading
    live: LiveCompiling
    cluster: Cluster | None = None


def begin_run(seam: TrainingSeam, new: NewRun) -> TrainingResult:
    """Prune the model, train it on the data, and leave everything in the run's folder.

    Nothing is written before model, data and settings are checked against each other.

    Raises:
        GraphpruneError: a file, a setting or the data cannot be used.
    """
    if new.cluster is not None:
        new.request.on_stage(WAITING)
    spread = seam.open_spread(new.request.strategy, new.cluster)
    new.request.on_stage(LOADING)
    loading = new.loading.with_named(new.request.compiling, seam)
    opened = _opened(seam, new.model, loading, new.live, new.request)
    with spread.scope(new.folder.path), opened as origin:
        loaded = origin.load_first()
        if isinstance(new.given, FileData):
            new = replace(new, given=new.given.of_model(read_graph(origin.file)))
        new.request.on_stage(READING)
        data = seam.read_data(
            new.given,
            batch_size=new.request.batch_size,
            seed=new.request.seed,
            steps_per_epoch=new.request.steps_per_epoch,
            replicas=spread.replicas,
            share=spread.share,
        )
        data = split_off(data, new.request.fitting.validation_split)
        if is_chief(spread.workers):
            warn_left_out(data)
        return _train_loaded(seam, new, origin, loaded, data, spread)


@contextmanager
def _opened(
    seam: TrainingSeam, model: Any, loading: Loading, live: LiveCompiling, request: TrainRequest
) -> Iterator[Origin]:
    """Yield the model as a saved one, compiled with the objects that were given in Python."""
    with open_origin(model, loading, seam) as origin:
        if live.is_empty:
            yield origin
            return
        compiled = origin.load_first()
        seam.compile_live(compiled, live, request.compiling, origin.place)
        loading = replace(loading, custom_objects=origin.custom_objects)
        with open_origin(compiled, loading, seam) as other:
            yield other


def _train_loaded(
    seam: TrainingSeam, new: NewRun, origin: Origin, loaded: Any, data: RunData, spread: Spread
) -> TrainingResult:
    request = new.request
    if request.evaluate:
        return _evaluate(seam, new, origin, loaded, data)
    graph = read_graph(origin.file)
    if request.compiling.mixed_precision is not None:
        check_takes_policy(graph, request.compiling.mixed_precision, origin.place)
    first_batch = data.first_batch_sha256()
    request.on_stage(CHECKING)
    model, plan = wrap_for_run(seam, request, origin, loaded, new.rules, data)
    refused = seam.rate_callbacks if seam.follows_schedule(model) else ()
    callbacks = make_callbacks(
        request.fitting.callbacks, request.callbacks, seam.callback, refused=refused
    )
    request.on_stage(MEASURING)
    own = OwnCode.of(request.compiling, data=data.spec)
    with own.failures_named(f"while {MEASURING}"):
        measured = seam.evaluate(model, data)
    model = lowered(seam, model, request.compiling, data, origin.place)
    begin = Beginning(
        file=origin.file,
        recorded=origin.recorded,
        data=data,
        given=new.given,
        first_batch=first_batch,
        layers=seam.pruned_layers(model),
        plan=plan,
        strategy=spread.name,
        keras=seam.keras,
        backend=seam.backend,
        original_metrics=measured,
    )
    options = new_options(request, begin)
    check_same_run(spread.workers, facts_of(options))
    seam.check_reads_back(model, Path(options.model_name).suffix, origin.place, origin.load)
    request.on_stage(TRACING)
    state = first_state(options, seam.versions())
    copies = rule_copies(options.rules)
    if request.dry_run:
        tried = Task(model, data, options, new.folder, state, request=request)
        try_one_batch(seam, tried)
        return TrainingResult.of_model(new.folder.path, "checked", measured, steps=options.steps)
    with new.folder.created(
        options,
        plan=None if plan is None else plan_to_config(plan),
        graph=graph.to_config(),
        rule_files={name: content for name, (_, content) in copies.items()},
        run_file=run_file_text(request, options, copies, has_plan=plan is not None),
        found=new.found,
        force=request.force,
        original=origin.file if origin.is_live else None,
    ):
        origin.discard()
        task = Task(
            model,
            data,
            options,
            new.folder,
            state,
            request=request,
            callbacks=callbacks,
            workers=spread.workers,
        )
        return run_to_end(seam, task)


def _evaluate(
    seam: TrainingSeam, new: NewRun, origin: Origin, loaded: Any, data: RunData
) -> TrainingResult:
    """Measure the model on the validation data."""
    length = run_of(data.steps_per_epoch, new.request.epochs, new.request.compiling)
    seam.compile_model(loaded, new.request.compiling, origin.place, length)
    own = OwnCode.of(new.request.compiling, data=data.spec)
    with own.failures_named(FIRST):
        seam.check_data_fits(loaded, data)
    if data.test is None:
        raise DataError("has no test set to measure the model on", place=data.spec)
    new.request.on_stage(MEASURING)
    with own.failures_named(f"while {MEASURING}"):
        measured = seam.evaluate(loaded, data)
    return TrainingResult.of_model(new.folder.path, "evaluated", measured)


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """How to go on with a run; the attributes are those of `graphprune.resume`."""

    data: Any = None
    callbacks: tuple[Any, ...] = ()
    trust_run: bool = False
    stop_after_step: int | None = None
    on_checkpoint: Callable[[Path | None], None] | None = None
    on_progress: OnProgress | None = None
    on_stage: Tell = tell_nobody
    on_warning: Tell | None = None
    stop: StopRequest | None = None
    cluster: Cluster | None = None


def go_on(
    seam_for: Callable[[RunOptions], TrainingSeam],
    folder: RunFolder,
    plan: Plan | None,
    request: ResumeRequest,
    loading: Loading,
) -> TrainingResult:
    """Train the run in `folder` to its end from its newest intact checkpoint.

    Args:
        seam_for: Returns the Keras that trained a run.
        folder: The run.
        plan: Must be the plan that the run was made from, if given.
        request: How to go on.
        loading: How its models are loaded.

    Raises:
        CheckpointError: no checkpoint is intact, another plan was given, the run is not trusted, or
            another backend trained it.
        DataError: the data is missing, has changed, or must be given again.
    """
    warnings = Warnings(request.on_warning)
    find = partial(find_resumption, folder, plan, trust_run=request.trust_run, tell=warnings.tell)
    if request.cluster is not None:
        return _go_on_together(seam_for, folder, find, request, loading, warnings)
    with folder.locked():
        found = find()
        if isinstance(found, TrainingResult):
            return found
        seam = seam_for(found.options)
        check_backend(folder, found.options, seam)
        check_cluster(folder, found.options, None)
        spread = seam.open_spread(found.options.strategy)
        with spread.scope(folder.path):
            task = _load_task(seam, folder, found, spread, request, loading, warnings)
            request.on_stage(TRACING)
            return run_to_end(seam, task)


def _go_on_together(
    seam_for: Callable[[RunOptions], TrainingSeam],
    folder: RunFolder,
    find: Callable[[], TrainingResult | Resumption],
    request: ResumeRequest,
    loading: Loading,
    warnings: Warnings,
) -> TrainingResult:
    """Train a run to its end with the other workers, from the checkpoint that the chief finds."""
    options = folder.read_options()
    seam = seam_for(options)
    check_backend(folder, options, seam)
    check_cluster(folder, options, request.cluster)
    request.on_stage(WAITING)
    spread = seam.open_spread(MULTIWORKER, request.cluster)
    with spread.scope(folder.path), folder.locked():
        found = find_together(folder, spread.workers, find)
        if isinstance(found, TrainingResult):
            return found
        task = _load_task(seam, folder, found, spread, request, loading, warnings)
        request.on_stage(TRACING)
        return run_to_end(seam, task)


def _load_task(
    seam: TrainingSeam,
    folder: RunFolder,
    found: Resumption,
    spread: Spread,
    request: ResumeRequest,
    loading: Loading,
    warnings: Warnings,
) -> Task:
    """Return what is left of a run, with its data and the model of its checkpoint."""
    request.on_stage(READING)
    options = found.options
    read_whole = partial(
        seam.read_data,
        batch_size=options.batch_size,
        seed=options.seed,
        steps_per_epoch=options.steps_per_epoch if options.own_steps_per_epoch else None,
        replicas=spread.replicas,
        share=spread.share,
    )

    def read(given: Any) -> RunData:
        whole: RunData = split_off(read_whole(given), options.fitting.validation_split)
        return whole

    given = None if request.data is None else seam.given_data(request.data)
    callbacks = _same_callbacks(seam, folder, options, request)
    data = read_same_data(folder, options, given, warnings.tell, read)
    request.on_stage(LOADING)
    load = loading.with_named(options.compiling, seam).by(seam)
    model = load_to_go_on(seam, folder, found, data, load)
    state = found.state(seam.versions(), warnings.tell)
    cut_metrics(folder, state, warnings.tell)
    if request.on_checkpoint is not None:
        request.on_checkpoint(None if found.checkpoint is None else found.checkpoint.folder)
    return Task(
        model,
        data,
        options,
        folder,
        state,
        found.checkpoint,
        request=request,
        warnings=warnings.told,
        callbacks=callbacks,
        workers=spread.workers,
    )


def _same_callbacks(
    seam: TrainingSeam, folder: RunFolder, options: RunOptions, request: ResumeRequest
) -> tuple[Any, ...]:
    """Return the callbacks of the run, made again by functions or given again.

    Raises:
        CheckpointError: another number of them was given in Python.
    """
    wanted, got = options.fitting.live_callbacks, len(request.callbacks)
    if wanted != got:
        raise CheckpointError(
            f"began with {wanted} callbacks given in Python, got {got}; give the same ones again:"
            " resume(..., callbacks=[...])",
            place=folder.path,
        )
    return make_callbacks(options.fitting.callbacks, request.callbacks, seam.callback)


def check_backend(folder: RunFolder, options: RunOptions, seam: TrainingSeam) -> None:
    """Refuse to go on with a run on another backend than the one that it began on.

    Raises:
        CheckpointError: Keras has another backend in this process.
    """
    if options.backend != seam.backend:
        raise CheckpointError(
            f"began on the {options.backend} backend of Keras, and Keras uses {seam.backend} in"
            f" this process; resume with KERAS_BACKEND={options.backend} in the environment",
            place=folder.path,
        )
