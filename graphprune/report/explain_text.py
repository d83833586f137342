"""Explanations of layers and rules as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphprune.diagnostics.diagnostic import Where
from graphprune.diagnostics.terminal_text import escape_controls
from graphprune.report.numbers import format_count
from graphprune.report.tables import align_rows
from graphprune.rules.resolving.explain import (
    LayerExplanation,
    RuleExplanation,
    RuleVerdict,
    Verdict,
)

SHOWN = 12


def render_explanation(found: LayerExplanation | RuleExplanation, *, show_all: bool = False) -> str:
    """Return the verdict of every rule on a layer, or what one rule selects; `show_all` lists every
    selected layer.
    """
    return (
        _render_rule(found, show_all=show_all)
        if isinstance(found, RuleExplanation)
        else _render_layer(found)
    )


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
    return "\n\n".join([*blocks, f"  result: {escape_controls(found.result)}"]) + "\n"


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
    return "\n".join(map(escape_controls, lines)) + "\n"


def _listed(names: Sequence[str], *, show_all: bool) -> str:
    shown = names if show_all else names[:SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more (--all lists them)" if more else "")


def _place(where: Where) -> str:
    return where.file if where.line is None else f"{where.file}:{where.line}"
