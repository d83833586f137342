"""`graphprune diff`: what changed between two models."""

from __future__ import annotations

from collections.abc import Sequence

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import (
    Choice,
    all_option,
    brief_option,
    drawing_format_option,
    drawing_report_option,
    exitcode_option,
    force_option,
)
from graphprune.cli.outputs import (
    DRAWING_SUFFIXES,
    check_report_free,
    choose_drawing_format,
    print_report,
    view_for,
)
from graphprune.diff.graph_diff import diff_models
from graphprune.diff.narrowing import (
    KINDS,
    READ_FROM_WEIGHTS,
    Kind,
    Part,
    check_patterns,
    narrow_diff,
)
from graphprune.errors import EXIT_DIFFERENT
from graphprune.graph.quantizers import without_quantizers
from graphprune.report.rendering import render


@click.command("diff")
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@drawing_format_option
@drawing_report_option
@click.option(
    "--what",
    "what",
    multiple=True,
    type=Choice(list(KINDS)),
    help="Show only changes of this kind. May be repeated.",
)
@click.option(
    "--only",
    "only",
    multiple=True,
    metavar="PATTERN",
    help="Show only layers whose address matches, such as 'block_*'. May be repeated.",
)
@click.option(
    "--exclude",
    "exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out layers whose address matches. May be repeated.",
)
@click.option(
    "--values/--no-values",
    default=True,
    help="Compare the values of weights, which reads both files whole [default: values].",
)
@click.option(
    "--gzip/--no-gzip",
    "gzip_",
    default=None,
    help=(
        "Show the size of all weights after gzip in the text, about a second for 20 MB [default:"
        " up to 50 MB of weights]."
    ),
)
@all_option
@brief_option
@exitcode_option
@force_option
def command(
    left: str,
    right: str,
    format_: str | None,
    output: str | None,
    what: tuple[Kind, ...],
    only: tuple[str, ...],
    exclude: tuple[str, ...],
    values: bool,
    gzip_: bool | None,
    show_all: bool,
    brief: bool,
    detailed_exitcode: bool,
    force: bool,
) -> None:
    """Show what changed from model A to model B.

    The report has layers, connections, wrappers, sparsity and weights.

    \b
        graphprune diff model.keras sparse.keras
        graphprune diff model.keras sparse.keras -o diff.html
        graphprune diff a.keras b.keras --what settings --only 'block_*' --no-values

    Quantization wrappers of tfmot are left out, and the layers inside are compared. Calls of a
    shared layer are numbered from 1, in JSON from 0 like Keras's node indices.
    With --detailed-exitcode the exit code is 2 if the models differ, in what is shown.
    """  # noqa: D301 - click wants the real character
    _check_without_values(what, values=values, gzip_=gzip_)
    check_report_free(
        output, force=force, inputs=[left, right], format_=format_, known=tuple(DRAWING_SUFFIXES)
    )
    before, after = (without_quantizers(open_model(path)) for path in (left, right))
    check_patterns(only, before.graph, after.graph)
    kind = choose_drawing_format(format_, output)
    measure_gzip = gzip_ if kind == "text" else False
    difference = diff_models(before, after, measure_gzip=measure_gzip, values=values)
    difference = narrow_diff(difference, Part(what, only, exclude))
    view = view_for(output, show_all=show_all, brief=brief, measured=after)
    print_report(render(difference, kind, view), output)
    if detailed_exitcode and not difference.is_empty:
        raise click.exceptions.Exit(EXIT_DIFFERENT)


def _check_without_values(what: Sequence[Kind], *, values: bool, gzip_: bool | None) -> None:
    """Raise if options ask for what `--no-values` does not read."""
    if values:
        return
    asked = [f"--what {kind}" for kind in what if kind in READ_FROM_WEIGHTS]
    asked += ["--gzip"] if gzip_ else []
    if asked:
        raise click.UsageError(f"{asked[0]} needs the weights, which --no-values does not read")
