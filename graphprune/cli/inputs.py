"""What commands read: saved models, rules and plans, opened once and in one way."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from graphprune.archive import Archive, read_archive
from graphprune.cli.options import RuleOptions
from graphprune.diff.archive_weights import open_archive_weights
from graphprune.errors import CheckpointError, TrainingError
from graphprune.graph import LayerGraph, measure_mask_faults, measure_zeros, read_graph, read_steps
from graphprune.plan import Plan, check_plan_fits, check_weights_fit, make_plan, read_plan
from graphprune.rules import RuleSet, read_rules
from graphprune.sparsity.positions import Run
from graphprune.tf.run_folder import RunFolder

UNKNOWN_RUN = Run()


@dataclass(frozen=True)
class SavedModel:
    """A saved model, opened without TensorFlow; weights are read when they are asked for."""

    path: str
    archive: Archive
    graph: LayerGraph

    @cached_property
    def zeros(self) -> Mapping[tuple[str, str], int]:
        """The measured zeros of each weight tensor."""
        return measure_zeros(self.archive, self.graph)


def open_model(path: str) -> SavedModel:
    """Return the saved model at `path`; of a training run's folder, its finished model.

    Raises:
        ArchiveError: there is no readable saved model.
    """
    if not path:
        raise click.UsageError("the name of the model is empty")
    archive = read_archive(find_model_file(path))
    return SavedModel(path, archive, read_graph(archive))


def find_model_file(path: str) -> str:
    """Return `path`, or the trained model inside it when it is the folder of a training run.

    Raises:
        CheckpointError: the run is damaged, or not finished.
    """
    run = RunFolder(Path(path))
    if not run.is_run:
        return path
    model = run.path / run.read_options().model_name
    if not model.is_file():
        raise CheckpointError(f"{path}: this training run is not finished; go on with graphprune resume {path}")
    return str(model)


def find_training_origin(path: str) -> str:
    """Return the model that the training run in `path` began with; `path` itself when it is no run, or that model is gone."""
    run = RunFolder(Path(path))
    origin = run.read_options().model if run.is_run else path
    return origin if Path(origin).exists() else path


def open_rules(options: RuleOptions) -> RuleSet:
    """Return the rules of all files, which the command needs at least one of."""
    if not options.files:
        raise click.UsageError("no rules: give a rule file with -r RULES (graphprune rules lists those that ship)")
    return read_rules(*options.files, variables=options.variables, only=options.only, off=options.off, settings=options.settings)


def plan_for(model: SavedModel, rules: RuleOptions, plan_file: str | None, run: Run = UNKNOWN_RUN) -> Plan:
    """Return the plan from `--plan FILE`, checked against the model, or made from the rules.

    Raises:
        PlanError: the plan file is damaged or was made for another model.
        RuleError: the rules have faults, alone or with this model.
    """
    if plan_file is not None:
        if rules.files:
            raise click.UsageError("give rules (-r) or a plan (--plan), not both")
        if rules.has_switches:
            raise click.UsageError("--var, --only, --off and --set change rules; with --plan, give them to `graphprune plan` instead")
        plan = read_plan(plan_file)
        check_plan_fits(model.graph, plan)
        if plan.depends_on_weights:
            with open_archive_weights(model.archive, model.graph) as weights:
                check_weights_fit(model.graph, plan, weights.read)
        return plan
    rule_set = open_rules(rules)
    with open_archive_weights(model.archive, model.graph) as weights:
        return make_plan(
            model.graph,
            rule_set,
            steps_per_epoch=run.steps_per_epoch,
            epochs=run.epochs,
            zeros=model.zeros,
            path=model.path,
            steps=read_steps(model.archive, model.graph),
            mask_faults=measure_mask_faults(model.archive, model.graph),
            read_weight=weights.read,
        )


def import_custom_objects(specs: tuple[str, ...]) -> dict[str, Any]:
    """Return custom objects by name: of `MODULE:NAME` that one, of `MODULE` every public class and function.

    Raises:
        TrainingError: a module cannot be imported, or has no such name.
    """
    if specs and "" not in sys.path:
        sys.path.insert(0, "")
    found: dict[str, Any] = {}
    for spec in specs:
        module_name, _, name = spec.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ImportError as fault:
            raise TrainingError(f"--custom-objects {spec}: cannot import {module_name}: {fault}; run from the folder that holds it, or install it") from fault
        if name and not hasattr(module, name):
            raise TrainingError(f"--custom-objects {spec}: {module_name} has no {name}; it has {', '.join(n for n in vars(module) if not n.startswith('_'))}")
        names = [name] if name else [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        found |= {n: getattr(module, n) for n in names}
    return found
