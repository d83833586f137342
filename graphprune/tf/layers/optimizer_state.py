"""Optimizer state outside `variables`, which no model file holds, such as `_u_product` of Nadam."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.mixed_precision.loss_scale_optimizer import BaseLossScaleOptimizer

_LISTS = frozenset({"_variables", "_weights", "_slots", "_coalesced_children"})
"""Attributes in which optimizers store all their `variables` again, in a different order.

TensorFlow adds the last when a model is written as a SavedModel.
"""


def inner_optimizer(optimizer: Any) -> Any:
    """Return the optimizer inside one that scales the loss, else the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def scales_loss(model: tf_keras.Model) -> bool:
    """Return whether the optimizer of a model scales the loss."""
    return isinstance(getattr(model, "optimizer", None), BaseLossScaleOptimizer)


def scale_loss(model: tf_keras.Model) -> None:
    """Let the optimizer of a compiled model scale the loss, unless it does."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not scales_loss(model):
        scaling = BaseLossScaleOptimizer(optimizer)
        model.optimizer = model._compile_config.config["optimizer"] = scaling


def listed_variables(optimizer: Any) -> list[tf.Variable]:
    """Return `variables`, which is a method of legacy optimizers."""
    inner = inner_optimizer(optimizer)
    return list(inner.variables() if callable(inner.variables) else inner.variables)


def attribute_variables(optimizer: Any) -> dict[str, tf.Variable]:
    """Return the variables that the optimizer's attributes hold, by attribute.

    Those in lists and dicts are named `attribute/index`.
    """
    attributes = vars(inner_optimizer(optimizer))
    return {
        path: value
        for name in sorted(attributes)
        if name not in _LISTS
        for path, value in _variables(name, attributes[name])
    }


def hidden_variables(optimizer: Any) -> dict[str, tf.Variable]:
    """Return those of `attribute_variables` that are not among the optimizer's `variables`."""
    listed = {id(variable) for variable in listed_variables(optimizer)}
    return {
        path: variable
        for path, variable in attribute_variables(optimizer).items()
        if id(variable) not in listed
    }


def python_numbers(model: tf_keras.Model) -> dict[str, int | float]:
    """Return the numbers in the attributes of the optimizer, by attribute; none unless eager.

    A compiled step holds them as constants from the time of tracing, so their current values have
    no effect.
    """
    if not model.run_eagerly:
        return {}
    attributes = vars(inner_optimizer(model.optimizer))
    return {
        name: value for name, value in sorted(attributes.items()) if type(value) in (int, float)
    }


def set_python_numbers(model: tf_keras.Model, numbers: Mapping[str, int | float]) -> None:
    """Set what `python_numbers` returned."""
    inner = inner_optimizer(model.optimizer)
    for name, value in numbers.items():
        vars(inner)[name] = value


def _variables(path: str, value: Any) -> Iterator[tuple[str, tf.Variable]]:
    if isinstance(value, tf.Variable):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _variables(f"{path}/{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _variables(f"{path}/{index}", item)
