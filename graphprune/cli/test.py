"""`graphprune test`: run rule tests."""

from __future__ import annotations

from pathlib import Path

import click

from graphprune.cli.options import force_option, format_option, report_option
from graphprune.cli.outputs import check_report_free, choose_format, print_report
from graphprune.diagnostics.renderings import SourceLines
from graphprune.documents import to_json
from graphprune.errors import EXIT_ERROR
from graphprune.files import write_whole
from graphprune.plan.run_cases import CaseResult, read_snapshots, run_cases, updated_snapshots
from graphprune.report import cases_to_config, render_cases
from graphprune.rules.building.case_file import Case, CaseFile, find_case_files, read_cases
from graphprune.rules.text.files import find_source
from graphprune.suggestions import closest


@click.command("test")
@click.argument("place", metavar="DIR", default=".")
@click.option(
    "-k",
    "pattern",
    metavar="PATTERN",
    default="",
    help=(
        "Run only the cases whose file, graph, rule or expected slug contains PATTERN; 'snapshot'"
        " selects those with a snapshot."
    ),
)
@click.option("--update", is_flag=True, help="Write the current plans as snapshots.")
@format_option
@report_option
@force_option
def command(
    place: str, pattern: str, update: bool, format_: str | None, output: str | None, force: bool
) -> None:
    """Run the rule tests in DIR: which layers do rules select in which graphs?

    Test files are named *_test.yaml (.yml, .json).

    \b
        graphprune test tests
        graphprune test tests --update

    \b
    # prune_test.yaml, beside prune.yaml
    version: 1
    rules: prune.yaml
    cases:
      - graph: lenet.json       # written by: graphprune graph lenet.keras -o lenet.json
        rule: dense-90          # without it: all rules that prune
        selects: [fc1, fc2]
        spares: [predictions]
        plan: snapshot          # the whole plan; --update writes it to __snapshots__
      - graph: no-dense.json
        fails: [rule/no-match]  # the diagnostics that are expected

    No model is needed, and no TensorFlow. Exits 1 if a case fails.
    """  # noqa: D301 - click wants the real character
    check_report_free(output, force=force, inputs=[place], format_=format_)
    files = read_cases(find_case_files(place))
    lines = SourceLines(find_source, {path for file in files for path in (file.path, *file.rules)})
    results = [(file.path, _run(file, pattern, update=update)) for file in files]
    results = [(path, found) for path, found in results if found]
    if not results:
        words = dict.fromkeys(
            word
            for file in files
            for case in file.cases
            for text in case.words
            for word in text.split()
        )
        raise click.UsageError(
            f"no case contains {pattern!r};"
            f" {closest(pattern, words) or 'run without -k to see their names'}"
        )
    if choose_format(format_, output) == "json":
        print_report(to_json(cases_to_config(results)), output)
    else:
        print_report(render_cases(results, lines.find, updated=update), output)
    if not all(
        result.holds if update else result.is_passed for _, found in results for result in found
    ):
        raise click.exceptions.Exit(EXIT_ERROR)


def _run(file: CaseFile, pattern: str, *, update: bool) -> tuple[CaseResult, ...]:
    """Return the results of the cases that match; `update` writes their snapshots."""

    def wanted(case: Case) -> bool:
        return any(pattern in text for text in (f"{file.path}  {case.name}", *case.words))

    kept = read_snapshots(file)
    results = run_cases(file, kept, wanted)
    if update:
        snapshots = updated_snapshots(results, kept, is_whole=len(results) == len(file.cases))
        if snapshots != kept:
            _write(file.snapshot_path, to_json(snapshots))
    return results


def _write(path: Path, text: str) -> None:
    write_whole(path, text.encode())
