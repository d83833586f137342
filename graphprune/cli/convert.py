"""`graphprune convert`: write a model of one Keras as a model of the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from graphprune.archive.files import check_model_suffix
from graphprune.archive.optimizer_state import has_optimizer_state
from graphprune.cli.inputs import open_model
from graphprune.cli.options import force_option, format_option
from graphprune.cli.outputs import check_output_free
from graphprune.cli.planning import import_quietly
from graphprune.cli.progress import live_display
from graphprune.conversion.convert import check_convertible
from graphprune.conversion.pruned import is_pruned
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.documents import to_json
from graphprune.graph import ModelFile
from graphprune.report.numbers import format_count


@click.command("convert")
@click.argument("model")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="Where to write the converted model (.keras or .h5).",
)
@click.option(
    "--keras",
    type=click.Choice(["2", "3"]),
    required=True,
    help="The Keras that is to read OUT: 2 (tf_keras) or 3.",
)
@format_option
@force_option
def command(model: str, output: str, keras: str, format_: str | None, force: bool) -> None:
    """Write MODEL for the other Keras: the same layers, names and weights.

    \b
        graphprune convert old.h5 -o new.keras --keras 3
        graphprune convert new.keras -o old.h5 --keras 2

    Layers, settings and operations without a counterpart are refused by name. Nothing in MODEL
    runs. Pruned layers (also those of tfmot) keep masks, steps and schedules. Compile settings are
    kept; the optimizer's state is not.
    """  # noqa: D301 - click wants the real character
    check_output_free(output, force=force, inputs=[model])
    check_model_suffix(output)
    source = open_model(model)
    check_convertible(source, Path(output), int(keras))
    with live_display() as display:
        display.say("converting")
        import_quietly(int(keras))
        from graphprune.conversion.convert import convert

        converted = convert(source, Path(output), int(keras))
    _print(source, output, keras, dict(converted.renamed), as_json=format_ == "json")


def _print(
    source: ModelFile, output: str, keras: str, renamed: Mapping[str, str], *, as_json: bool
) -> None:
    layers = source.graph.layers.values()
    count = sum(1 for layer in layers if layer.kind != "model")
    pruned = sum(map(is_pruned, layers))
    lost = has_optimizer_state(source.need_archive())
    if as_json:
        document = {
            "output": output,
            "keras": int(keras),
            "layers": count,
            "parameters": source.graph.parameters,
            "pruned_layers": pruned,
            "renamed": renamed,
            "optimizer_state_dropped": lost,
        }
        click.echo(to_json(document))
        return
    for before, after in renamed.items():
        click.echo(f"renamed  {escape_controls(before)} -> {escape_controls(after)}")
    name = {"2": "tf_keras", "3": "Keras 3"}[keras]
    kept = f", {format_count(pruned)} of them pruned, with masks and steps" if pruned else ""
    click.echo(
        f"{output}: written for {name}, {format_count(count)} layers{kept},"
        f" {format_count(source.graph.parameters)} parameters"
    )
    if lost:
        click.echo("the optimizer's state is not carried over; training starts with a new one")
