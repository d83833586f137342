"""The user's own classes and functions, given as arguments or registered with Keras."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Mapping
from typing import Any

import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2
from tf_keras.src.optimizers.schedules.learning_rate_schedule import LearningRateSchedule
from tf_keras.src.saving import object_registration

from graphprune.archive.allowed import Given
from graphprune.archive.allowed.entries import KERAS_3, OTHER
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
    PRUNING_SCHEDULE,
    REGULARIZER,
)
from graphprune.archive.entries import LAMBDA
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


def named_as_given(custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's objects, with functions renamed to the names that they were given by.

    Functions with another name are copied; Keras writes the copies under the given name.

    A model file that names its activation `<lambda>` therefore keeps that name in every file
    written from it, and the same custom objects load both. A lambda itself is never written as
    bytecode.
    """
    return {
        name: _renamed(value, name) if _needs_name(value, name) else value
        for name, value in custom_objects.items()
    }


def _needs_name(value: Any, name: str) -> bool:
    if not isinstance(value, types.FunctionType) or not isinstance(name, str):
        return False
    own = (value.__name__, object_registration.get_registered_name(value))
    return name == LAMBDA or name not in own


@functools.cache
def _renamed(function: types.FunctionType, name: str) -> types.FunctionType:
    """Return a copy of a function that Keras writes as `name`; the original is unchanged."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        name.strip("<>"),  # Keras writes a function called `<lambda>` as bytecode
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__, copy.__doc__ = function.__kwdefaults__, function.__doc__
    copy.__module__ = function.__module__
    object_registration._GLOBAL_CUSTOM_NAMES[copy] = name
    return copy


def given_objects(custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return all objects that Keras finds by name: registered, in an open scope, or given."""
    scope = object_registration._THREAD_LOCAL_CUSTOM_OBJECTS.__dict__
    return {**object_registration._GLOBAL_CUSTOM_OBJECTS, **scope, **custom_objects}


def kinds_of(objects: Mapping[str, Any]) -> Given:
    """Return the kinds of each object; an object may only be used where its kind is expected."""
    return {name: _kinds(value) for name, value in objects.items()}


def _kinds(value: Any) -> frozenset[str]:
    kind = value if inspect.isclass(value) else type(value)
    if any(base.__module__.partition(".")[0] == "keras" for base in kind.__mro__):
        return frozenset({KERAS_3})
    found = {name for base, name in KINDS if issubclass(kind, base)}
    if found:
        return frozenset(found)
    return frozenset({OTHER} if inspect.isclass(value) else {FUNCTION})
