"""A plan as text. Its last two lines are an interface; scripts should read the JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.graph.layers import Tensor
from graphprune.graph.out_of_reach import describe_out_of_reach
from graphprune.plan.changes import (
    BudgetChange,
    Drift,
    HiddenLayer,
    LayerChange,
    Plan,
    TensorChange,
)
from graphprune.plan.decision import changed_fields
from graphprune.plan.summary import kind_of, summarize
from graphprune.report.numbers import count_of, format_count, format_share
from graphprune.report.tables import align_rows, escape_controls, fit_rows, name_left_out
from graphprune.rules.values.losses import describe_losses
from graphprune.rules.values.rule_set import NO_SWITCHES
from graphprune.sparsity.counts import percent

SYMBOLS = {
    "wrap": "+",
    "unwrap": "-",
    "retarget": "~",
    "rewrap": "-/+",
    "keep": "=",
    "unclaimed": "?",
    "noop": ".",
}
LEGEND = {"keep": "keep dense", "noop": "as planned"}
_ALLOCATIONS = {"erk": "ERK"}
_REBUILT = "  # mask is rebuilt"
Wishes = Mapping[tuple[str, str], str]
"""Why tensors stay dense that a rule claims, by (address, tensor name)."""
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
"""What gives way on a narrow terminal, in turn: (column, how narrow it may become); 0 leaves it
out.
"""
_HEADINGS = {_LABEL: "weights", _PATTERN: "patterns", _SCHEDULE: "schedules"}


def render_plan_text(
    plan: Plan, *, show_all: bool = False, brief: bool = False, width: int | None = None
) -> str:
    """Return `plan` as aligned text; its last line ends with a line break.

    Args:
        plan: What to show.
        show_all: Also show layers without prunable weights, and those that are already as planned.
        brief: Only the two summary lines.
        width: Columns of the terminal; the table is cut to fit. Nothing is shortened without it.
    """
    end = _end(plan)
    drift = [] if brief else list(_drift_blocks(plan))
    if brief or (plan.is_empty and not show_all):
        return "\n\n".join([*drift, *([] if brief else held_lines(plan)), end]) + "\n"
    shown = [change for change in plan.changes if show_all or kind_of(change) != "noop"]
    hidden = "" if show_all else _hidden_line(plan)
    blocks = [
        *drift,
        _header(plan),
        _legend(shown),
        _table(plan, shown, plan.hidden if show_all else (), width),
        _budget_lines(plan),
        hidden,
        *held_lines(plan),
        end,
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def plan_heads(plan: Plan) -> tuple[str, ...]:
    """Return what stands above and below the table, one text a line, drift first."""
    drift = [line for block in _drift_blocks(plan) for line in block.splitlines()]
    held = [line for block in held_lines(plan) for line in block.splitlines()]
    return (*drift, *_header(plan).splitlines(), *held, *_end(plan).splitlines())


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


def _legend(changes: list[LayerChange]) -> str:
    kinds = {kind_of(change) for change in changes}
    return (
        "  "
        + "   ".join(
            f"{symbol} {LEGEND.get(kind, kind)}"
            for kind, symbol in SYMBOLS.items()
            if kind in kinds
        )
        if kinds
        else ""
    )


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


def held_lines(plan: Plan) -> list[str]:
    """Return a paragraph on the layers whose weights no rule can reach, with the reasons; none
    where there are no such layers.
    """
    lines = [escape_controls(line) for line in describe_out_of_reach(plan.out_of_reach)]
    return ["\n".join(lines)] if lines else []


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


def _table(
    plan: Plan, changes: list[LayerChange], hidden: tuple[HiddenLayer, ...], width: int | None
) -> str:
    rows = _table_rows(plan, changes, hidden)
    fitted = rows if width is None else fit_rows(rows, width, _SHORTENED, (_ADDRESS, _TYPE), _align)
    note = name_left_out(rows, fitted, _HEADINGS)
    return "\n".join([*_align(fitted), *(["", note] if note else [])])


def table_lines(
    plan: Plan, changes: list[LayerChange], hidden: tuple[HiddenLayer, ...] = ()
) -> list[tuple[str, str]]:
    """Return the symbol and the line of each tensor, in the order of the graph; only a layer's
    first line has a symbol.
    """
    rows = _table_rows(plan, changes, hidden)
    return [(row[_SYMBOL], line) for row, line in zip(rows, _align(rows), strict=True)]


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
    return align_rows(rows, right={_SIZE}, gaps={_ADDRESS: 1, _SPARSITY: 3, _RULE: 3}, indent="  ")


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
    label = (
        ""
        if tensor is None
        else Tensor(
            tensor.name,
            tensor.shape,
            axes=tensor.axes if len(tensor.axes) == len(tensor.shape) else (),
        ).label()
    )
    size = "" if tensor is None else format_count(tensor.size)
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
    """Return the share of zeros before and after; before is None where one word says all."""
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
    """Return why tensors that the rule claims stay dense; with a name where the layer has others."""
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


def _budget_lines(plan: Plan) -> str:
    """Return one line a budget: how it shares out what, and what it comes to."""
    return "\n".join(
        f"  {_budget_head(budget)}: {format_count(budget.zeros)} zeros of"
        f" {format_count(budget.weights)}{_scale(budget)};"
        f" {budget.zeros / max(1, plan.model.prunable_weights):.2%} of prunable"
        for budget in plan.budgets
    )


def _budget_head(budget: BudgetChange) -> str:
    if budget.allocate == "threshold":
        return f"threshold {escape_controls(budget.name)}"
    return (
        f"budget {escape_controls(budget.name)}   {budget.allocate}, {percent(budget.sparsity)}"
        f" over {budget.over}"
    )


def _scale(budget: BudgetChange) -> str:
    name = {"erk": "eps", "magnitude": "threshold"}.get(budget.allocate)
    return "" if name is None or budget.scale is None else f" ({name} {round(budget.scale, 4):g})"


def _drift_blocks(plan: Plan) -> Iterator[str]:
    """Yield one note a rule, with a line for each tensor that has moved."""
    for rule in dict.fromkeys(drift.rule for drift in plan.drift):
        rows = [
            ("!", drift.address, drift.tensor, _drift_text(drift))
            for drift in plan.drift
            if drift.rule == rule
        ]
        named = f"rule {escape_controls(rule)}" if rule else "pruning"
        yield "\n".join(
            [
                f"Note: the model has moved since {named} was applied",
                *align_rows(rows, gaps={1: 1}, indent="  "),
            ]
        )


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
