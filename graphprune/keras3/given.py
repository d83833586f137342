"""The user's own classes and functions that Keras 3 finds by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.saving import object_registration

from graphprune.archive.allowed.entries import TF_KERAS
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

REGISTRY = Registry(
    (
        (keras.layers.Layer, LAYER),
        (keras.initializers.Initializer, INITIALIZER),
        (keras.regularizers.Regularizer, REGULARIZER),
        (keras.constraints.Constraint, CONSTRAINT),
        (keras.losses.Loss, LOSS),
        (keras.metrics.Metric, METRIC),
        (keras.optimizers.Optimizer, OPTIMIZER),
        (keras.optimizers.schedules.LearningRateSchedule, LEARNING_RATE),
        (keras.dtype_policies.DTypePolicy, POLICY),
        (PruningSchedule, PRUNING_SCHEDULE),
    ),
    object_registration.GLOBAL_CUSTOM_NAMES,
    object_registration.get_registered_name,
    ("tf_keras", TF_KERAS),
)


def given_objects(custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return all objects that Keras finds by name: registered, in an open scope, or given."""
    scope = global_state.get_global_attribute("custom_objects_scope_dict", {})
    return {**object_registration.GLOBAL_CUSTOM_OBJECTS, **scope, **custom_objects}
