"""`graphprune apply`: prepare the layers that the rules select for pruning, and save the model."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import click

from graphprune.archive.archive import keras_of
from graphprune.archive.files import check_holds_masks, check_model_suffix
from graphprune.cli.inputs import loading_arguments
from graphprune.cli.options import (
    LoadingOptions,
    RuleOptions,
    force_option,
    format_option,
    keras_option,
    loading_options,
    model_and_rules,
)
from graphprune.cli.outputs import check_output_free, print_warnings
from graphprune.cli.planning import (
    import_quietly,
    load_with_classes,
    open_to_load,
    opened_for,
    plan_for,
)
from graphprune.cli.progress import IMPORTING, LOADING, live_display
from graphprune.documents import to_json
from graphprune.plan import plan_to_config
from graphprune.report import render_plan_text


@click.command("apply")
@click.argument("model")
@model_and_rules
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="WRAPPED",
    help="Where to save the model with masks (.keras, or .h5 of tf_keras).",
)
@keras_option
@loading_options
@format_option
@force_option
def command(
    model: str,
    rules: RuleOptions,
    plan_file: str | None,
    output: str,
    keras: int | None,
    loading: LoadingOptions,
    format_: str | None,
    force: bool,
) -> None:
    """Prepare the layers of MODEL that the rules (or a plan) select for pruning.

    They get masks: in Keras 3 beside the optimizer, in tf_keras in wrappers. The file MODEL is not
    changed; the new one keeps the optimizer's state.

    \b
        graphprune apply model.keras -r builtin:dense-90 -o wrapped.keras
        graphprune apply model.keras --plan plan.json -o wrapped.keras

    With --format json the whole plan is printed, as `graphprune plan` prints it; or the faults, as
    `graphprune lint` does.
    """  # noqa: D301 - click wants the real character
    check_output_free(
        output, force=force, inputs=[model, *rules.files, *([plan_file] if plan_file else [])]
    )
    check_model_suffix(output)
    with live_display() as display:
        display.say(LOADING)
        with opened_for(open_to_load(model, loading), keras) as saved:
            version = keras_of(saved.need_archive())
            if version == 3:
                check_holds_masks(output)
            loaded = load_with_classes(saved, loading)
            plan = plan_for(saved, rules, plan_file, loaded=loaded)
            print_warnings(plan.diagnostics, rules.files)

            display.say(IMPORTING)
            import_quietly(version)
            from graphprune.dispatch import seam_of
            from graphprune.interface import apply_plan, load_model

            display.say(LOADING)
            arguments = loading_arguments(loading)
            wrapped = apply_plan(load_model(saved, **arguments), plan)
        display.say(f"writing {output}")
        saving = seam_of(version, "saving")
        load = partial(load_model, **arguments)
        saving.check_reads_back(wrapped, Path(output).suffix, output, load)
        saving.save_model(wrapped, output)
    click.echo(
        to_json(plan_to_config(plan)) if format_ == "json" else render_plan_text(plan, brief=True),
        nl=False,
    )
    click.echo(f"wrote {output}", err=format_ == "json")
    if any("wrap" in change.actions for change in plan.changes):
        click.echo(
            "no weight is pruned yet, training prunes\n"
            f"next: graphprune train {shlex.quote(output)} --data DATA --epochs N --run"
            f" DIR{loading.typed}",
            err=format_ == "json",
        )
