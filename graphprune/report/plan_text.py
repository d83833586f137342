"""A plan as text.

The last two lines of a plan are an interface; scripts should read the JSON.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphprune.diagnostics.terminal_text import Paint, escape_controls, plain
from graphprune.graph.inner_layers import describe_connections
from graphprune.graph.out_of_reach import describe_out_of_reach
from graphprune.plan.changes import BudgetChange, Drift, LayerChange, Plan, kind_of, summarize
from graphprune.report.numbers import count_of, format_count, format_share
from graphprune.report.plan_table import SYMBOLS, table_lines
from graphprune.report.shrink_text import render_outlook
from graphprune.report.tables import (
    Line,
    align_rows,
    join_blocks,
    mark_rows,
    render_lines,
    to_lines,
)
from graphprune.rules.values.rule_set import NO_SWITCHES, OF
from graphprune.sparsity.counts import percent

LEGEND = {"keep": "keep dense", "noop": "as planned"}


def render_plan_text(
    plan: Plan,
    *,
    show_all: bool = False,
    brief: bool = False,
    width: int | None = None,
    paint: Paint = plain,
) -> str:
    """Return `plan` as aligned text.

    Args:
        plan: What to show.
        show_all: Also show layers without prunable weights, and those that are already as planned.
        brief: Only the two summary lines.
        width: Columns of the terminal; the table is cut to fit. Nothing is shortened without it.
        paint: Adds colour.
    """
    blocks = [to_lines(_end(plan))]
    if not brief:
        blocks = [*_drift_blocks(plan), *_body(plan, show_all, width), *blocks]
    return render_lines(join_blocks(blocks), width, paint)


def _body(plan: Plan, show_all: bool, width: int | None) -> list[list[Line]]:
    """Return the blocks between drift and summary."""
    held = to_lines(held_text(plan))
    if plan.is_empty and not show_all:
        return [held]
    shown = [change for change in plan.changes if show_all or kind_of(change) != "noop"]
    hidden = "" if show_all else _hidden_line(plan)
    return [
        to_lines(_header(plan)),
        _legend(shown),
        table_lines(plan, shown, plan.hidden if show_all else (), width),
        to_lines(_budget_lines(plan)),
        to_lines(_outlook(plan)),
        to_lines(hidden),
        held,
    ]


def plan_heads(plan: Plan) -> tuple[str, ...]:
    """Return the lines above and below the table, drift first."""
    drift = [line.text for block in _drift_blocks(plan) for line in block]
    texts = (_header(plan), held_text(plan), _end(plan))
    return (*drift, *(line for text in texts for line in text.splitlines()))


def _end(plan: Plan) -> str:
    return (
        f"No changes. The model already follows {_rule_files(plan)}."
        if plan.is_empty
        else _summary_lines(plan)
    )


def _rule_files(plan: Plan) -> str:
    return escape_controls(", ".join(path for path, _ in plan.rules)) or "the rules"


def _header(plan: Plan) -> str:
    model = plan.model
    facts = [count_of(model.layers, "layer")]
    if model.prunable_tensors is not None:
        facts.append(count_of(model.prunable_tensors, "prunable tensor"))
    facts.append(
        f"{format_count(model.prunable_weights)} prunable of"
        f" {count_of(model.parameters, 'parameter')}"
    )
    rules = "" if plan.rule_count is None else count_of(plan.rule_count, "rule")
    lines = align_rows(
        [
            ("model", model.path, ", ".join(facts)),
            ("rules", ", ".join(path for path, _ in plan.rules), rules),
        ],
        gaps={2: 3},
    )
    return "\n".join(
        [
            *lines,
            *(
                [f"with   {escape_controls(str(plan.switches))}"]
                if plan.switches != NO_SWITCHES
                else []
            ),
        ]
    )


def _legend(changes: list[LayerChange]) -> list[Line]:
    """Return the line that says what each sign in use means."""
    kinds = {kind_of(change) for change in changes}
    text = " "
    parts: list[tuple[int, int, str]] = []
    for kind, sign in SYMBOLS.items():
        if kind in kinds:
            start = len(text) + (3 if parts else 1)
            text = f"{text:<{start}}{sign} {LEGEND.get(kind, kind)}"
            parts.append((start, len(text), sign))
    return [Line(text, tuple(parts))] if parts else []


def _hidden_line(plan: Plan) -> str:
    """Return the line that counts what is not shown, or nothing."""
    followed = sum(kind_of(change) == "noop" for change in plan.changes)
    parts = (
        [f"{count_of(plan.model.hidden_layers, 'layer')} without prunable weights"]
        if plan.model.hidden_layers
        else []
    )
    if followed:
        parts.append(
            f"{format_count(followed) if parts else count_of(followed, 'layer')} already as planned"
        )
    shows = "it" if plan.model.hidden_layers + followed == 1 else "them"
    return f"{' and '.join(parts)} hidden (--all shows {shows})." if parts else ""


def held_text(plan: Plan) -> str:
    """Return which layers have weights that no rule can reach, and why; empty without any."""
    connections = "" if plan.graph is None else describe_connections(plan.graph)
    lines = [*([connections] if connections else []), *describe_out_of_reach(plan.out_of_reach)]
    return "\n".join(map(escape_controls, lines))


def _summary_lines(plan: Plan) -> str:
    summary = summarize(plan)
    counts = {kind: format_count(count) for kind, count in summary.counts}
    changes = ", ".join(
        f"{counts[kind]} to {kind}" for kind in ("wrap", "retarget", "rewrap", "unwrap")
    )
    shares = {
        "claimed": summary.claimed,
        "prunable": summary.prunable,
        "all parameters": summary.parameters,
    }
    listed = ", ".join(
        f"{format_share(summary.share_of(whole))} of {name}" for name, whole in shares.items()
    )
    return (
        f"Plan: {changes}; {counts['keep']} kept dense, {counts['unclaimed']} unclaimed.\nZeros"
        f" when finished: {format_count(summary.zeros_after)} = {listed}."
    )


def _outlook(plan: Plan) -> str:
    """Return what `shrink` will bring, or nothing."""
    outlook = plan.outlook
    return "" if outlook is None else render_outlook(outlook)


def _budget_lines(plan: Plan) -> str:
    """Return one line a budget: its allocation and its zeros."""
    return "\n".join(
        f"  {_budget_head(budget)}: {_reached(budget, plan.model.prunable_weights)}"
        for budget in plan.budgets
    )


_COUNTED = {
    "channels": "channels",
    "bytes": "bytes",
    "params": "parameters",
    "macs": "multiply-adds",
}
"""What budgets count, in words; those of weights count zeros."""


def _reached(budget: BudgetChange, prunable: int) -> str:
    """Return how many weights become zero, or what goes with dead channels."""
    zeros, whole = format_count(budget.zeros), format_count(budget.weights)
    if budget.counts == "weights":
        share = f"{budget.zeros / max(1, prunable):.2%} of prunable"
        return f"{zeros} zeros of {whole}{_scale(budget)}; {share}"
    share = f"{budget.zeros / max(1, budget.weights):.2%}"
    return f"{zeros} of {whole} {_COUNTED[budget.counts]}{_scale(budget)}; {share}"


def _budget_head(budget: BudgetChange) -> str:
    if budget.allocate == "keep":
        return f"method keep, {escape_controls(budget.name)}"
    if budget.allocate == "threshold":
        return f"threshold {escape_controls(budget.name)}"
    return (
        f"budget {escape_controls(budget.name)}   {budget.allocate}, {percent(budget.sparsity)}"
        f"{OF.get(budget.counts, '')} over {budget.over}"
    )


def _scale(budget: BudgetChange) -> str:
    name = {"erk": "eps", "magnitude": "threshold"}.get(budget.allocate)
    return "" if name is None or budget.scale is None else f" ({name} {round(budget.scale, 4):g})"


def _drift_blocks(plan: Plan) -> Iterator[list[Line]]:
    """Yield one note a rule, with a line for each tensor that differs."""
    for rule in dict.fromkeys(drift.rule for drift in plan.drift):
        rows = [
            ("!", drift.address, drift.tensor, _drift_text(drift))
            for drift in plan.drift
            if drift.rule == rule
        ]
        named = f"rule {escape_controls(rule)}" if rule else "pruning"
        yield [Line(f"Note: the model has changed since {named} was applied"), *mark_rows(rows)]


def _drift_text(drift: Drift) -> str:
    if drift.target is None or drift.measured is None:
        return (
            f"{format_count(drift.under_mask)} non-zero"
            f" weight{'' if drift.under_mask == 1 else 's'} under the mask"
        )
    return (
        f"target {format_share(drift.target)} at step {drift.step}, measured"
        f" {format_share(drift.measured)}"
    )
