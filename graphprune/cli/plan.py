"""`graphprune plan`: what rules would change in a model."""

from __future__ import annotations

from dataclasses import replace

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import (
    RuleOptions,
    WholeNumber,
    all_option,
    allow_missed_option,
    brief_option,
    drawing_format_option,
    drawing_report_option,
    exitcode_option,
    force_option,
    rule_options,
)
from graphprune.cli.outputs import (
    DRAWING_SUFFIXES,
    check_report_free,
    choose_drawing_format,
    print_report,
    print_warnings,
    view_for,
)
from graphprune.cli.planning import plan_for
from graphprune.errors import EXIT_DIFFERENT
from graphprune.report.rendering import render
from graphprune.sparsity.positions import Run
from graphprune.targets.check import check_target
from graphprune.targets.profiles import find_target


@click.command("plan")
@click.argument("model")
@rule_options
@click.option(
    "--steps-per-epoch",
    type=WholeNumber(min=1),
    help="Optimizer steps in an epoch, to show schedules in steps.",
)
@click.option(
    "--epochs",
    type=WholeNumber(min=1),
    help="Epochs of the run, to check that schedules end within it.",
)
@allow_missed_option
@click.option(
    "--target",
    metavar="NAME",
    help="Warn of rules whose zeros bring nothing on this target (graphprune targets lists them).",
)
@drawing_format_option
@drawing_report_option
@all_option
@brief_option
@exitcode_option
@force_option
def command(
    model: str,
    rules: RuleOptions,
    steps_per_epoch: int | None,
    epochs: int | None,
    allow_missed: bool,
    target: str | None,
    format_: str | None,
    output: str | None,
    show_all: bool,
    brief: bool,
    detailed_exitcode: bool,
    force: bool,
) -> None:
    """Show what RULES would change in MODEL.

    Only the report is written; `apply --plan` carries out its JSON form.

    \b
        graphprune plan model.keras -r builtin:dense-90
        graphprune plan model.keras -r prune.yaml -o plan.json

    If the rules have faults there is no plan, and FILE is not written; with --format json or github
    the faults are printed in that format. With --detailed-exitcode the exit code is 2 if the model
    would change. With --target, a rule is named that brings neither speed nor, where that is all
    the target can gain, size.
    """  # noqa: D301 - click wants the real character
    check_report_free(
        output,
        force=force,
        inputs=[model, *rules.files],
        format_=format_,
        known=tuple(DRAWING_SUFFIXES),
    )
    served = None if target is None else find_target(target)
    saved = open_model(model)
    plan = plan_for(saved, rules, None, Run(steps_per_epoch, epochs), allow_missed=allow_missed)
    if served is not None:
        plan = replace(plan, diagnostics=(*plan.diagnostics, *check_target(plan, served)))
    print_warnings(plan.diagnostics, rules.files)
    view = view_for(output, show_all=show_all, brief=brief, measured=saved)
    print_report(render(plan, choose_drawing_format(format_, output), view), output)
    if detailed_exitcode and (plan.drift or not plan.is_empty):
        raise click.exceptions.Exit(EXIT_DIFFERENT)
