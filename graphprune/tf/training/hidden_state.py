"""State that a model carries from batch to batch and that model files do not hold.

This is: sums of metrics, values that differ between replicas, states of stateful recurrent layers,
and optimizer state that Keras does not restore from every format. Examples of the last are slots of
legacy optimizers, which `.keras` leaves out, optimizers that scale the loss for mixed precision,
which `.h5` resets, and state outside an optimizer's `variables`, which no format holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.errors import CheckpointError
from graphprune.tf.layers.optimizer_state import (
    hidden_variables,
    inner_optimizer,
    listed_variables,
    python_numbers,
    set_python_numbers,
)
from graphprune.tf.layers.replicas import copies

_NUMBER = "number:"


def read_metric_sums(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """Return the variables of all metrics by number: the means of an epoch come from them."""
    return _values(_metric_variables(model))


def restore_metric_sums(model: tf_keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore what `read_metric_sums` returned, into built metrics.

    Raises:
        CheckpointError: the model has other metrics.
    """
    _assign(_metric_variables(model), arrays, "metrics")


def read_recurrent_states(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """Return the states of stateful recurrent layers by their number."""
    return _values(_recurrent_variables(model))


def restore_recurrent_states(model: tf_keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore what `read_recurrent_states` returned.

    Raises:
        CheckpointError: the model has other stateful layers.
    """
    _assign(_recurrent_variables(model), arrays, "stateful layers")


def read_replica_values(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """Return the weights that differ between replicas (batch statistics), for each replica.

    They are numbered; model files hold their mean.
    """
    return _values(_replica_variables(model))


def restore_replica_values(model: tf_keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore what `read_replica_values` returned.

    Raises:
        CheckpointError: the model has other replicas.
    """
    _assign(_replica_variables(model), arrays, "replicas")


def read_optimizer_rest(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """Return the variables of the optimizer that model files do not hold, by their number."""
    return _values(_optimizer_variables(model))


def restore_optimizer_rest(model: tf_keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore what `read_optimizer_rest` returned, into a built optimizer.

    Raises:
        CheckpointError: the model has another optimizer.
    """
    _assign(_optimizer_variables(model), arrays, "optimizer variables")


def read_optimizer_attributes(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """Return the optimizer state outside its `variables`, by attribute.

    No model file format holds it.
    """
    numbers = {
        f"{_NUMBER}{name}": np.asarray(value) for name, value in python_numbers(model).items()
    }
    return numbers | {name: variable.numpy() for name, variable in _attribute_copies(model).items()}


def restore_optimizer_attributes(model: tf_keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore what `read_optimizer_attributes` returned, into a built optimizer.

    Attributes that are not in it keep their values.

    Raises:
        CheckpointError: the model has another optimizer.
    """
    known, found = python_numbers(model), _attribute_copies(model)
    numbers = {
        name.removeprefix(_NUMBER): array.item()
        for name, array in arrays.items()
        if name.startswith(_NUMBER)
    }
    variables = {name: array for name, array in arrays.items() if not name.startswith(_NUMBER)}
    if any(
        name not in found or found[name].shape != array.shape for name, array in variables.items()
    ):
        raise CheckpointError("the checkpoint was written with another optimizer; start a new run")
    set_python_numbers(model, {name: value for name, value in numbers.items() if name in known})
    for name, array in variables.items():
        found[name].assign(array)


def _attribute_copies(model: tf_keras.Model) -> dict[str, tf.Variable]:
    hidden = hidden_variables(model.optimizer).items()
    return {
        f"{name}:{index}": copy
        for name, variable in hidden
        for index, copy in enumerate(copies(variable))
    }


def _optimizer_variables(model: tf_keras.Model) -> list[tf.Variable]:
    inner = inner_optimizer(model.optimizer)
    if inner is model.optimizer and not isinstance(inner, OptimizerV2):
        return []
    scale: Any = getattr(model.optimizer, "_loss_scale", None)
    return [
        *listed_variables(inner),
        *(
            [scale.current_loss_scale, scale.counter]
            if hasattr(scale, "current_loss_scale")
            else []
        ),
    ]


def _metric_variables(model: tf_keras.Model) -> list[tf.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


def _recurrent_variables(model: tf_keras.Model) -> list[tf.Variable]:
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, tf_keras.layers.RNN) and layer.stateful
    ]
    return [
        variable
        for layer in layers
        for variable in tf.nest.flatten(layer.states)
        if isinstance(variable, tf.Variable)
    ]


def _replica_variables(model: tf_keras.Model) -> list[tf.Variable]:
    return [
        weight
        for weight in model.weights
        if _replicas_of(weight) > 1 and weight.synchronization == tf.VariableSynchronization.ON_READ
    ]


def _replicas_of(weight: tf.Variable) -> int:
    """Return the number of replicas that have a copy of a weight, of all workers together."""
    strategy = getattr(getattr(weight, "_variable", weight), "distribute_strategy", None)
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)


def _values(variables: list[tf.Variable]) -> dict[str, np.ndarray]:
    """Return the values by number; of a variable on several replicas, the values on each."""
    return {
        str(index): variable.numpy()
        for index, variable in enumerate(
            copy for variable in variables for copy in copies(variable)
        )
    }


def _assign(distributed: list[tf.Variable], arrays: Mapping[str, np.ndarray], what: str) -> None:
    variables = [copy for variable in distributed for copy in copies(variable)]
    shapes = {str(index): variable.shape.as_list() for index, variable in enumerate(variables)}
    if shapes != {name: list(array.shape) for name, array in arrays.items()}:
        raise CheckpointError(f"the checkpoint was written with other {what}; start a new run")
    for name, array in arrays.items():
        variables[int(name)].assign(array)
