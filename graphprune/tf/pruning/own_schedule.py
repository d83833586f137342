"""Schedules of a user's own class, as the pruner asks them and wrappers store them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras

from graphprune.tf.pruning.keras_schedules import KnownSchedule, PruningSchedule


class OwnTimetable:
    """A user's own schedule, as the pruner asks it: like `graphprune.sparsity.schedules.Timetable`.

    Attributes:
        schedule: The user's.
        target_step: The step at which its target is reached.
    """

    def __init__(self, schedule: PruningSchedule) -> None:
        self.schedule = schedule
        self.target_step = schedule.end_step if schedule.end_step >= 0 else schedule.begin_step
        self._undue = range(0)

    def is_due(self, *, after: int, step: int) -> bool:
        """Return whether the schedule asks for an update in (`after`, `step`]; steps that it said
        no to are not asked again.
        """
        if any(
            bool(self.schedule(at)[0]) for at in range(step, after, -1) if at not in self._undue
        ):
            return True
        self._undue = range(after + 1, step + 1)
        return False

    def sparsity_at(self, step: int, target: float) -> float:
        """Return the share of weights that must be zero at `step`: the schedule's, in proportion to
        `target` where a pattern fixes another than its own.
        """
        share, own = float(self.schedule(step)[1]), self.schedule.target
        return share if target == own or own == 0 else share * target / own


def own_schedule(schedule: PruningSchedule) -> PruningSchedule | None:
    """Return a schedule of a user's own class, None for those that plans can hold."""
    return None if isinstance(schedule, KnownSchedule) else schedule


def write_own_schedule(schedule: PruningSchedule | None) -> dict[str, Any]:
    """Return the part of a wrapper's config that holds a user's own schedule, or nothing."""
    return (
        {}
        if schedule is None
        else {"own_schedule": tf_keras.utils.serialize_keras_object(schedule)}
    )


def read_own_schedule(
    value: Any, custom_objects: Mapping[str, Any] | None = None
) -> PruningSchedule | None:
    """Return the schedule that `write_own_schedule` wrote; a schedule, or None, is returned as it
    is.
    """
    return (
        tf_keras.utils.deserialize_keras_object(value, custom_objects)
        if isinstance(value, Mapping)
        else value
    )
