"""A plan as a page and as a drawing: the model with a mark on each layer."""

from __future__ import annotations

from dataclasses import replace

from graphprune.graph import LayerGraph
from graphprune.plan.changes import LayerChange, Plan, TensorChange, kind_of
from graphprune.plan.to_document import plan_to_config
from graphprune.report.drawing.graph_html import render_page
from graphprune.report.drawing.graph_svg import render_views
from graphprune.report.drawing.graph_view import view_graph
from graphprune.report.drawing.layer_marks import Facts, LayerMark, Marking
from graphprune.report.drawing.page_data import Drawing, Metrics
from graphprune.report.numbers import format_count, format_share
from graphprune.report.plan_table import (
    SYMBOLS,
    Wishes,
    budget_wishes,
    pattern_text,
    rule_text,
    schedule_text,
)
from graphprune.report.plan_text import LEGEND, plan_heads
from graphprune.sparsity.pruning import Pruning

_WORDS = {
    "wrap": "wrap",
    "unwrap": "unwrap",
    "retarget": "retarget",
    "rewrap": "rewrap",
    "keep": "kept dense",
    "unclaimed": "no rule",
    "noop": "as planned",
}


def mark_plan(plan: Plan) -> Marking:
    """Return the marks of all layers that the plan names, those that it leaves included."""
    kinds, wishes = {kind_of(change) for change in plan.changes}, budget_wishes(plan)
    return Marking(
        title="plan",
        lines=plan_heads(plan),
        marks={change.address: _mark(change, wishes) for change in plan.changes},
        legend=tuple(
            (symbol, kind, LEGEND.get(kind, kind))
            for kind, symbol in SYMBOLS.items()
            if kind in kinds
        ),
    )


def _mark(change: LayerChange, wishes: Wishes) -> LayerMark:
    kind = kind_of(change)
    size = sum(tensor.size for tensor in change.tensors)
    rule = change.rule.id if change.rule is not None else ""
    known = [tensor.zeros_before for tensor in change.tensors if tensor.zeros_before is not None]
    before = sum(known) / size if size and len(known) == len(change.tensors) else None
    return LayerMark(
        sign=SYMBOLS[kind],
        status=kind,
        text=_WORDS[kind] + (f" by {rule}" if rule else ""),
        before=before,
        after=_after(change, size) if change.is_change or kind == "noop" else before,
        facts=_facts(change, kind, wishes),
        tensors={tensor.name: _tensor_facts(tensor) for tensor in change.tensors},
    )


def _after(change: LayerChange, size: int) -> float | None:
    """Return the share of zeros in all prunable tensors after the plan."""
    zeros = [
        tensor.zeros_before if tensor.zeros_after is None else tensor.zeros_after
        for tensor in change.tensors
    ]
    known = [count for count in zeros if count is not None]
    return sum(known) / size if size and len(known) == len(zeros) else None


def _facts(change: LayerChange, kind: str, wishes: Wishes) -> Facts:
    action = " ".join(dict.fromkeys((kind, *change.actions)))
    facts = [
        ("Action", action),
        ("Reason", change.action_reason.replace("_", " ")),
        ("Rule", rule_text(change, wishes)),
    ]
    if change.rule is not None and change.rule.where.file:
        facts.append(("Place", f"{change.rule.where.file}:{change.rule.where.line}"))
    if change.before is not None:
        facts.append(
            (
                "Before",
                (
                    f"{change.before.describe_target(format_share)}"
                    f" {change.before.describe_pattern()},"
                    f" {change.before.schedule}"
                ),
            )
        )
    if change.after is not None:
        facts.append(
            (
                "After",
                (
                    f"{_target_text(change.tensors, change.after)} {pattern_text(change)},"
                    f" {schedule_text(change)}"
                ),
            )
        )
    return tuple(facts)


def _target_text(tensors: tuple[TensorChange, ...], pruning: Pruning) -> str:
    """Return the target sparsity of the tensors as in the table, or of the settings if unknown."""
    counts = {tensor.name: (tensor.zeros_after, tensor.size) for tensor in tensors}
    shares = {
        name: zeros / max(size, 1) for name, (zeros, size) in counts.items() if zeros is not None
    }
    if not set(pruning.weights) <= set(shares):
        return pruning.describe_target(format_share)
    return replace(pruning, shares=tuple(shares[name] for name in pruning.weights)).describe_target(
        format_share
    )


def _tensor_facts(tensor: TensorChange) -> Facts:
    facts = [
        (name, count)
        for name, count in (
            ("zeros before", tensor.zeros_before),
            ("zeros after", tensor.zeros_after),
        )
        if count is not None
    ]
    return tuple(
        (name, f"{format_count(count)} ({format_share(count / max(tensor.size, 1))})")
        for name, count in facts
    )


def render_plan_html(graph: LayerGraph, plan: Plan, metrics: Metrics | None = None) -> str:
    """Return the page of a plan: its model, with each layer marked with its action.

    The script tag `report` has the plan's JSON.

    Args:
        graph: The model.
        plan: What would change in it.
        metrics: What the values of each tensor say, by (address, tensor name), for the panels.
    """
    marking = mark_plan(plan)
    return render_page(
        Drawing(graph, view_graph(graph, marks=marking.marks), metrics, marking),
        plan_to_config(plan),
    )


def render_plan_svg(graph: LayerGraph, plan: Plan) -> str:
    """Return the drawing of a plan: its model, with each layer marked with its action."""
    marking = mark_plan(plan)
    return render_views(view_graph(graph, marks=marking.marks), marking)
