"""`graphprune explain`: why rules claim a layer or not."""

from __future__ import annotations

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import (
    RuleOptions,
    all_option,
    force_option,
    format_option,
    report_option,
    rule_options,
)
from graphprune.cli.outputs import check_report_free, choose_format, print_report, terminal_width
from graphprune.cli.planning import open_rules
from graphprune.documents import to_json
from graphprune.report import render_explanation
from graphprune.rules.resolving.explain import explain_layer, explain_rule, explanation_to_config


@click.command("explain")
@click.argument("model")
@rule_options
@click.option("--layer", metavar="ADDRESS", help="Show the verdict of every rule on this layer.")
@click.option(
    "--rule",
    metavar="ID",
    help="Show the layers that this rule selects, and those it nearly selects.",
)
@format_option
@report_option
@all_option
@force_option
def command(
    model: str,
    rules: RuleOptions,
    layer: str | None,
    rule: str | None,
    format_: str | None,
    output: str | None,
    show_all: bool,
    force: bool,
) -> None:
    """Say why RULES claim a layer of MODEL or not, condition by condition.

    With --rule: which layers one rule selects.

    For example:

    \b
        graphprune explain model.keras -r prune.yaml --layer predictions
        graphprune explain model.keras -r prune.yaml --rule dense-90
    """  # noqa: D301 - click wants the real character
    if (layer is None) == (rule is None):
        raise click.UsageError("give one of --layer ADDRESS and --rule ID")
    check_report_free(output, force=force, inputs=[model, *rules.files], format_=format_)
    saved = open_model(model)
    rule_set = open_rules(rules)
    zeros = saved.zeros if rule_set.reads_weights else None
    found = (
        explain_layer(saved.graph, rule_set, layer, zeros)
        if layer is not None
        else explain_rule(saved.graph, rule_set, rule or "", zeros)
    )
    if choose_format(format_, output) == "json":
        print_report(to_json(explanation_to_config(found)), output)
    else:
        width = terminal_width(output)
        print_report(render_explanation(found, show_all=show_all, width=width), output)
