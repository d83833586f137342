"""Checked shapes to schedules and actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphprune.rules.action_shape import PruneShape, ScheduleShape
from graphprune.rules.notes import Notes
from graphprune.rules.rule_set import Prune
from graphprune.rules.yaml_text import Path
from graphprune.sparsity.schedules import Schedule

_RAMP_FIELDS = {"from": ("linear", "polynomial"), "power": ("polynomial",)}


@dataclass(frozen=True, slots=True)
class ActionBuilder:
    """Builds the actions of one file; `schedules` are those of all files, by name."""

    notes: Notes
    schedules: Mapping[str, Schedule]

    def schedule(self, shape: ScheduleShape, path: Path, name: str | None, subject: str) -> Schedule | None:
        """Return the schedule at `path`, or None with a fault."""
        before = len(self.notes.faults)
        for key, curves in _RAMP_FIELDS.items():
            if {"from": "initial"}.get(key, key) in shape.model_fields_set and shape.curve not in curves:
                help = f"only {' and '.join(curves)} schedules rise gradually; delete it" if key == "from" else "only polynomial schedules have one; delete it"
                self.notes.fault("value/range", f"{subject}{key} has no meaning for the curve {shape.curve}", (*path, key), help)
        if len(self.notes.faults) > before:
            return None
        given = {key: shape.given(key) for key in ("begin", "end", "every") if shape.given(key) is not None}
        try:
            return Schedule(curve=shape.curve, initial=shape.initial, power=shape.power, name=name, **given)
        except ValueError as err:
            text = str(err)
            self.notes.fault("value/range", f"{subject}{text}", (*path, text.split(" ", 1)[0]), None)
            return None

    def prune(self, shape: PruneShape, path: Path, subject: str) -> Prune | None:
        """Return the action at `path`, or None with a fault."""
        if isinstance(shape.schedule, ScheduleShape):
            schedule = self.schedule(shape.schedule, (*path, "schedule"), None, subject)
        else:
            schedule = self.schedules.get(shape.schedule)
        if schedule is None:
            return None
        if schedule.is_ramp and schedule.initial > shape.sparsity:
            text = f"{subject}sparsity {shape.sparsity:.10g} is below the {schedule.initial:.10g} that its schedule begins from"
            self.notes.fault("value/range", text, (*path, "sparsity"), "sparsity never falls; lower 'from' of the schedule, or raise the sparsity")
        weights = shape.given("weights")
        return Prune(sparsity=shape.sparsity, schedule=schedule, pattern=shape.pattern, weights=weights)
