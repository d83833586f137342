"""Build prune actions from their checked shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphprune.rules.building.budgets import check_budget_of_groups
from graphprune.rules.building.patterns import fixes_sparsity, to_pattern
from graphprune.rules.building.prune_fields import (
    TARGETS,
    UNUSED,
    Fields,
    Given,
    Inheritance,
    PruneShape,
    fields_of,
    holds_zeros,
)
from graphprune.rules.building.schedules import ScheduleShape, build_schedule
from graphprune.rules.text.document import Notes, Path
from graphprune.rules.text.shape import keys_of
from graphprune.rules.values.rule_set import Budget, Prune
from graphprune.sparsity.patterns import UNSTRUCTURED, Channel, Pattern
from graphprune.sparsity.schedules import Schedule
from graphprune.suggestions import closest

_MISSING_HELP = {
    "sparsity": "add the share of zeros, such as 'sparsity: 90%', a 'budget' or a 'threshold'",
    "schedule": (
        "name one of 'schedules', or write it inline: {curve: polynomial, from: 0, begin: 0 epochs,"
        " end: 4 epochs, every: 100 steps}"
    ),
}


@dataclass(frozen=True, slots=True)
class ActionBuilder:
    """Builds the actions of rules.

    Attributes:
        schedules, budgets: The schedules and budgets of all files, by name.
        budget_names: The names of all budgets, including those with faults.
        inheritance: The fields that actions get from `like` and `defaults`.
        used: Names of the budgets that the actions built so far refer to.
    """

    schedules: Mapping[str, Schedule]
    budgets: Mapping[str, Budget]
    budget_names: frozenset[str]
    inheritance: Inheritance

    def prune(self, id: str, shape: PruneShape, notes: Notes, path: Path) -> Prune | None:
        """Return the action of rule `id` at `path`, or None after noting a fault."""
        subject = f"{notes.name('rule', id)}: "
        fields = self.inheritance.complete(id, fields_of(shape, notes, path, subject))
        if fields is None:
            return None
        if holds_zeros(fields):
            return _keep_zeros(fields)
        pattern, target, schedule = (
            self._pattern(fields),
            self._target(fields),
            self._schedule(fields),
        )
        is_known = not (
            self.inheritance.lost_defaults
            or notes.lacks(path, "like", "method")
            or notes.has_unknown(path, keys_of(PruneShape))
        )
        if is_known:
            _note_missing(fields, notes, path, subject, needs_target=target is None)
        if pattern is None or target is None or schedule is None:
            return None
        _check_way(schedule, target, fields)
        budget = target if isinstance(target, Budget) else None
        _check_group(pattern, budget, fields)
        sparsity = target.sparsity if isinstance(target, Budget) else target
        given = fields.get("pattern")
        place = None if given is None else given.notes.document.key(given.path)
        return Prune(
            sparsity=sparsity,
            schedule=schedule,
            pattern=pattern,
            weights=_value(fields, "weights", None),
            misfit=_value(fields, "misfit", "error"),
            budget=budget,
            group=_value(fields, "group", "none"),
            pattern_where=place,
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
        """Return the target share of zeros: a number, a budget, or the pattern's fixed share.

        None if a fault was noted, or if no field sets a target.
        """
        pattern = self._pattern(fields)
        sparsity, budget, threshold = (fields.get(name) for name in TARGETS)
        if pattern is not None and pattern.fixed_sparsity is not None:
            return _fixed_target(pattern, pattern.fixed_sparsity, sparsity, budget or threshold)
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
        if budget is not None:
            return self._budget(budget)
        return None if sparsity is None else float(sparsity.value)

    def _budget(self, given: Given) -> Budget | None:
        if given.value not in self.budget_names:
            help = partial(_names_help, given.value, self.budget_names)
            given.fault(
                "budget/unknown",
                f"budget must name a budget that is defined, got {given.value!r}",
                help,
            )
        return self.budgets.get(given.value)


def _keep_zeros(fields: Fields) -> Prune | None:
    """Return the action that holds the zeros that are there, or None after noting a fault."""
    wrong = [fields[name] for name in UNUSED if name in fields]
    for given in wrong:
        message = f"{given.path[-1]} cannot be combined with 'method: keep'"
        given.fault("value/range", message, "delete one of them; the zeros that are there are held")
    if wrong:
        return None
    method = fields["method"]
    budget = Budget.of_zeros(method.notes.document.key(method.path))
    weights = _value(fields, "weights", None)
    return Prune(0.0, Schedule(curve="step"), weights=weights, budget=budget, method="keep")


def _threshold_target(threshold: Given, pattern: Pattern | None) -> Budget | None:
    """Return the target that a threshold sets, or None after noting a fault."""
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


def _fixed_target(
    pattern: Pattern, fixed: float, sparsity: Given | None, budget: Given | None
) -> float | None:
    """Return the share of zeros that the pattern fixes.

    None, after noting a fault, if another field sets a different share.
    """
    form = pattern.short
    if budget is not None:
        key = budget.path[-1]
        budget.fault(
            "value/range",
            f"{key} cannot be combined with '{form}', which fixes the sparsity at {fixed:.6g}, got"
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
            message = f"threshold cannot be combined with {beside}, got {given.value:g}"
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


def _check_group(pattern: Pattern, budget: Budget | None, fields: Fields) -> None:
    """Note a fault if channels are to be grouped and the pattern or budget is another one."""
    is_grouped = _value(fields, "group", "none") != "none"
    if "budget" in fields and budget is not None:
        check_budget_of_groups(budget, fields, is_grouped=is_grouped)
    if not is_grouped or isinstance(pattern, Channel):
        return
    fields["group"].fault(
        "value/range",
        f"group: {fields['group'].value} couples channels, so it needs the pattern {{channel:"
        f" out}}, got '{pattern}'",
        "delete it, or write 'pattern: {channel: out}'",
    )


def _names_help(name: str, known: frozenset[str]) -> str:
    return closest(name, known) or (
        f"defined: {', '.join(sorted(known))}"
        if known
        else "none is defined; add it under 'budgets'"
    )


def _note_missing(
    fields: Fields, notes: Notes, path: Path, subject: str, *, needs_target: bool
) -> None:
    """Note the missing keys `sparsity` and `schedule` of an action."""
    needs_sparsity = (
        needs_target
        and not _is_targeted(fields)
        and not notes.lacks(path, "budget", "threshold", "pattern")
    )
    for name, is_needed in (("sparsity", needs_sparsity), ("schedule", True)):
        if is_needed and name not in fields:
            notes.fault(
                "key/missing",
                f"{subject}the key {name!r} is missing in prune",
                (*path, name),
                _MISSING_HELP[name],
            )


def _is_targeted(fields: Fields) -> bool:
    """Return whether a field other than `sparsity` sets how many weights become zero."""
    is_fixed = "pattern" in fields and fixes_sparsity(fields["pattern"].value)
    return is_fixed or "budget" in fields or "threshold" in fields


def _value(fields: Fields, name: str, otherwise: Any) -> Any:
    return fields[name].value if name in fields else otherwise
