"""What the cells of a plan's table say of one layer: pattern, schedule and rule."""

from __future__ import annotations

from collections.abc import Mapping

from graphprune.plan.changes import BudgetChange, LayerChange, Plan, kind_of
from graphprune.plan.decision import changed_fields
from graphprune.rules.values.losses import describe_losses

_ALLOCATIONS = {"erk": "ERK"}
_REBUILT = "  # mask is rebuilt"
Wishes = Mapping[tuple[str, str], str]
"""Why tensors stay dense that a rule claims, by (address, tensor name)."""


def pattern_text(change: LayerChange) -> str:
    """Return how zeros will be laid out, and what of it makes a new mask; empty where the layer
    will not be pruned.
    """
    if change.after is None:
        return ""
    fields = () if change.before is None else changed_fields(change.before, change.after)
    text = str(change.after.pattern)
    if "weights" in fields:
        text += f", only {', '.join(change.after.weights)}"
    return text + (_REBUILT if kind_of(change) == "rewrap" else "")


def schedule_text(change: LayerChange) -> str:
    """Return the schedule to come, in steps too where they are known."""
    if change.after is None:
        return ""
    schedule, steps = change.after.schedule, dict(change.known_steps)
    places = [
        (steps.get(name), place)
        for name, place in (("begin", schedule.begin), ("end", schedule.end))
        if place is not None
    ]
    known = [
        step if step is not None else round(place.value)
        for step, place in places
        if step is not None or place.unit == "step"
    ]
    if not steps or len(known) < len(places):
        return str(schedule)
    return f"{schedule} (step{'s' if len(known) > 1 else ''} {'..'.join(map(str, known))})"


def rule_text(change: LayerChange, wishes: Wishes) -> str:
    """Return the rule that decides, those that lost to it, and what a budget wished."""
    if change.rule is None:
        return "no rule"
    losses = describe_losses(change.rule.id, change.also_matched)
    notes = [*([losses] if losses else []), *_dense_notes(change, wishes)]
    return change.rule.id + (f" ({'; '.join(notes)})" if notes else "")


def _dense_notes(change: LayerChange, wishes: Wishes) -> list[str]:
    """Return why claimed tensors stay dense; with a name where the layer has others."""
    reasons = {name: reason for name, reason in change.skipped}
    for tensor in change.tensors:
        if (change.address, tensor.name) in wishes:
            reasons[tensor.name] = wishes[change.address, tensor.name]
    return [
        f"{name}: {reason}" if len(change.tensors) > 1 else reason
        for name, reason in reasons.items()
    ]


def budget_wishes(plan: Plan) -> Wishes:
    """Return why budgets leave tensors dense, by (address, tensor name)."""
    return {
        (dense.address, dense.tensor): _dense_reason(budget, dense.wanted)
        for budget in plan.budgets
        for dense in budget.dense
    }


def _dense_reason(budget: BudgetChange, wanted: float | None) -> str:
    if budget.allocate == "threshold":
        return f"no weight has {budget.name}"
    if wanted is None:
        return f"{budget.name} keeps all of its weights"
    return (
        f"{_ALLOCATIONS.get(budget.allocate, budget.allocate)} would keep {wanted:.0%} of its"
        " weights"
    )
