"""`graphprune plan`: what rules would change in a model."""

from __future__ import annotations

import click

from graphprune.cli.inputs import open_model, plan_for
from graphprune.cli.options import RuleOptions, all_option, brief_option, exitcode_option, force_option, format_option, report_option, rule_options
from graphprune.cli.outputs import check_report_free, choose_format, print_report, print_warnings, to_json
from graphprune.errors import EXIT_DIFFERENT
from graphprune.plan import plan_to_config
from graphprune.report import render_plan_text
from graphprune.sparsity.positions import Run


@click.command("plan")
@click.argument("model")
@rule_options
@click.option("--steps-per-epoch", type=click.IntRange(min=1), help="Optimizer steps in an epoch, to show schedules in steps.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of the run, to check that schedules end within it.")
@format_option
@report_option
@all_option
@brief_option
@exitcode_option
@force_option
def command(
    model: str,
    rules: RuleOptions,
    steps_per_epoch: int | None,
    epochs: int | None,
    format_: str | None,
    output: str | None,
    show_all: bool,
    brief: bool,
    detailed_exitcode: bool,
    force: bool,
) -> None:
    """Show what RULES would change in MODEL. Nothing is written but the report; `apply --plan` carries out the JSON form."""
    check_report_free(output, force=force, inputs=[model, *rules.files])
    plan = plan_for(open_model(model), rules, None, Run(steps_per_epoch, epochs))
    print_warnings(plan.diagnostics)
    if choose_format(format_, output) == "json":
        print_report(to_json(plan_to_config(plan)), output)
    else:
        print_report(render_plan_text(plan, show_all=show_all, brief=brief), output)
    if detailed_exitcode and any(change.is_change for change in plan.changes):
        raise click.exceptions.Exit(EXIT_DIFFERENT)
