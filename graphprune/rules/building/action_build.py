"""Checked shapes to schedules, budgets and actions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphprune.errors import Diagnostic
from graphprune.rules.building.inherit import Fields, Given, Inheritance, fields_of
from graphprune.rules.shapes.action_shape import TARGETS, BudgetShape, PruneShape, ScheduleShape
from graphprune.rules.shapes.pattern_shape import KeepOfShape, to_pattern
from graphprune.rules.shapes.position_text import parse_place
from graphprune.rules.shapes.scalars import Fault
from graphprune.rules.shapes.shape import keys_of
from graphprune.rules.text.notes import Notes
from graphprune.rules.text.yaml_text import Path
from graphprune.rules.values.rule_set import Budget, Prune
from graphprune.sparsity.patterns import UNSTRUCTURED, KeepOf, Pattern
from graphprune.sparsity.positions import Position
from graphprune.sparsity.schedules import START, Schedule, find_schedule_faults
from graphprune.suggestions import closest

_CURVES_WITH = {
    "from": ("linear", "polynomial", "exponential"),
    "power": ("polynomial",),
    "points": ("points",),
}
_CURVES_WITHOUT = {"begin": ("points",), "end": ("points",)}
_NO_MEANING_HELP = {
    "from": "only linear, polynomial and exponential schedules rise gradually; delete it",
    "power": "only polynomial schedules have one; delete it",
    "points": "write 'curve: points', or delete them",
    "begin": "its points say when it begins; delete it",
    "end": "its points say when it ends; delete it",
}
# By a part of what is wrong with a schedule: the way out.
_SCHEDULE_HELP = {
    "needs an end": "add it, such as 'end: 4 epochs'",
    "needs points": "add them, such as 'points: {4 epochs: 50%, 8 epochs: 80%}'",
    "comes before begin": "let it end after it begins",
    "every must be above 0": "write for example 'every: 100 steps'",
    "one after the other": "list them in the order of the run",
    "must not fall": "masks only grow; raise the later share, or lower the earlier one",
}
_MISSING_HELP = {
    "sparsity": "add the share of zeros, such as 'sparsity: 90%', a 'budget' or a 'threshold'",
    "schedule": (
        "name one of 'schedules', or write it inline: {curve: polynomial, from: 0, begin: 0 epochs,"
        " end: 4 epochs, every: 100 steps}"
    ),
}


@dataclass(frozen=True, slots=True)
class ActionBuilder:
    """Builds what rules do.

    Attributes:
        schedules, budgets: Those of all files, by name.
        budget_names: The names of all budgets, of those with faults too.
        inheritance: What the actions of all files take over from one another.
        used: Names of the budgets that the actions built so far name.
    """

    schedules: Mapping[str, Schedule]
    budgets: Mapping[str, Budget]
    budget_names: frozenset[str]
    inheritance: Inheritance

    def prune(self, id: str, shape: PruneShape, notes: Notes, path: Path) -> Prune | None:
        """Return the action of rule `id`, which stands at `path`, or None with a fault."""
        fields = self.inheritance.complete(id, fields_of(shape, notes, path, f"rule {id!r}: "))
        if fields is None:
            return None
        pattern, target, schedule = (
            self._pattern(fields),
            self._target(fields),
            self._schedule(fields),
        )
        is_known = not (
            self.inheritance.lost_defaults
            or notes.lacks(path, "like")
            or notes.has_unknown(path, keys_of(PruneShape))
        )
        missing = (
            [name for name in ("sparsity", "schedule") if name not in fields] if is_known else []
        )
        for name in missing:
            if name == "schedule" or (
                target is None
                and not _is_targeted(fields)
                and not notes.lacks(path, "budget", "threshold", "pattern")
            ):
                notes.fault(
                    "key/missing",
                    f"rule {id!r}: the key {name!r} is missing in prune",
                    (*path, name),
                    _MISSING_HELP[name],
                )
        if pattern is None or target is None or schedule is None:
            return None
        _check_way(schedule, target, fields)
        return Prune(
            sparsity=target.sparsity if isinstance(target, Budget) else target,
            schedule=schedule,
            pattern=pattern,
            weights=_value(fields, "weights", None),
            misfit=_value(fields, "misfit", "error"),
            budget=target if isinstance(target, Budget) else None,
            pattern_where=(
                fields["pattern"].notes.document.key(fields["pattern"].path)
                if "pattern" in fields
                else None
            ),
        )

    def _pattern(self, fields: Fields) -> Pattern | None:
        given = fields.get("pattern")
        if given is None:
            return UNSTRUCTURED
        try:
            return to_pattern(given.value)
        except ValueError as err:
            given.fault(
                "value/range",
                str(err),
                "a group keeps fewer weights than it has, such as {keep: 2, of: 4, along: in}",
            )
            return None

    def _schedule(self, fields: Fields) -> Schedule | None:
        given = fields.get("schedule")
        if given is None:
            return None
        if isinstance(given.value, ScheduleShape):
            return build_schedule(given.value, given.notes, given.path, None, given.subject)
        return self.schedules.get(given.value)

    def _target(self, fields: Fields) -> float | Budget | None:
        """Return what sets the share of zeros: a number, a budget, or a pattern that fixes it; None
        with a fault, or where nothing does.
        """
        pattern = self._pattern(fields)
        sparsity, budget, threshold = (fields.get(name) for name in TARGETS)
        if isinstance(pattern, KeepOf):
            return _fixed_target(pattern, sparsity, budget or threshold)
        given = [name for name in TARGETS if name in fields]
        if len(given) > 1:
            second, known = (
                fields[given[-1]],
                (
                    "'sparsity', 'budget' and 'threshold'"
                    if threshold is not None
                    else "'sparsity' and 'budget'"
                ),
            )
            second.fault(
                "value/range",
                f"must have exactly one of {known}, got {second.value!r} beside a {given[0]}",
                "delete one of them",
            )
            return None
        if threshold is not None:
            return _threshold_target(threshold, pattern)
        return (
            self._budget(budget)
            if budget is not None
            else None
            if sparsity is None
            else float(sparsity.value)
        )

    def _budget(self, given: Given) -> Budget | None:
        if given.value not in self.budget_names:
            help = partial(_names_help, given.value, self.budget_names)
            given.fault(
                "budget/unknown",
                f"budget must name a budget that is defined, got {given.value!r}",
                help,
            )
        return self.budgets.get(given.value)


def build_schedule(
    shape: ScheduleShape, notes: Notes, path: Path, name: str | None, subject: str
) -> Schedule | None:
    """Return the schedule at `path`, or None with a fault."""
    before = len(notes.faults)
    points = _points(shape, notes, path, subject)
    places: dict[str, Any] = {
        key: shape.given(key) for key in ("begin", "end", "every") if shape.given(key) is not None
    }
    given = {
        "begin": START,
        "end": None,
        "every": None,
        "initial": shape.initial,
        "power": shape.power,
        "points": points,
    } | places
    if notes.lacks(path, "curve"):
        given["points"] = ()  # nobody knows whether it has points
    untold = ["points"] if len(notes.faults) > before else []
    meaningless = [] if notes.lacks(path, "curve") else _meaningless(shape)
    faults: list[tuple[str, str, str | None]] = [
        (key, f"{key} has no meaning for the curve {shape.curve}", _NO_MEANING_HELP[key])
        for key in meaningless
    ]
    faults += [
        (key, text, _schedule_help(text))
        for key, text in find_schedule_faults(shape.curve, **given)
        if key not in (*meaningless, *untold)
    ]
    for key, text, help in faults:
        notes.fault("value/range", f"{subject}{text}", (*path, key), help)
    return (
        None
        if faults or len(notes.faults) > before
        else Schedule(curve=shape.curve, name=name, **given)
    )


def _schedule_help(fault: str) -> str | None:
    return next((help for part, help in _SCHEDULE_HELP.items() if part in fault), None)


def build_budget(
    shape: BudgetShape, notes: Notes, path: Path, name: str, subject: str
) -> Budget | None:
    """Return the budget at `path`, or None with a fault."""
    minimum, maximum = shape.given("minimum"), shape.given("maximum")
    if minimum is not None and maximum is not None and minimum > maximum:
        message = f"{subject}min must be at most max, got {minimum:.10g} and {maximum:.10g}"
        notes.fault("value/range", message, (*path, "min"), "lower 'min', or raise 'max'")
        return None
    return Budget(
        name, shape.sparsity, shape.allocate, shape.over, minimum, maximum, notes.document.key(path)
    )


def _meaningless(shape: ScheduleShape) -> list[str]:
    """Return the keys that the schedule gives although its curve has no use for them."""
    given = {"from" if name == "initial" else name for name in shape.model_fields_set}
    without = [
        key for key, curves in _CURVES_WITH.items() if key in given and shape.curve not in curves
    ]
    return without + [
        key for key, curves in _CURVES_WITHOUT.items() if key in given and shape.curve in curves
    ]


def _points(
    shape: ScheduleShape, notes: Notes, path: Path, subject: str
) -> tuple[tuple[Position, float], ...]:
    points = []
    for key, share in (shape.given("points") or {}).items():
        try:
            points.append((parse_place(key), share))
        except Fault as fault:
            message = f"{subject}a point {fault.expectation}, got {key!r}"
            notes.faults.append(
                Diagnostic(
                    fault.slug, message, notes.document.key((*path, "points", key)), fault.help
                )
            )
    return tuple(points)


def _threshold_target(threshold: Given, pattern: Pattern | None) -> Budget | None:
    """Return what a threshold stands for; None with a fault where the pattern has no use for it."""
    if pattern is not None and pattern != UNSTRUCTURED:
        message = (
            "threshold looks at single weights, so it takes only the pattern 'unstructured', got"
            f" '{pattern}'"
        )
        threshold.fault(
            "value/range",
            message,
            "delete the pattern, or give a 'sparsity' in place of the threshold",
        )
        return None
    return Budget.of_threshold(threshold.value, threshold.notes.document.key(threshold.path))


def _fixed_target(pattern: KeepOf, sparsity: Given | None, budget: Given | None) -> float | None:
    """Return the share of zeros that the pattern fixes; None with a fault where something else asks
    for another.
    """
    fixed = (pattern.of - pattern.keep) / pattern.of
    form = f"keep {pattern.keep} of {pattern.of}"
    if budget is not None:
        key = budget.path[-1]
        budget.fault(
            "value/range",
            f"{key} cannot stand beside '{form}', which fixes the sparsity at {fixed:.6g}, got"
            f" {budget.value!r}",
            "delete one of them",
        )
        return None
    if sparsity is not None and not math.isclose(
        float(sparsity.value), fixed, rel_tol=0, abs_tol=1e-9
    ):
        sparsity.fault(
            "value/range",
            f"sparsity must be {fixed:.6g}, which '{form}' fixes, got {sparsity.value:.10g}",
            "delete it",
        )
        return None
    return fixed


def _check_way(schedule: Schedule, target: float | Budget, fields: Fields) -> None:
    if isinstance(target, Budget) and target.threshold is not None:
        if schedule.points:
            given, beside = (
                fields["threshold"],
                "a schedule of points, whose last point is a share of zeros",
            )
            message = f"threshold cannot stand beside {beside}, got {given.value:g}"
            given.fault(
                "value/range",
                message,
                "give a 'sparsity' in place of the threshold, or another curve",
            )
        return  # only a model's weights turn it into a share
    share = target.sparsity if isinstance(target, Budget) else target
    if schedule.is_ramp and schedule.initial > share:
        given = fields.get("sparsity") or fields.get("budget") or fields["pattern"]
        text = (
            f"sparsity {share:.10g} is below the {schedule.initial:.10g} that its schedule begins"
            " from"
        )
        given.fault(
            "value/range",
            text,
            "sparsity never falls; lower 'from' of the schedule, or raise the sparsity",
        )
    if schedule.points and not math.isclose(
        schedule.points[-1][1],
        share,
        rel_tol=0,
        abs_tol=1e-9 if "sparsity" in fields or "budget" in fields else 1e-3,
    ):
        given = fields.get("sparsity") or fields.get("budget") or fields["pattern"]
        message = (
            f"sparsity must be {schedule.points[-1][1]:.10g}, which the last point of its schedule"
            f" reaches, got {share:.10g}"
        )
        given.fault(
            "value/range", message, "change one of the two, so that the schedule ends at the target"
        )


def _names_help(name: str, known: frozenset[str]) -> str:
    return closest(name, known) or (
        f"defined: {', '.join(sorted(known))}"
        if known
        else "none is defined; add it under 'budgets'"
    )


def _is_targeted(fields: Fields) -> bool:
    """Return whether something other than a sparsity says how many weights become zero."""
    is_fixed = "pattern" in fields and isinstance(fields["pattern"].value, KeepOfShape)
    return is_fixed or "budget" in fields or "threshold" in fields


def _value(fields: Fields, name: str, otherwise: Any) -> Any:
    return fields[name].value if name in fields else otherwise
