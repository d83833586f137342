"""What came of rule tests, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from graphprune.diagnostics.diagnostic import FindLine, no_line
from graphprune.diagnostics.renderings import render_diagnostics
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.plan.run_cases import CaseResult
from graphprune.report.numbers import count_of
from graphprune.report.tables import align_rows

FORMAT_VERSION = "1.0"
KIND = "graphprune.test-report"
FileResults = tuple[str, tuple[CaseResult, ...]]
_SNAPSHOT = {
    "same": "plan as kept",
    "new": "plan not kept yet",
    "different": "plan differs from the one kept",
}


def render_cases(
    files: Sequence[FileResults], find_line: FindLine = no_line, *, updated: bool = False
) -> str:
    """Return one line a case below its file, what is wrong with it, and a summary line.

    Args:
        files: The results of each file.
        find_line: Returns the source line at a place, to be shown with a caret.
        updated: Whether the snapshots have just been written.
    """
    blocks = [
        "\n".join(
            [
                escape_controls(path),
                *(line for result in results for line in _case(result, find_line, updated=updated)),
            ]
        )
        for path, results in files
    ]
    return "\n\n".join([*blocks, _summary(files, updated=updated)]) + "\n"


def _case(result: CaseResult, find_line: FindLine, *, updated: bool) -> Iterator[str]:
    passed = result.holds if updated else result.is_passed
    yield (
        f"  {'ok  ' if passed else 'FAIL'}  {escape_controls(result.case.name)}   "
        f"{_counts(result, updated=updated)}".rstrip()
    )
    wrong = [
        (layer.outcome, layer.address, layer.reason)
        for layer in result.layers
        if not layer.is_wanted
    ]
    yield from align_rows(wrong, indent="        ")
    for slug in result.missing:
        yield f"        {slug} was expected and did not come"
    for line in render_diagnostics(result.faults, find_line).split("\n") if result.faults else ():
        yield f"        {line}".rstrip()
    if result.snapshot_status == "new" and not updated:
        yield "        keep the plan with graphprune test --update, after a look at it"
    if result.snapshot_status == "different" and not updated:
        yield from (f"        {escape_controls(line)}" for line in result.difference)


def _counts(result: CaseResult, *, updated: bool) -> str:
    counts = Counter(layer.outcome for layer in result.layers)
    parts = [
        f"{counts[outcome]} {outcome}"
        for outcome in ("selected", "spared", "missed", "extra")
        if counts[outcome]
    ]
    parts += [slug.name for slug in result.case.fails if slug.name not in result.missing]
    if result.snapshot_status is not None:
        parts.append(
            "plan kept"
            if updated and result.snapshot_status != "same"
            else _SNAPSHOT[result.snapshot_status]
        )
    return ", ".join(parts)


def _summary(files: Sequence[FileResults], *, updated: bool) -> str:
    results = [result for _, found in files for result in found]
    passed = sum(result.holds if updated else result.is_passed for result in results)
    written = (
        sum(result.snapshot_status in ("new", "different") for result in results) if updated else 0
    )
    kept = f"; {count_of(written, 'snapshot')} written" if updated else ""
    return (
        f"{count_of(len(results), 'case')}: {passed} passed, {len(results) - passed} failed{kept}."
    )


def cases_to_config(files: Sequence[FileResults]) -> dict[str, Any]:
    """Return what came of the tests as one JSON document."""
    cases = [_case_to_config(path, result) for path, results in files for result in results]
    passed = sum(case["passed"] for case in cases)
    return {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "cases": cases,
        "summary": {"passed": passed, "failed": len(cases) - passed},
    }


def _case_to_config(path: str, result: CaseResult) -> dict[str, Any]:
    return {
        "file": path,
        "line": result.case.where.line,
        "graph": result.case.graph,
        "rule": None if result.case.rule is None else result.case.rule.name,
        "passed": result.is_passed,
        "layers": [
            {"address": layer.address, "outcome": layer.outcome, "reason": layer.reason}
            for layer in result.layers
        ],
        "diagnostics": [fault.to_config() for fault in result.faults],
        "missing": list(result.missing),
        "snapshot": result.snapshot_status,
        "difference": list(result.difference),
    }
