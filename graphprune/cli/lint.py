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
    is_colourful,
    print_report,
    render_with_lines,
)
from graphprune.cli.planning import open_rules, plan_from_rules
from graphprune.diagnostics.diagnostic import Diagnostic, count_severity
from graphprune.diagnostics.slugs import read_slugs, render_slug, render_slug_list
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.errors import EXIT_ERROR, RuleError
from graphprune.graph import ModelFile
from graphprune.report.numbers import count_of
from graphprune.rules import RuleSet
from graphprune.suggestions import closest


@click.command("lint")
@click.argument("files", nargs=-1, metavar="[RULES]...")
@click.option("--model", metavar="MODEL", help="Check the rules against this saved model too.")
@rule_options
@click.option(
    "--format",
    "format_",
    type=Choice(["text", "json", "github"]),
    help=(
        "How to print what is found: text, JSON, or workflow commands that GitHub Actions shows"
        " beside the lines [default: text]."
    ),
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the report to FILE; the end of its name says its format: .txt or .json.",
)
@force_option
@click.option(
    "--explain",
    metavar="SLUG",
    help="Say what a slug such as rule/conflict means, with an example; 'list' names them all.",
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
    """Check rule files: all faults at once, each with its line and a way out. Exits 1 when there
    are errors.

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
    is_painted = output is None and is_colourful()
    text = _render(rules.files, count, model, found, kind, is_painted=is_painted)
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
    """Return how many rules there are (None where the files have faults: they are not held against
    the model), and all that is found.
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
    *,
    is_painted: bool,
) -> str:
    if kind in ("json", "github"):
        return render_document(found, kind)
    against = ""
    if model is not None:
        against = f"; not held against {model} yet" if count is None else f" against {model}"
    numbers = {
        severity: count_severity(found, severity) for severity in ("error", "warning", "note")
    }
    summary = (
        ", ".join(count_of(number, severity) for severity, number in numbers.items() if number)
        or f"{count_of(count or 0, 'rule')}, no faults"
    )
    told = [render_with_lines(found, is_painted=is_painted)] if found else []
    return "\n\n".join([*told, f"{', '.join(files)}: {summary}{against}"])
