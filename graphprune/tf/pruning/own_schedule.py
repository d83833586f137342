"""Schedules of a user's own class, as wrappers store them in their config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras

from graphprune.engine.schedules import PruningSchedule


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
