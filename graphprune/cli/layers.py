"""`graphprune layers`: the layers of a saved model as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import force_option, format_option, report_option
from graphprune.cli.outputs import check_report_free, choose_format, print_report, view_for
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.documents import to_json
from graphprune.graph import ModelFile
from graphprune.report import layers_to_config, render_layers_text

MATCH = "--match"


@click.command("layers")
@click.argument("model")
@click.option(
    MATCH,
    metavar="MATCHER",
    help=(
        "Show only layers that match MATCHER, written as in a rule: 'type: Dense', '{isa: Conv2D,"
        " params: {gte: 10k}}'."
    ),
)
@format_option
@report_option
@force_option
def command(
    model: str, match: str | None, format_: str | None, output: str | None, force: bool
) -> None:
    """Show the layers of MODEL: type, weights, what can be pruned, sparsity and wrapper.

    MODEL is a .keras or .h5 file, a SavedModel folder or graph JSON.

    \b
    --match takes one matcher of the rule language. Rules claim only layers with
    prunable weights; here every layer can match ('type: ReLU', 'trainable: false'),
    but "*" means, as in rules, every layer with prunable weights. Names that are
    not in the model are errors, with a suggestion. Totals are of the layers shown.

    \b
        graphprune layers model.keras
        graphprune layers model.keras --match '{type: Dense, params: {gte: 1M}}'
    """  # noqa: D301 - click wants the real character
    check_report_free(output, force=force, inputs=[model], format_=format_)
    find = None if match is None else _finder(match)
    saved = open_model(model)
    matched = None if find is None else find(saved)
    if choose_format(format_, output) == "json":
        print_report(
            to_json(layers_to_config(saved.graph, saved.zeros, path=model, matched=matched)), output
        )
    else:
        print_report(
            render_layers_text(
                saved.graph, saved.zeros, width=view_for(output).width, matched=matched
            ),
            output,
        )


def _finder(match: str) -> Callable[[ModelFile], Collection[str]]:
    """Return the function that finds the layers that a matcher selects.

    The rule language is imported only here: that takes a quarter of a second.
    """
    from graphprune.rules import Matches, find_matched, parse_matcher, reads_weights

    matcher = parse_matcher(match, MATCH)

    def find(saved: ModelFile) -> Collection[str]:
        if reads_weights(matcher):
            saved.need_archive()
        found, nearest = find_matched(Matches(saved.graph, saved.zeros), matcher, MATCH)
        if nearest:
            click.echo(escape_controls(f"{MATCH}: {nearest}"), err=True)
        return found

    return find
