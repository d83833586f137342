"""`graphprune shrink`: remove the dead channels of a model."""

from __future__ import annotations

from pathlib import Path

import click

from graphprune.archive.archive import keras_of
from graphprune.archive.files import check_model_suffix
from graphprune.archive.small_files import write_small
from graphprune.cli.inputs import find_model_file, loading_arguments, open_model
from graphprune.cli.options import LoadingOptions, force_option, format_option, loading_options
from graphprune.cli.outputs import check_output_free, echo
from graphprune.cli.planning import import_quietly, open_to_load
from graphprune.cli.progress import live_display
from graphprune.diff.sizes import measure_sizes
from graphprune.documents import to_json
from graphprune.errors import ArchiveError
from graphprune.files import temporary_folder
from graphprune.graph import ModelFile, open_model_file
from graphprune.report.shrink_text import render_shrink_text
from graphprune.shrink.dead import Removal
from graphprune.shrink.files import check_shrinkable, find_dead_in, write_shrunk
from graphprune.shrink.summary import summarize

_LAYOUTS = {".keras": "keras", ".h5": "h5"}


@click.command("shrink")
@click.argument("model")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="SMALL",
    help="Where to write the smaller model (.keras or .h5).",
)
@loading_options
@format_option
@force_option
def command(
    model: str, output: str, loading: LoadingOptions, format_: str | None, force: bool
) -> None:
    """Remove the channels of MODEL that are dead: constant for every input, or read by nothing.

    \b
        graphprune shrink sparse.keras -o small.keras

    The outputs stay the same, up to rounding. Filters, units and heads go from config and weights
    of all layers that share them, such as the members of a sum. The constant of a channel that is
    not zero goes into the next bias where there is no padding. Channels that are zero and cannot
    be removed are listed with the reason. SMALL is a plain model of the same Keras, without compile
    settings and optimizer. A pruned model is stripped first, with graphprune strip.
    """  # noqa: D301 - click wants the real character
    check_output_free(output, force=force, inputs=[model, find_model_file(model)])
    check_model_suffix(output)
    source = open_model(model)
    check_shrinkable(source)
    with temporary_folder() as folder, live_display() as display:
        display.say("finding dead channels")
        layout = source.need_archive().layout
        if layout == "savedmodel":
            source = _saved_again(model, Path(folder, "whole.keras"), loading)
        removal, small = find_dead_in(source), Path(folder, "small.keras")
        display.say(f"writing {output}")
        with small.open("wb") as stream:
            write_shrunk(source, removal, stream)
        made = open_model_file(small)  # checks that weights and config fit each other
        summary = summarize(source.graph, removal)
        assert summary.after.parameters == made.graph.parameters
        if _LAYOUTS[Path(output).suffix] != made.need_archive().layout:
            small = Path(folder, f"other{Path(output).suffix}")
            try:
                _saved_again(str(made.path), small, loading)
            except ArchiveError as fault:  # of the temporary file, which has the same layers
                raise ArchiveError(fault.text, fault.slug, place=model) from fault
        write_small(small, Path(output))
    _warn_of_nothing(model, removal)
    before, after = (measure_sizes(path).raw for path in (find_model_file(model), output))
    if format_ == "json":
        sizes = {"before": before, "after": after}
        click.echo(to_json({"output": output, "bytes": sizes, **summary.to_config()}), nl=False)
        return
    echo(render_shrink_text(summary, (before, after)), nl=False)
    click.echo(f"wrote {output}")


def _saved_again(path: str, target: Path, loading: LoadingOptions) -> ModelFile:
    """Return a model that its Keras has loaded and written in the format of the name `target`."""
    saved = open_to_load(path, loading)
    import_quietly(keras_of(saved.need_archive()))
    from graphprune.interface import load_model, save_model

    save_model(load_model(saved, **loading_arguments(loading)), target)
    return open_model_file(target)


def _warn_of_nothing(model: str, removal: Removal) -> None:
    if not removal.kept:
        text = f"{model}: no channel is dead; it is written unchanged, without its optimizer"
        click.echo(f"graphprune: warning: {text}", err=True)
