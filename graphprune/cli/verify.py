"""`graphprune verify`: check a model against a plan."""

from __future__ import annotations

from pathlib import Path

import click

from graphprune.archive.saved_model.exported import find_exported
from graphprune.archive.tflite.file import is_tflite, read_tflite
from graphprune.cli.inputs import open_model
from graphprune.cli.options import Choice, brief_option, force_option
from graphprune.cli.outputs import check_report_free, print_report, view_for
from graphprune.errors import EXIT_DIFFERENT
from graphprune.graph.quantizers import without_quantizers
from graphprune.plan import Verification, measure_planned, read_plan, verify_plan
from graphprune.plan.exported import verify_exported
from graphprune.plan.tflite import verify_tflite
from graphprune.report.rendering import render

_SUFFIXES = {".txt": "text", ".json": "json", ".md": "github", ".xml": "junit"}


@click.command("verify")
@click.argument("model")
@click.option(
    "--plan",
    "plan_file",
    required=True,
    metavar="FILE",
    help="The plan that `graphprune plan -o FILE.json` wrote.",
)
@click.option(
    "--format",
    "format_",
    type=Choice(list(_SUFFIXES.values())),
    default=None,
    help=(
        "Format of the report; github is Markdown for a comment, junit XML for a CI system"
        " [default: that of FILE's name, else text]."
    ),
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the report to FILE, in the format of its suffix: .txt, .json, .md or .xml.",
)
@brief_option
@click.option(
    "--allow-drift",
    is_flag=True,
    help="Exit 0 where the model is not as planned; without it the exit code is 2.",
)
@click.option("--detailed-exitcode", is_flag=True, hidden=True)
@force_option
def command(
    model: str,
    plan_file: str,
    format_: str | None,
    output: str | None,
    brief: bool,
    allow_drift: bool,
    detailed_exitcode: bool,
    force: bool,
) -> None:
    """Check MODEL against a plan: are weights and architecture as planned?

    MODEL is wrapped, trained or stripped, a .tflite file or an exported SavedModel. Each tensor
    that the plan prunes must have its zeros, in the places that the pattern allows, and neither NaN
    nor zeros alone. Layers, settings and connections must be those of the plan's original model.
    For example, before a model is shipped:

    \b
        graphprune plan model.keras -r prune.yaml -o plan.json
        ...
        graphprune verify sparse.keras --plan plan.json

    The exit code is 2 if something is not as planned, or a kernel cannot be checked. The
    operators of a .tflite file or an exported SavedModel are compared with what the layers compute.
    A file whose checksums do not match is refused, and so is a training run whose model was
    replaced.
    """  # noqa: D301 - click wants the real character
    inputs = [model, plan_file]
    check_report_free(output, force=force, inputs=inputs, format_=format_, known=tuple(_SUFFIXES))
    found = _verify(model, plan_file)
    kind = format_ or _SUFFIXES.get(Path(output or "").suffix.lower(), "text")
    print_report(render(found, kind, view_for(output, brief=brief)), output)
    missing = any(not check.follows for check in found.unchecked)
    if not allow_drift and (found.is_as_planned is False or missing):
        raise click.exceptions.Exit(EXIT_DIFFERENT)


def _verify(model: str, plan_file: str) -> Verification:
    if is_tflite(model):
        return verify_tflite(read_plan(plan_file), read_tflite(model), plan_path=plan_file)
    exported = find_exported(model)
    if exported is not None:
        return verify_exported(read_plan(plan_file), exported, plan_path=plan_file)
    saved, plan = open_model(model), read_plan(plan_file)
    with saved.weights.opened():
        saved.need_archive().check_checksums()
        seen = without_quantizers(saved)
        assert seen.located is not None
        return verify_plan(
            plan,
            seen.graph,
            measure_planned(plan, seen.located),
            seen.mask_faults or {},
            model_path=model,
            plan_path=plan_file,
        )
