"""`graphprune train`: train a model to its planned sparsity, with checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from graphprune.cli.finish import end_run, stoppable
from graphprune.cli.inputs import loading_arguments
from graphprune.cli.options import LoadingOptions, RuleOptions, rank_option
from graphprune.cli.outputs import print_warnings
from graphprune.cli.planning import (
    import_quietly,
    load_with_classes,
    open_to_load,
    opened_for,
    plan_for,
)
from graphprune.cli.progress import IMPORTING_KERAS, Display, lasting_output, live_display
from graphprune.cli.run_settings import (
    loading_options_of,
    rule_options_of,
    run_settings,
    shown_options_of,
)
from graphprune.cli.workers import check_stop_of_another, form_of_worker, tell_cluster
from graphprune.engine.early_checks import check_early, check_is_pruned
from graphprune.engine.train_request import WAITING
from graphprune.graph import ModelFile
from graphprune.plan import Plan, check_reached, plan_to_config
from graphprune.quiet import import_tensorflow
from graphprune.report.numbers import format_bytes
from graphprune.runs.cluster import WAIT, Cluster, find_cluster
from graphprune.runs.disk_needs import DiskNeeds, estimate_checkpoint
from graphprune.runs.run_file import arguments_of
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import KEPT
from graphprune.runs.run_settings import TENSORBOARD
from graphprune.runs.training_arguments import NONE, parse_strategy
from graphprune.sparsity.positions import Run
from graphprune.training import keras_for, train


@click.command("train")
@rank_option
@run_settings
def command(settings: Mapping[str, Any], rank: int | None) -> None:
    """Train MODEL to its planned sparsity.

    MODEL is a saved model, or a run file (.yaml) with the same settings as keys; options take the
    place of its keys. Rules or a plan say what to prune, unless MODEL has its masks already.

    The folder DIR gets run.yaml, checkpoints, metrics.jsonl, the plan, and at the end model.keras
    (or .h5).
    With --strategy multiworker, the same command runs on each worker, and the first one writes DIR.
    After an interruption, `graphprune resume DIR` continues from the last checkpoint. A run that is
    too short for a target is refused before it begins. Exits 3 if a target was missed.

    \b
        graphprune train model.keras -r builtin:dense-90 --data digits.npz --epochs 10 --run runs/a
        graphprune train runs/a/run.yaml --epochs 20 --run runs/b
    """  # noqa: D301 - click wants the real character
    rules, loading = rule_options_of(settings), loading_options_of(settings)
    shown = shown_options_of(settings)
    arguments = arguments_of(settings)
    is_measured = bool(settings.get("evaluate"))
    run_folder, keras = settings.get("run", os.curdir), settings.get("on.keras")
    arguments.setdefault("epochs", 1)  # only a measurement needs no length
    strategy = arguments.get("strategy", NONE)
    parse_strategy(strategy)
    wait = arguments.get("wait", WAIT)
    cluster = find_cluster(strategy, arguments.get("workers"), rank, os.environ, wait)
    writes = cluster is None or cluster.is_chief
    if not is_measured and writes:
        RunFolder(Path(run_folder)).check_free(force=arguments.get("force", False))
    if "tensorboard" in arguments:
        arguments["tensorboard"] = _summaries_folder(arguments["tensorboard"])
    with (
        lasting_output(),
        stoppable(run_folder, is_new=True, loading=loading) as stop,
        live_display(form_of_worker(shown.form, cluster)) as display,
        _opened(settings["model"], keras, loading, display) as saved,
    ):
        plan, version = None, keras_for(saved)
        if loading.custom_objects and version == 2:
            _open_devices(strategy, cluster, display)
        if not is_measured:
            with display.own_code():
                plan = _make_plan(saved, rules, settings.get("plan"), loading)
        if plan is not None:
            if not arguments.get("allow_missed"):
                check_reached(plan, Run(arguments.get("steps_per_epoch"), arguments["epochs"]))
            display.print(str(plan))
            display.tell("plan", plan_to_config(plan))
        display.say("checking the data")
        check_early(saved, arguments["data"], arguments, version)
        if plan is None and not is_measured:
            check_is_pruned(saved.graph, saved.path)
        if not is_measured and writes:
            needs = _disk_needs(saved, arguments)
            display.print(f"disk: {needs.describe(format_bytes)}")
            display.tell("disk", {"bytes": needs.total, "checkpoint": needs.checkpoint})
            needs.check(Path(run_folder))
        display.say(IMPORTING_KERAS[version])
        import_quietly(version)
        if cluster is not None:
            tell_cluster(cluster, shown.form)
        if keras == 2:
            _open_devices(strategy, cluster, display)
        with closing(display), display.own_code():
            result = train(
                _to_begin_with(saved, keras, loading),
                plan,
                run_dir=run_folder,
                run_file=settings,
                on_progress=display.show,
                on_stage=display.say,
                stop=stop,
                rank=rank,
                **arguments,
                **loading_arguments(loading),
            )
        end_run(result, stop, loading, shown, cluster)
        check_stop_of_another(result, stop, cluster, arguments.get("stop_after_step"))


@contextmanager
def _opened(
    model: str, keras: int | None, loading: LoadingOptions, display: Display
) -> Iterator[ModelFile]:
    """Give the saved model, converted if it is to be trained in the other Keras."""
    display.say("reading the model")
    with opened_for(open_to_load(model, loading), keras) as saved:
        yield saved


def _to_begin_with(saved: ModelFile, keras: int | None, loading: LoadingOptions) -> Any:
    """Return what the run begins with; it keeps the file of a live model, but not a converted one.

    So the model is loaded if a Keras is asked for.
    """
    if keras is None:
        return saved
    from graphprune.interface import load_model

    return load_model(saved, **loading_arguments(loading))


def _make_plan(
    saved: ModelFile, rules: RuleOptions, plan_file: str | None, loading: LoadingOptions
) -> Plan | None:
    """Return the plan for the model; None without rules and plan file."""
    if not (rules.files or rules.has_switches or plan_file is not None):
        return None
    plan = plan_for(saved, rules, plan_file, loaded=load_with_classes(saved, loading))
    print_warnings(plan.diagnostics, rules.files)
    return plan


def _disk_needs(saved: ModelFile, arguments: Mapping[str, Any]) -> DiskNeeds:
    """Return the disk space that the run will take, estimated from the model's file."""
    compiled = saved.need_archive().compile_settings
    saved_one = compiled.get("optimizer") or compiled.get("optimizer_config")
    checkpoint = estimate_checkpoint(
        saved.graph.parameters,
        arguments.get("optimizer") or saved_one,
        accumulates=arguments.get("gradient_accumulation", 1) > 1,
    )
    return DiskNeeds(checkpoint, arguments.get("keep", KEPT), "keep_best" in arguments)


def _summaries_folder(tensorboard: str | None) -> str | Path | None:
    if tensorboard is None or tensorboard == TENSORBOARD:
        return tensorboard
    return Path(tensorboard).absolute()


def _open_devices(strategy: str, cluster: Cluster | None, display: Display) -> None:
    """Make the strategy's devices, which is possible only before a model is loaded."""
    if strategy == NONE:
        return
    import_tensorflow()
    from graphprune.tf.training.strategies import open_spread

    if cluster is not None:
        display.say(WAITING)
    open_spread(strategy, cluster)
