"""The plan that a command works by: from rules, or from a file."""

from __future__ import annotations

from collections.abc import Mapping

import click

from graphprune.graph import ModelFile, measure_mask_faults, read_steps
from graphprune.plan import Plan, check_plan_fits, make_plan, read_plan
from graphprune.rules import RuleSet, read_rules
from graphprune.sparsity.positions import Run

UNKNOWN_RUN = Run()


def open_rules(paths: tuple[str, ...], variables: Mapping[str, str]) -> RuleSet:
    """Return the rules of all files, which the command needs at least one of."""
    if not paths:
        raise click.UsageError("no rules: give a rule file with -r RULES (graphprune rules lists those that ship)")
    return read_rules(*paths, variables=variables)


def plan_for(model: ModelFile, rules: tuple[str, ...], plan_file: str | None, variables: Mapping[str, str], run: Run = UNKNOWN_RUN) -> Plan:
    """Return the plan from `--plan FILE`, checked against the model, or made from the rules.

    Raises:
        PlanError: the plan file is damaged or was made for another model.
        RuleError: the rules have faults, alone or with this model.
    """
    if plan_file is not None:
        if rules:
            raise click.UsageError("give rules (-r) or a plan (--plan), not both")
        plan = read_plan(plan_file)
        check_plan_fits(model.graph, plan)
        return plan
    return make_plan(
        model.graph,
        open_rules(rules, variables),
        steps_per_epoch=run.steps_per_epoch,
        epochs=run.epochs,
        zeros=model.zeros,
        path=model.path,
        steps=None if model.archive is None else read_steps(model.archive, model.graph),
        mask_faults=None if model.archive is None else measure_mask_faults(model.archive, model.graph),
    )
