"""The user's own classes and functions, given as arguments or registered with Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2
from tf_keras.src.optimizers.schedules.learning_rate_schedule import LearningRateSchedule
from tf_keras.src.saving import object_registration

from graphprune.archive.allowed.entries import KERAS_3
from graphprune.archive.allowed.given import Registry
from graphprune.archive.allowed.keras_names import (
    CONSTRAINT,
    INITIALIZER,
    LAYER,
    LEARNING_RATE,
    LOSS,
    METRIC,
    OPTIMIZER,
    POLICY,
    PRUNING_SCHEDULE,
    REGULARIZER,
)
from graphprune.engine.schedules import PruningSchedule

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
REGISTRY = Registry(
    KINDS,
    object_registration._GLOBAL_CUSTOM_NAMES,
    object_registration.get_registered_name,
    ("keras", KERAS_3),
)
named_as_given, kinds_of = REGISTRY.named_as_given, REGISTRY.kinds_of


def given_objects(custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return all objects that Keras finds by name: registered, in an open scope, or given."""
    scope = object_registration._THREAD_LOCAL_CUSTOM_OBJECTS.__dict__
    return {**object_registration._GLOBAL_CUSTOM_OBJECTS, **scope, **custom_objects}
