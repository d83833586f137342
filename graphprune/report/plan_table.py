"""The table of a plan: one row a tensor, cut to the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.graph.layers import Tensor
from graphprune.plan.changes import (
    BudgetChange,
    HiddenLayer,
    LayerChange,
    Plan,
    TensorChange,
    kind_of,
)
from graphprune.plan.decision import changed_fields
from graphprune.report.numbers import format_count, format_share
from graphprune.report.tables import Line, fit_rows, join_blocks, mark_rows, name_left_out, to_lines
from graphprune.rules.values.rule_set import describe_losses

_ALLOCATIONS = {"erk": "ERK"}
_REBUILT = "  # mask is rebuilt"
Wishes = Mapping[tuple[str, str], str]
"""Why tensors stay dense that a rule claims, by (address, tensor name)."""


def pattern_text(change: LayerChange) -> str:
    """Return the pattern, with a note if the mask is rebuilt; empty if the layer is not pruned."""
    if change.after is None:
        return ""
    fields = () if change.before is None else changed_fields(change.before, change.after)
    text = change.after.describe_pattern(change.address)
    if "weights" in fields and not change.after.couplings:
        text += f", only {', '.join(change.after.weights)}"
    return text + (_REBUILT if kind_of(change) == "rewrap" else "")


def schedule_text(change: LayerChange) -> str:
    """Return the planned schedule, also in steps if they are known."""
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
    """Return the rule of a layer, the rules that it overrides, and the wish of a budget."""
    if change.rule is None:
        return "no rule"
    losses = describe_losses(change.rule.id, change.also_matched)
    notes = [*([losses] if losses else []), *_dense_notes(change, wishes)]
    return change.rule.id + (f" ({'; '.join(notes)})" if notes else "")


def _dense_notes(change: LayerChange, wishes: Wishes) -> list[str]:
    """Return why claimed tensors stay dense, with their names if there are several."""
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
    if budget.allocate == "keep":
        return "no weight is zero"
    if budget.allocate == "threshold":
        return f"no weight has {budget.name}"
    if wanted is None:
        return f"{budget.name} keeps all of its weights"
    return (
        f"{_ALLOCATIONS.get(budget.allocate, budget.allocate)} would keep {wanted:.0%} of its"
        " weights"
    )


SYMBOLS = {
    "wrap": "+",
    "unwrap": "-",
    "retarget": "~",
    "rewrap": "-/+",
    "keep": "=",
    "unclaimed": "?",
    "noop": ".",
}
_SYMBOL, _ADDRESS, _TYPE, _LABEL, _SIZE, _SPARSITY, _PATTERN, _SCHEDULE, _RULE = range(9)
_SHORTENED = (
    (_SCHEDULE, 12),
    (_LABEL, 14),
    (_RULE, 16),
    (_SCHEDULE, 0),
    (_LABEL, 0),
    (_PATTERN, 12),
    (_ADDRESS, 24),
    (_PATTERN, 0),
    (_ADDRESS, 12),
)
"""What is shortened on a narrow terminal, in turn: (column, least width); 0 leaves it out."""
_RIGHT, _GAPS = {_SIZE}, {_SPARSITY: 3, _RULE: 3}
_HEADINGS = {_LABEL: "weights", _PATTERN: "patterns", _SCHEDULE: "schedules"}


@dataclass(frozen=True, slots=True)
class _Cells:
    """One row; the sparsity before is apart, so that arrows stand below each other."""

    symbol: str
    address: str
    type: str
    label: str = ""
    size: str = ""
    before: str | None = None
    after: str = ""
    pattern: str = ""
    schedule: str = ""
    rule: str = ""

    def to_row(self, before_width: int) -> tuple[str, ...]:
        """Return the cells in the table's order."""
        sparsity = (
            self.after
            if self.before is None
            else f"{self.before:>{before_width}} -> {self.after}".removeprefix(
                " " * (not before_width)
            )
        )
        return (
            self.symbol,
            self.address,
            self.type,
            self.label,
            self.size,
            sparsity,
            self.pattern,
            self.schedule,
            self.rule,
        )


def table_lines(
    plan: Plan,
    changes: list[LayerChange],
    hidden: tuple[HiddenLayer, ...] = (),
    width: int | None = None,
) -> list[Line]:
    """Return the line of each tensor in graph order; the first line of a layer has its sign.

    Columns are shortened or left out to fit into `width`; nothing is cut without it.
    """
    rows = _table_rows(plan, changes, hidden)
    if width is None:
        return mark_rows(rows, _RIGHT, _GAPS)
    fitted = fit_rows(rows, width, _SHORTENED, (_ADDRESS, _TYPE), _align)
    note = to_lines(name_left_out(rows, fitted, _HEADINGS))
    return join_blocks([mark_rows(fitted, _RIGHT, _GAPS), note])


def _table_rows(
    plan: Plan, changes: list[LayerChange], hidden: tuple[HiddenLayer, ...]
) -> list[tuple[str, ...]]:
    wishes = budget_wishes(plan)
    cells = [
        row for change in _in_graph_order(plan, changes, hidden) for row in _rows(change, wishes)
    ]
    before_width = max((len(row.before) for row in cells if row.before is not None), default=0)
    return [row.to_row(before_width) for row in cells]


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [line.text for line in mark_rows(rows, _RIGHT, _GAPS)]


def _in_graph_order(
    plan: Plan, changes: list[LayerChange], hidden: tuple[HiddenLayer, ...]
) -> Iterator[LayerChange | HiddenLayer]:
    """Yield changes and hidden layers, each hidden layer at its position among all layers."""
    if not hidden:
        yield from changes
        return
    at = {layer.position: layer for layer in hidden}
    waiting = iter(changes)
    for position in range(plan.model.layers):
        entry = at[position] if position in at else next(waiting, None)
        if entry is not None:
            yield entry


def _rows(change: LayerChange | HiddenLayer, wishes: Wishes) -> Iterator[_Cells]:
    if isinstance(change, HiddenLayer):
        yield _Cells(" ", change.address, change.type)
        return
    kind = kind_of(change)
    pattern, schedule = pattern_text(change), schedule_text(change)
    first = _Cells(
        SYMBOLS[kind],
        change.address,
        change.type,
        pattern=pattern,
        schedule=schedule,
        rule=rule_text(change, wishes),
    )
    if not change.tensors:
        yield _with_tensor(first, None, change)
    for index, tensor in enumerate(change.tensors):
        yield _with_tensor(first if index == 0 else _Cells("", "", ""), tensor, change)


def _with_tensor(cells: _Cells, tensor: TensorChange | None, change: LayerChange) -> _Cells:
    """Return the row with what happens to one tensor of the layer."""
    label, size = "", ""
    if tensor is not None:
        axes = tensor.axes if len(tensor.axes) == len(tensor.shape) else ()
        label = Tensor(tensor.name, tensor.shape, axes=axes).label()
        size = format_count(tensor.size)
    before, after = _sparsity_cells(tensor, change)
    return _Cells(
        cells.symbol,
        cells.address,
        cells.type,
        label,
        size,
        before,
        after,
        cells.pattern,
        cells.schedule,
        cells.rule,
    )


def _sparsity_cells(tensor: TensorChange | None, change: LayerChange) -> tuple[str | None, str]:
    """Return the share of zeros before and after; before is None if one word is enough."""
    pruned = tensor is not None and tensor.zeros_after is not None
    was_pruned = change.before is not None and (
        tensor is None or tensor.name in change.before.weights
    )
    if not pruned and not was_pruned:
        return None, "dense"
    before = (
        ""
        if tensor is None or tensor.zeros_before is None
        else format_share(tensor.zeros_before / max(tensor.size, 1))
    )
    if tensor is None or tensor.zeros_after is None:
        return before, "dense"
    return before, format_share(tensor.zeros_after / max(tensor.size, 1))
