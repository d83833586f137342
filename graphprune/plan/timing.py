"""Apply the length of a run to schedules: known steps, unknown steps, targets out of reach."""

from __future__ import annotations

from graphprune.diagnostics.diagnostic import Diagnostic, Where, sort_by_place
from graphprune.errors import RuleError
from graphprune.plan.changes import Plan
from graphprune.rules.values.rule_set import Prune, Rule
from graphprune.sparsity.counts import percent
from graphprune.sparsity.positions import Position, Run
from graphprune.sparsity.schedules import Schedule


def known_steps(schedule: Schedule, run: Run) -> tuple[tuple[str, int], ...]:
    """Return (field, optimizer step) of each position in epochs or percent that `run` determines.

    Example:
        >>> ramp = Schedule(
        ...     begin=Position(1, "epoch"), end=Position(4, "epoch"), every=Position(100, "step")
        ... )
        >>> known_steps(ramp, Run(steps_per_epoch=50)), known_steps(ramp, Run())
        ((('begin', 50), ('end', 200)), ())
    """
    steps = ((name, place.to_step(run)) for name, place in _relative_places(schedule))
    return tuple((name, step) for name, step in steps if step is not None)


def unknown_steps(schedule: Schedule, run: Run) -> tuple[str, ...]:
    """Return the dotted fields of a plan whose optimizer step `run` does not determine.

    A beginning at 0 needs no run.

    Example:
        >>> unknown_steps(Schedule(begin=Position(0, "epoch"), end=Position(4, "epoch")), Run())
        ('schedule.end.step',)
    """
    inner = [(f"points[{index}]", place) for index, (place, _) in enumerate(schedule.points)][1:-1]
    places = [
        *_relative_places(schedule),
        *((name, place) for name, place in inner if place.unit != "step"),
    ]
    return tuple(
        f"schedule.{name}.step"
        for name, place in places
        if place.value != 0 and place.to_step(run) is None
    )


def _relative_places(schedule: Schedule) -> list[tuple[str, Position]]:
    places = (("begin", schedule.begin), ("end", schedule.end), ("every", schedule.every))
    return [(name, place) for name, place in places if place is not None and place.unit != "step"]


def find_timing_fault(rule: Rule, run: Run, *, allow_missed: bool = False) -> Diagnostic | None:
    """Return what is wrong with the schedule of `rule` in a run of this length, or None.

    It may end before it begins, or never reach its target.

    The latter is a warning with `allow_missed`.
    """
    if not isinstance(rule.action, Prune):
        return None
    schedule = rule.action.schedule
    if not unknown_steps(schedule, run):
        try:
            schedule.to_timetable(run)
        except ValueError as err:
            return Diagnostic(
                "value/range",
                f"rule '{rule.id}': {err}",
                rule.where,
                "make the schedule end after it begins",
            )
    return find_missed_target(
        f"rule '{rule.id}'",
        schedule,
        _target_text(rule.action),
        run,
        rule.where,
        allow_missed=allow_missed,
    )


def find_missed_target(
    subject: str,
    schedule: Schedule,
    target: str,
    run: Run,
    where: Where | None,
    *,
    allow_missed: bool = False,
) -> Diagnostic | None:
    """Return an error if a run of this length ends before `schedule` reaches `target`.

    Return None if it does not, or if too little is known.

    Args:
        subject: Whose schedule it is; begins the message.
        schedule: When the target is reached.
        target: What is reached, in words with their verb, such as `its target of 90% is`.
        run: The length of the run.
        where: The rule's place.
        allow_missed: Make it a warning.
    """
    last = schedule.end if schedule.is_ramp and schedule.end is not None else schedule.begin
    if not lies_beyond(last, run):
        return None
    length = f"{run.epochs} epoch{'' if run.epochs == 1 else 's'}"
    length += "" if run.steps is None else f" ({run.steps} steps)"
    verb = "end" if schedule.is_ramp else "begin"
    return Diagnostic(
        "schedule/never-reached",
        f"{subject}: the schedule {verb}s at {last}, the run is {length}; {target} never reached",
        where,
        f"train until {last}, make the schedule {verb} earlier (a schedule in % of the run"
        " fits any run), or pass --allow-missed",
        severity="warning" if allow_missed else "error",
    )


def _target_text(action: Prune) -> str:
    """Return the target of a rule with its verb.

    A budget gives each tensor its own target, which differs from the budget's.
    """
    if action.budget is not None and action.budget.threshold is not None:
        return f"the target of '{action.budget.name}' is"
    if action.budget is not None:
        return f"the targets that budget '{action.budget.name}' gives its tensors are"
    return f"its target of {percent(action.sparsity)} is"


def check_reached(plan: Plan, run: Run) -> None:
    """Refuse a run that is too short for the layers that the plan wraps.

    Raises:
        RuleError: some schedule reaches its target only after the run; there is one diagnostic
            per rule.
    """
    found: dict[str, Diagnostic | None] = {}
    for change in plan.changes:
        if change.after is not None and change.rule is not None and "wrap" in change.actions:
            subject, target = (
                f"rule '{change.rule.id}'",
                f"its target of {change.after.describe_target(percent)} is",
            )
            found.setdefault(
                subject,
                find_missed_target(subject, change.after.schedule, target, run, change.rule.where),
            )
    faults = tuple(fault for fault in found.values() if fault is not None)
    if faults:
        raise RuleError(sort_by_place(faults))


def lies_beyond(place: Position, run: Run) -> bool:
    """Return whether `place` is known to come after the end of the run."""
    if run.epochs is None:
        return False
    if place.unit == "epoch":
        return place.value > run.epochs
    if place.unit == "percent":
        return place.value > 100
    return run.steps is not None and place.value > run.steps
