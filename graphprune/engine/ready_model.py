"""The model of a run, pruned by the given rules and ready for its first step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphprune.engine.data_fit import check_class_weights, check_one_weighting
from graphprune.engine.early_checks import no_layer_is_pruned
from graphprune.engine.early_stopping import check_metric
from graphprune.engine.origin import Origin
from graphprune.engine.own_code import OwnCode
from graphprune.engine.reached import check_targets_reached
from graphprune.engine.resuming import Resumption, check_original, read_first_plan
from graphprune.engine.run_record import RunData
from graphprune.engine.train_request import TrainRequest
from graphprune.engine.training_seam import Load, TrainingSeam
from graphprune.errors import TrainingError
from graphprune.graph.read import open_model_file
from graphprune.plan.changes import Plan
from graphprune.plan.make import plan_saved_model
from graphprune.rules.values.rule_set import RuleSet
from graphprune.runs.best import parse_ranking
from graphprune.runs.event_files import Place, cut_run_events
from graphprune.runs.resume_point import find_original
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import Compiling, RunOptions, run_of
from graphprune.runs.setting_values import read_stopping
from graphprune.sparsity.positions import Run

FIRST = "on the first batch"


def make_ready(
    seam: TrainingSeam,
    model: Any,
    plan: Plan | None,
    asked: Compiling,
    data: RunData,
    place: str,
    run: Run,
) -> Any:
    """Return the model wrapped by `plan`, compiled as asked, and checked against the data.

    Raises:
        TrainingError: no layer is pruned, a weight is not finite, or a setting does not exist.
        DataError: the data does not fit.
    """
    if plan is not None:
        model = seam.apply_plan(model, plan)
    layers = seam.pruned_layers(model)
    if not layers and plan is not None:
        raise TrainingError(
            "the plan wraps no layer, so training would prune nothing; graphprune plan shows why",
            place=place,
        )
    if not layers:
        raise no_layer_is_pruned(place)
    seam.check_finite(model, place, "such a model cannot be pruned by magnitude; train it again")
    seam.compile_model(model, asked, place, run)
    with OwnCode.of(asked).failures_named(FIRST):
        seam.check_data_fits(model, data)
        seam.check_gradients(model, data, place)
    return model


def lowered(seam: TrainingSeam, model: Any, asked: Compiling, data: RunData, place: str) -> Any:
    """Return the ready model in the precision that was asked for.

    Everything before, the measurement of the original included, is done in its own.

    Raises:
        DataError: the model or its loss fails in this precision.
        TrainingError: it cannot be built in it.
    """
    if asked.mixed_precision is None:
        return model
    model = seam.in_precision(model, asked.mixed_precision)
    seam.compile_model(model, asked.on_resume, place)
    with OwnCode.of(asked).failures_named(FIRST):
        seam.check_data_fits(model, data)
    return model


def plan_for(
    seam: TrainingSeam,
    origin: Origin,
    model: Any,
    rules: Plan | RuleSet | None,
    run: Run,
    *,
    allow_missed: bool,
) -> Plan | None:
    """Return the plan by which to wrap `model`, which was loaded from the file of `origin`.

    None for a model that is wrapped already.

    Raises:
        RuleError: the rules do not fit the model or the length of the run.
    """
    if not isinstance(rules, RuleSet):
        return rules
    saved = replace(open_model_file(origin.file), path=origin.place)
    asked = {custom.type: tuple(custom.axes) for custom in rules.custom_layers}
    loaded = None
    if origin.has_own_objects:  # custom layers name their weights to prune
        loaded = seam.live_graph(model, asked)
    return plan_saved_model(saved, rules, run, loaded=loaded, allow_missed=allow_missed)


def wrap_for_run(
    seam: TrainingSeam,
    request: TrainRequest,
    origin: Origin,
    model: Any,
    rules: Plan | RuleSet | None,
    data: RunData,
) -> tuple[Any, Plan | None]:
    """Return the model wrapped and ready for its first step, and the plan that wrapped it.

    Raises:
        RuleError: the rules do not fit the model, or a target is out of reach.
        TrainingError: no layer is pruned, or a setting does not exist.
    """
    length = run_of(data.steps_per_epoch, request.epochs, request.compiling)
    plan = plan_for(seam, origin, model, rules, length, allow_missed=request.allow_missed)
    wrapped = make_ready(seam, model, plan, request.compiling, data, origin.place, length)
    _check_metrics(seam, wrapped, data, request)
    labels = seam.find_label_rules(wrapped)
    weights = request.fitting.class_weight
    check_class_weights(weights, labels, origin.place)
    check_one_weighting(weights, data.spec, data.is_weighted)
    if not request.allow_missed:
        check_targets_reached(seam.pruned_layers(wrapped), length, plan)
    return wrapped, plan


def _check_metrics(seam: TrainingSeam, model: Any, data: RunData, request: TrainRequest) -> None:
    """Refuse early stopping, or keeping the best, by a metric that the epochs do not have.

    Raises:
        TrainingError: there is no such metric.
    """
    names = seam.metric_names(model)
    known = [*names, *(f"val_{name}" for name in names if data.test is not None)]
    if request.fitting.early_stopping is not None:
        check_metric(read_stopping(request.fitting.early_stopping).metric, dict.fromkeys(known))
    if request.keep_best is not None:
        parse_ranking(request.keep_best).check_known(known)


def load_to_go_on(
    seam: TrainingSeam, folder: RunFolder, found: Resumption, data: RunData, load: Load
) -> Any:
    """Return the model to resume with, from the checkpoint or as it was when the run began.

    Raises:
        CheckpointError: the model or the plan is not the one that the run began with.
    """
    if found.checkpoint is None:
        return _load_first(seam, folder, found.options, data, load)
    model = load(found.checkpoint.model)
    asked = found.options.compiling
    seam.compile_model(model, asked.on_resume, str(found.checkpoint.model))
    with OwnCode.of(asked).failures_named(FIRST):
        seam.check_data_fits(model, data)
    return model


def _load_first(
    seam: TrainingSeam, folder: RunFolder, options: RunOptions, data: RunData, load: Load
) -> Any:
    """Return the model that the run began with, ready for its first step.

    Raises:
        CheckpointError: the model or the plan is not the one that the run began with.
    """
    plan = read_first_plan(folder, options)
    check_original(folder, options)
    original = find_original(folder.path, options)
    asked, place = options.compiling, str(original)
    model = make_ready(seam, load(original), plan, asked, data, place, options.run)
    model = lowered(seam, model, asked, data, place)
    cut_run_events(folder, options, Place(0, seam.read_updates(model), 0))
    return model
