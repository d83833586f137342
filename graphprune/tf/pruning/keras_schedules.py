"""Schedules that return tensors, and how wrappers store those of a user's own class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.engine import schedules as engine
from graphprune.engine.schedules import ScheduleClasses


class PruningSchedule(engine.PruningSchedule):
    """When masks change and the sparsity at each change, in optimizer steps.

    Calling it with a step, a number or a tensor, returns (whether masks change then, the share of
    weights that must be zero). A schedule of your own implements `__call__`, returns its
    arguments from `get_config`, has the attributes `begin_step` and `end_step` (-1: never ends),
    and is registered with `tf_keras.utils.register_keras_serializable()`, or given as a custom
    object when its model is loaded.
    """

    def _should_prune_in_step(
        self, step: Any, begin_step: int, end_step: int, frequency: int
    ) -> tf.Tensor:
        """Return whether masks change at `step`.

        They do from `begin_step` to `end_step` (-1: no end) every `frequency` steps, and at
        `end_step`.
        """
        step = tf.cast(step, tf.int64)
        return tf.convert_to_tensor(
            super()._should_prune_in_step(step, begin_step, end_step, frequency)
        )


class _KnownSchedule(PruningSchedule, engine.KnownSchedule):
    """A schedule that plans can hold."""

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Return whether masks change at `step`, and the share of weights that must be zero.

        Both are scalar tensors, bool and float32.
        """
        step = tf.cast(step, tf.int64)
        return self._should_prune_in_step(
            step, self.begin_step, self.end_step, self.frequency
        ), self._sparsity_at(step)


class ConstantSparsity(_KnownSchedule, engine.ConstantSparsity):
    """The same sparsity from `begin_step` on.

    Masks change every `frequency` steps until `end_step` (-1: no end).
    """

    def _sparsity_at(self, step: tf.Tensor) -> tf.Tensor:
        return tf.constant(self.target_sparsity, tf.float32)


class PolynomialDecay(_KnownSchedule, engine.PolynomialDecay):
    """Sparsity that rises from `initial_sparsity` to `final_sparsity`.

    It rises from `begin_step` to `end_step`, fast at first if `power` is above 1.
    """

    def _sparsity_at(self, step: tf.Tensor) -> tf.Tensor:
        progress = tf.cast(step - self.begin_step, tf.float32) / max(
            1, self.end_step - self.begin_step
        )
        progress = tf.where(step >= self.end_step, 1.0, tf.maximum(progress, 0.0))
        return (
            self.final_sparsity
            + (self.initial_sparsity - self.final_sparsity) * (1 - progress) ** self.power
        )


class PlannedSchedule(PruningSchedule, engine.PlannedSchedule):
    """A schedule of a rule file that needs a class of its own.

    `ConstantSparsity` and `PolynomialDecay` cannot express other curves, or places in epochs or
    percent of the run.

    Attributes:
        schedule: The schedule, as plans hold it.
        sparsity: Its target.
    """

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Return whether masks change at `step`, and the share of weights that must be zero.

        Both are scalar tensors, bool and float32; `step` is a number.

        Raises:
            ValueError: the schedule is in epochs or percent, whose steps only a run knows.
        """
        is_due, share = engine.PlannedSchedule.__call__(self, step)
        return tf.constant(is_due), tf.constant(share, tf.float32)


SCHEDULES = ScheduleClasses(ConstantSparsity, PolynomialDecay, PlannedSchedule)
"""The schedule classes of tf_keras."""


def write_own_schedule(schedule: engine.PruningSchedule | None) -> dict[str, Any]:
    """Return the part of a wrapper's config that holds a user's own schedule, or nothing."""
    return (
        {}
        if schedule is None
        else {"own_schedule": tf_keras.utils.serialize_keras_object(schedule)}
    )


def read_own_schedule(
    value: Any, custom_objects: Mapping[str, Any] | None = None
) -> engine.PruningSchedule | None:
    """Return the schedule that `write_own_schedule` wrote.

    A schedule, or None, is returned unchanged.
    """
    return (
        tf_keras.utils.deserialize_keras_object(value, custom_objects)
        if isinstance(value, Mapping)
        else value
    )
