"""`graphprune lint`: all faults of rule files at once, alone or against a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import click

from graphprune.cli.faults import render_document
from graphprune.cli.inputs import open_model
from graphprune.cli.options import Choice, RuleOptions, force_option, rule_options
from graphprune.cli.outputs import (
    check_report_free,
    choose_format,
    paint,
    print_report,
    render_with_lines,
)
from graphprune.cli.planning import open_rules, plan_from_rules
from graphprune.diagnostics.diagnostic import Diagnostic, count_severity
from graphprune.diagnostics.slugs import read_slugs, render_slug, render_slug_list
from graphprune.diagnostics.terminal_text import Paint, escape_controls, plain
from graphprune.errors import EXIT_ERROR, RuleError
from graphprune.graph import ModelFile
from graphprune.report.numbers import count_of
from graphprune.rules import RuleSet
from graphprune.suggestions import closest


@click.command("lint")
@click.argument("files", nargs=-1, metavar="[RULES]...")
@click.option("--model", metavar="MODEL", help="Also check the rules against this saved model.")
@rule_options
@click.option(
    "--format",
    "format_",
    type=Choice(["text", "json", "github"]),
    help=(
        "Format of the report; github prints workflow commands that GitHub Actions shows beside the"
        " lines [default: text]."
    ),
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the report to FILE, in the format of its suffix: .txt or .json.",
)
@force_option
@click.option(
    "--explain",
    metavar="SLUG",
    help="Explain a slug such as rule/conflict, with an example; 'list' shows all slugs.",
)
def command(
    files: tuple[str, ...],
    model: str | None,
    rules: RuleOptions,
    format_: str | None,
    output: str | None,
    force: bool,
    explain: str | None,
) -> None:
    """Check rule files and show all faults at once, each with its line and a remedy.

    Exits 1 if there are errors.

    \b
        graphprune lint prune.yaml
        graphprune lint prune.yaml more.yaml --model model.keras
        graphprune lint prune.yaml --model model.keras --set dense-90.prune.sparsity=50%
        graphprune lint prune.yaml --format github
        graphprune lint --explain rule/conflict
    """  # noqa: D301 - click wants the real character
    rules = replace(rules, files=(*files, *rules.files))
    check_report_free(
        output, force=force, inputs=[*rules.files, *([model] if model else [])], format_=format_
    )
    if explain is not None:
        print_report(_explain(explain, rules.files), output)
        return
    if not rules.files:
        raise click.UsageError("no rules: name a rule file, as in graphprune lint prune.yaml")
    count, found = _check(rules, model)
    kind = choose_format(format_, output)
    painted = plain if output is not None else paint
    text = _render(rules.files, count, model, found, kind, painted)
    if text or output:
        print_report(text, output)
    if any(diagnostic.severity == "error" for diagnostic in found):
        raise click.exceptions.Exit(EXIT_ERROR)


def _explain(slug: str, rules: Sequence[str]) -> str:
    """Return what a slug means, or the list of all."""
    if rules:
        raise click.UsageError("give --explain SLUG or rule files, not both")
    table = read_slugs()
    if slug == "list":
        return render_slug_list(table.values())
    if slug not in table:
        help = closest(slug, table) or "graphprune lint --explain list names them all"
        raise click.UsageError(
            f"--explain: no diagnostic has the slug {escape_controls(repr(slug))}; {help}"
        )
    return render_slug(table[slug])


def _check(options: RuleOptions, model: str | None) -> tuple[int | None, tuple[Diagnostic, ...]]:
    """Return the number of rules, and all faults.

    The number is None if the files have faults; such rules are not checked against the model.
    """
    try:
        rules = open_rules(options)
    except RuleError as fault:
        return None, fault.diagnostics
    found = rules.warnings if model is None else _check_against(open_model(model), rules)
    return len(rules.rules), found


def _check_against(model: ModelFile, rules: RuleSet) -> tuple[Diagnostic, ...]:
    try:
        return plan_from_rules(model, rules).diagnostics
    except RuleError as fault:
        return fault.diagnostics


def _render(
    files: Sequence[str],
    count: int | None,
    model: str | None,
    found: Sequence[Diagnostic],
    kind: str,
    paint: Paint,
) -> str:
    if kind in ("json", "github"):
        return render_document(found, kind)
    against = ""
    if model is not None:
        against = f"; not checked against {model} yet" if count is None else f" against {model}"
    numbers = {
        severity: count_severity(found, severity) for severity in ("error", "warning", "note")
    }
    summary = (
        ", ".join(count_of(number, severity) for severity, number in numbers.items() if number)
        or f"{count_of(count or 0, 'rule')}, no faults"
    )
    told = [render_with_lines(found, paint=paint)] if found else []
    return "\n\n".join([*told, f"{', '.join(files)}: {summary}{against}"])
