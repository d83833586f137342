"""`graphprune plan`: what rules would change in a model."""

from __future__ import annotations

import click

from graphprune import report
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
    paint_marks,
    print_report,
    print_warnings,
    terminal_width,
)
from graphprune.cli.planning import plan_for
from graphprune.documents import to_json
from graphprune.errors import EXIT_DIFFERENT
from graphprune.graph import ModelFile
from graphprune.plan import Plan, plan_to_config
from graphprune.sparsity.positions import Run


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
    format_: str | None,
    output: str | None,
    show_all: bool,
    brief: bool,
    detailed_exitcode: bool,
    force: bool,
) -> None:
    """Show what RULES would change in MODEL. Nothing is written but the report; `apply --plan`
    carries out the JSON form.

    \b
        graphprune plan model.keras -r builtin:dense-90
        graphprune plan model.keras -r prune.yaml -o plan.json

    Where the rules have faults there is no plan and FILE is not written; with --format json or
    github the faults are printed in that form. With --detailed-exitcode the exit code is 2 where
    the model would be changed.
    """  # noqa: D301 - click wants the real character
    check_report_free(
        output,
        force=force,
        inputs=[model, *rules.files],
        format_=format_,
        known=tuple(DRAWING_SUFFIXES),
    )
    saved = open_model(model)
    plan = plan_for(saved, rules, None, Run(steps_per_epoch, epochs), allow_missed=allow_missed)
    print_warnings(plan.diagnostics, rules.files)
    kind = choose_drawing_format(format_, output)
    text = _render(saved, plan, kind, show_all=show_all, brief=brief, width=terminal_width(output))
    print_report(text, output, paint_marks if kind == "text" else str, wraps=kind == "text")
    if detailed_exitcode and (plan.drift or not plan.is_empty):
        raise click.exceptions.Exit(EXIT_DIFFERENT)


def _render(
    saved: ModelFile, plan: Plan, kind: str, *, show_all: bool, brief: bool, width: int | None
) -> str:
    if kind == "json":
        return to_json(plan_to_config(plan))
    if kind == "github":
        return report.render_plan_github(plan, show_all=show_all, brief=brief)
    if kind == "svg":
        return report.render_plan_svg(saved.graph, plan)
    if kind == "html":
        return report.render_plan_html(saved.graph, plan, saved.metrics)
    return report.render_plan_text(plan, show_all=show_all, brief=brief, width=width)
