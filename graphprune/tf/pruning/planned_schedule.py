"""Schedules of plans, as users of Keras pruning know them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from graphprune.sparsity.positions import Run
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.pruning.keras_schedules import ConstantSparsity, PolynomialDecay, PruningSchedule


class PlannedSchedule(PruningSchedule):
    """A schedule of a rule file that `ConstantSparsity` and `PolynomialDecay` cannot say: another
    curve, or places in epochs or percent of the run.

    Attributes:
        schedule: The schedule, as plans hold it.
        sparsity: Its target.
    """

    def __init__(self, schedule: Schedule | Mapping[str, Any], sparsity: float) -> None:
        self.schedule = (
            schedule if isinstance(schedule, Schedule) else Schedule.from_config(schedule)
        )
        self.sparsity = sparsity

    @property
    def target(self) -> float:
        """The share of zeros in the end."""
        return self.sparsity

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans hold it."""
        return self.schedule

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (bool, float32) scalars: whether masks change at `step` (a number), and the share
        of weights that must be zero.

        Raises:
            ValueError: the schedule is in epochs or percent, whose steps only a run knows.
        """
        timetable, at = self.schedule.to_timetable(Run()), int(step)
        return tf.constant(timetable.is_due(after=at - 1, step=at)), tf.constant(
            timetable.sparsity_at(at, self.sparsity), tf.float32
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "class_name": type(self).__name__,
            "config": {"schedule": self.schedule.to_config(), "sparsity": self.sparsity},
        }


def keras_schedule(schedule: Schedule, sparsity: float) -> PruningSchedule:
    """Return the schedule of a plan as users of Keras pruning know it."""
    places = [
        place for place in (schedule.begin, schedule.end, schedule.every) if place is not None
    ]
    if schedule.curve not in ("constant", "step", "linear", "polynomial") or any(
        place.unit != "step" and place.value for place in places
    ):
        return PlannedSchedule(schedule, sparsity)
    begin, end = (
        round(schedule.begin.value),
        -1 if schedule.end is None else round(schedule.end.value),
    )
    every = None if schedule.every is None else round(schedule.every.value)
    if schedule.curve == "constant":
        return ConstantSparsity(sparsity, begin, end, every or 100)
    if schedule.curve == "step":
        return ConstantSparsity(
            sparsity,
            begin,
            begin if end == -1 and every is None else end,
            every or max(1, end - begin),
        )
    power = schedule.power if schedule.curve == "polynomial" else 1.0
    return PolynomialDecay(
        schedule.initial, sparsity, begin, end, power, every or max(1, end - begin)
    )
