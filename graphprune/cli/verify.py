"""`graphprune verify`: check a model against a plan."""

from __future__ import annotations

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import (
    brief_option,
    exitcode_option,
    force_option,
    format_option,
    report_option,
)
from graphprune.cli.outputs import check_report_free, choose_format, print_report, view_for
from graphprune.errors import EXIT_DIFFERENT
from graphprune.plan import read_plan, verify_plan
from graphprune.report.rendering import render


@click.command("verify")
@click.argument("model")
@click.option(
    "--plan",
    "plan_file",
    required=True,
    metavar="FILE",
    help="The plan that `graphprune plan -o FILE.json` wrote.",
)
@format_option
@report_option
@brief_option
@exitcode_option
@force_option
def command(
    model: str,
    plan_file: str,
    format_: str | None,
    output: str | None,
    brief: bool,
    detailed_exitcode: bool,
    force: bool,
) -> None:
    """Check MODEL against a plan: does each tensor have its planned zeros?

    MODEL is wrapped, trained or stripped; the zeros in its weights are counted. For example, before
    a model is shipped:

    \b
        graphprune plan model.keras -r prune.yaml -o plan.json
        ...
        graphprune verify sparse.keras --plan plan.json --detailed-exitcode

    A file whose checksums do not match is refused, and so is a training run whose model was
    replaced. With --detailed-exitcode the exit code is 2 if a tensor is not as planned.
    """  # noqa: D301 - click wants the real character
    check_report_free(output, force=force, inputs=[model, plan_file], format_=format_)
    saved, plan = open_model(model), read_plan(plan_file)
    with saved.weights.opened():
        saved.need_archive().check_checksums()
        found = verify_plan(
            plan,
            saved.graph,
            saved.zeros or {},
            saved.mask_faults or {},
            model_path=model,
            plan_path=plan_file,
        )
    view = view_for(output, brief=brief)
    print_report(render(found, choose_format(format_, output), view), output)
    if detailed_exitcode and found.drift:
        raise click.exceptions.Exit(EXIT_DIFFERENT)
