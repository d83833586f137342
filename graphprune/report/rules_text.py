"""What rules do, as text: verdicts on a layer, layers of a rule, results of rule tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from graphprune.diagnostics.diagnostic import FindLine, Where, no_line
from graphprune.diagnostics.renderings import render_diagnostics
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.plan.run_cases import CaseResult
from graphprune.report.numbers import count_of, format_count
from graphprune.report.tables import align_rows, render_lines, to_lines
from graphprune.rules.resolving.explain import (
    LayerExplanation,
    RuleExplanation,
    RuleVerdict,
    Verdict,
)

SHOWN = 12


def render_explanation(
    found: LayerExplanation | RuleExplanation, *, show_all: bool = False, width: int | None = None
) -> str:
    """Return the verdict of every rule on a layer, or the layers that one rule selects.

    `show_all` lists every selected layer; lines that are longer than `width` columns are broken.
    """
    text = (
        _render_rule(found, show_all=show_all)
        if isinstance(found, RuleExplanation)
        else _render_layer(found)
    )
    return render_lines(to_lines(text), width)


def _render_layer(found: LayerExplanation) -> str:
    facts = [
        found.address,
        found.type,
        ", ".join(found.tensors),
        f"{format_count(found.weights)} weights" if found.tensors else "",
    ]
    facts.append(f"after {', '.join(found.after)}" if found.after else "")
    blocks = [escape_controls("   ".join(fact for fact in facts if fact))]
    blocks += ["\n".join(_rule_lines(rule)) for rule in found.rules]
    if found.groups:
        blocks.append("\n".join(f"  {escape_controls(str(group))}" for group in found.groups))
    return "\n\n".join([*blocks, f"  result: {escape_controls(found.result)}"])


def _rule_lines(rule: RuleVerdict) -> Iterator[str]:
    total = len(rule.conditions)
    verdict = "matches"
    if not rule.matches:
        verdict = f"does not match ({rule.met} of {total} condition{'' if total == 1 else 's'})"
    yield escape_controls(f"  rule {rule.id}   {_place(rule.where)}   {verdict}")
    yield from align_rows(
        [row for condition in rule.conditions for row in _rows(condition, 0)],
        gaps={1: 2, 2: 6},
        indent="    ",
    )


def _rows(verdict: Verdict, depth: int) -> Iterator[tuple[str, ...]]:
    yield "yes" if verdict.holds else "no", "  " * depth + verdict.text, verdict.why
    for part in verdict.parts:
        yield from _rows(part, depth + 1)


def _render_rule(found: RuleExplanation, *, show_all: bool) -> str:
    names = _listed(found.selected, show_all=show_all)
    lines = [
        f"  rule {found.id}   matches {len(found.selected)} of {found.candidates}"
        f" candidates{f': {names}' if names else ''}"
    ]
    if found.lost:
        lost = [f"{address} ({rule})" for address, rule in found.lost]
        lines.append(f"  decided by others: {_listed(lost, show_all=show_all)}")
    lines += [f"  {found.misses}"] if found.misses else []
    return "\n".join(map(escape_controls, lines))


def _listed(names: Sequence[str], *, show_all: bool) -> str:
    shown = names if show_all else names[:SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more (--all lists them)" if more else "")


def _place(where: Where) -> str:
    return where.file if where.line is None else f"{where.file}:{where.line}"


FORMAT_VERSION = "1.0"
KIND = "graphprune.test-report"
FileResults = tuple[str, tuple[CaseResult, ...]]
_SNAPSHOT = {
    "same": "same plan as the snapshot",
    "new": "no snapshot yet",
    "different": "plan differs from the snapshot",
}


def render_cases(
    files: Sequence[FileResults], find_line: FindLine = no_line, *, updated: bool = False
) -> str:
    """Return a line for each case below its file, its faults, and a summary line.

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
        yield f"        expected diagnostic {slug} was not reported"
    for line in render_diagnostics(result.faults, find_line).split("\n") if result.faults else ():
        yield f"        {line}".rstrip()
    if result.snapshot_status == "new" and not updated:
        yield "        look at the plan, then write the snapshot with graphprune test --update"
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
            "snapshot written"
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
    """Return the results of the tests as one JSON document."""
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
