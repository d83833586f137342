"""`graphprune prune`: zero the smallest weights at once, without data and without training."""

from __future__ import annotations

import click

from graphprune.archive.archive import keras_of
from graphprune.archive.files import check_converted_formats
from graphprune.cli.data_options import DataOptions, measure_options
from graphprune.cli.inputs import loading_arguments
from graphprune.cli.options import (
    LoadingOptions,
    RuleOptions,
    force_option,
    format_option,
    keep_optimizer_option,
    keras_option,
    loading_options,
    model_and_rules,
    outputs_option,
)
from graphprune.cli.outputs import check_exports, check_outputs_free, print_warnings
from graphprune.cli.planning import import_quietly, load_with_classes, open_to_load, plan_for
from graphprune.cli.progress import IMPORTING, LOADING, live_display
from graphprune.cli.serving_options import ServingOptions, serving_options


@click.command("prune")
@click.argument("model")
@model_and_rules
@outputs_option
@measure_options
@keep_optimizer_option
@serving_options
@keras_option
@loading_options
@format_option
@force_option
def command(
    model: str,
    rules: RuleOptions,
    plan_file: str | None,
    outputs: tuple[str, ...],
    data: DataOptions | None,
    keep_optimizer: bool,
    serving: ServingOptions,
    keras: int | None,
    loading: LoadingOptions,
    format_: str | None,
    force: bool,
) -> None:
    """Zero the smallest weights of MODEL that the rules (or a plan) select, without training.

    The rules select the layers, their sparsity and pattern; schedules are ignored. Other weights do
    not change, and nothing is wrapped. Accuracy falls more than with `graphprune train`; --data
    measures it. The files are for serving: they have no compile settings and no optimizer.

    \b
        graphprune prune model.keras -r builtin:all-90 -o sparse.keras
        graphprune prune model.keras -r small-weights.yaml -o sparse.keras --data digits.npz
    """  # noqa: D301 - click wants the real character
    check_outputs_free(
        outputs, force=force, inputs=[model, *rules.files, *([plan_file] if plan_file else [])]
    )
    check_exports(outputs)
    serving.check(outputs, has_data=data is not None)
    saved = open_to_load(model, loading, checks_sums=True)
    version = keras_of(saved.need_archive())
    if keras not in (None, version):
        check_converted_formats(outputs)
    with live_display() as display:
        display.say(LOADING)
        loaded = load_with_classes(saved, loading)
        plan = plan_for(saved, rules, plan_file, loaded=loaded)
        print_warnings(plan.diagnostics, rules.files)

        display.say(IMPORTING)
        import_quietly(version)
        from graphprune.cli.stripped_files import StrippedFiles, write_stripped
        from graphprune.interface import load_model, prune_one_shot

        display.say(LOADING)
        pruned = prune_one_shot(load_model(saved, **loading_arguments(loading)), plan)
        files = StrippedFiles(
            outputs, keras or version, keep_optimizer=keep_optimizer, serving=serving
        )
        path = saved.need_archive().path
        write_stripped(pruned, files, path, data, loading, format_, display)
