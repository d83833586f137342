"""`graphprune lint`: all faults of rule files at once, alone or against a model."""

from __future__ import annotations

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import variables_option
from graphprune.cli.outputs import print_warnings
from graphprune.errors import RuleError
from graphprune.report.numbers import count_of
from graphprune.rules import read_rules, resolve_rules


@click.command("lint")
@click.argument("rules", nargs=-1, required=True)
@click.option("--model", metavar="MODEL", help="Check the rules against this saved model too.")
@variables_option
def command(rules: tuple[str, ...], model: str | None, variables: dict[str, str]) -> None:
    """Check rule files: all faults at once, each with its place and a way out."""
    rule_set = read_rules(*rules, variables=variables)
    found = rule_set.warnings
    if model is not None:
        saved = open_model(model)
        found += resolve_rules(saved.graph, rule_set, saved.zeros if rule_set.reads_weights else None).diagnostics
    errors = tuple(diagnostic for diagnostic in found if diagnostic.severity == "error")
    print_warnings(diagnostic for diagnostic in found if diagnostic.severity != "error")
    if errors:
        raise RuleError(errors)
    against = "" if model is None else f" against {model}"
    click.echo(f"{', '.join(rules)}: {count_of(len(rule_set.rules), 'rule')}, no faults{against}")
