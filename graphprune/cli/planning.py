"""The plan that a command works by: from rules, or from a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from graphprune.cli.options import RuleOptions
from graphprune.diff.archive_weights import open_archive_weights
from graphprune.graph import ModelFile, measure_mask_faults, read_steps
from graphprune.plan import Plan, check_plan_fits, check_weights_fit, make_plan, read_plan
from graphprune.plan.budgets import ReadWeight
from graphprune.rules import RuleSet, read_rules
from graphprune.sparsity.positions import Run

UNKNOWN_RUN = Run()


def open_rules(options: RuleOptions) -> RuleSet:
    """Return the rules of all files, which the command needs at least one of."""
    if not options.files:
        raise click.UsageError("no rules: give a rule file with -r RULES (graphprune rules lists those that ship)")
    return read_rules(*options.files, variables=options.variables, only=options.only, off=options.off, settings=options.settings)


def plan_for(model: ModelFile, rules: RuleOptions, plan_file: str | None, run: Run = UNKNOWN_RUN) -> Plan:
    """Return the plan from `--plan FILE`, checked against the model, or made from the rules.

    Raises:
        PlanError: the plan file is damaged or was made for another model.
        RuleError: the rules have faults, alone or with this model.
    """
    if plan_file is not None:
        return _read_fitting_plan(model, rules, plan_file)
    return plan_from_rules(model, open_rules(rules), run)


def plan_from_rules(model: ModelFile, rules: RuleSet, run: Run = UNKNOWN_RUN) -> Plan:
    """Return the plan that the rules make for the model, with everything that its file can tell.

    Raises:
        RuleError: the rules do not fit the model.
    """
    with _weights_of(model) as read_weight:
        return make_plan(
            model.graph,
            rules,
            steps_per_epoch=run.steps_per_epoch,
            epochs=run.epochs,
            zeros=model.zeros,
            path=model.path,
            steps=None if model.archive is None else read_steps(model.archive, model.graph),
            mask_faults=None if model.archive is None else measure_mask_faults(model.archive, model.graph),
            read_weight=read_weight,
        )


def _read_fitting_plan(model: ModelFile, rules: RuleOptions, plan_file: str) -> Plan:
    if rules.files:
        raise click.UsageError("give rules (-r) or a plan (--plan), not both")
    if rules.has_switches:
        raise click.UsageError("--var, --only, --off and --set change rules; with --plan, give them to `graphprune plan` instead")
    plan = read_plan(plan_file)
    check_plan_fits(model.graph, plan)
    if plan.depends_on_weights:
        with open_archive_weights(model.need_archive(), model.graph) as weights:
            check_weights_fit(model.graph, plan, weights.read)
    return plan


@contextmanager
def _weights_of(model: ModelFile) -> Iterator[ReadWeight | None]:
    if model.archive is None:
        yield None
        return
    with open_archive_weights(model.archive, model.graph) as weights:
        yield weights.read
