"""`graphprune lint`: all faults of rule files at once, alone or against a model."""

from __future__ import annotations

import click

from graphprune.cli.inputs import open_model
from graphprune.cli.options import variables_option
from graphprune.cli.outputs import print_warnings
from graphprune.cli.planning import weights_of
from graphprune.errors import Diagnostic, RuleError
from graphprune.graph import ModelFile
from graphprune.plan import make_plan
from graphprune.report.numbers import count_of
from graphprune.rules import RuleSet, read_rules, resolve_rules


@click.command("lint")
@click.argument("rules", nargs=-1, required=True)
@click.option("--model", metavar="MODEL", help="Check the rules against this saved model too.")
@variables_option
def command(rules: tuple[str, ...], model: str | None, variables: dict[str, str]) -> None:
    """Check rule files: all faults at once, each with its place and a way out."""
    rule_set = read_rules(*rules, variables=variables)
    found = rule_set.warnings if model is None else _check_against(open_model(model), rule_set)
    errors = tuple(diagnostic for diagnostic in found if diagnostic.severity == "error")
    print_warnings(diagnostic for diagnostic in found if diagnostic.severity != "error")
    if errors:
        raise RuleError(errors)
    against = "" if model is None else f" against {model}"
    click.echo(f"{', '.join(rules)}: {count_of(len(rule_set.rules), 'rule')}, no faults{against}")


def _check_against(model: ModelFile, rules: RuleSet) -> tuple[Diagnostic, ...]:
    """Return everything found wrong or noteworthy, of patterns and budgets too, once the rules fit the layers."""
    found = (*rules.warnings, *resolve_rules(model.graph, rules, model.zeros).diagnostics)
    if any(diagnostic.severity == "error" for diagnostic in found):
        return found
    with weights_of(model) as read_weight:
        try:
            return make_plan(model.graph, rules, zeros=model.zeros, read_weight=read_weight).diagnostics
        except RuleError as err:
            return (*found, *err.diagnostics)
