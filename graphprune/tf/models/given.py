"""The user's own classes and functions: those handed over, and those that the user's imports
registered with Keras.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2
from tf_keras.src.optimizers.schedules.learning_rate_schedule import LearningRateSchedule
from tf_keras.src.saving import object_registration

from graphprune.archive.allowed import Given
from graphprune.archive.allowed.entries import OTHER
from graphprune.archive.allowed.keras_names import (
    CONSTRAINT,
    FUNCTION,
    INITIALIZER,
    LAYER,
    LEARNING_RATE,
    LOSS,
    METRIC,
    OPTIMIZER,
    POLICY,
    REGULARIZER,
)
from graphprune.archive.allowed.places import PRUNING_SCHEDULE
from graphprune.tf.pruning.keras_schedules import PruningSchedule

KINDS: tuple[tuple[type, str], ...] = (
    (Layer, LAYER),
    (tf_keras.initializers.Initializer, INITIALIZER),
    (tf_keras.regularizers.Regularizer, REGULARIZER),
    (tf_keras.constraints.Constraint, CONSTRAINT),
    (tf_keras.losses.Loss, LOSS),
    (tf_keras.metrics.Metric, METRIC),
    (tf_keras.optimizers.Optimizer, OPTIMIZER),
    (OptimizerV2, OPTIMIZER),
    (LearningRateSchedule, LEARNING_RATE),
    (tf_keras.mixed_precision.Policy, POLICY),
    (PruningSchedule, PRUNING_SCHEDULE),
)


def given_objects(custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that Keras finds by a name alone, as it looks them up: registered, in an open
    scope, handed over.
    """
    scope = object_registration._THREAD_LOCAL_CUSTOM_OBJECTS.__dict__
    return {**object_registration._GLOBAL_CUSTOM_OBJECTS, **scope, **custom_objects}


def kinds_of(objects: Mapping[str, Any]) -> Given:
    """Return of which kinds each object is; a layer may stand only where layers stand."""
    return {name: _kinds(value) for name, value in objects.items()}


def _kinds(value: Any) -> frozenset[str]:
    kind = value if inspect.isclass(value) else type(value)
    found = {name for base, name in KINDS if issubclass(kind, base)}
    if found:
        return frozenset(found)
    return frozenset({OTHER} if inspect.isclass(value) else {FUNCTION})
