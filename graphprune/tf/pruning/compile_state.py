"""Compile settings and optimizer state, carried from a model to a clone of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2, _var_key

from graphprune.arguments import user_level
from graphprune.errors import TrainingError
from graphprune.tf.layers.optimizer_state import (
    attribute_variables,
    hidden_variables,
    python_numbers,
    set_python_numbers,
)


def copy_compile_state(
    source: tf_keras.Model, target: tf_keras.Model, variables: Mapping[int, tf.Variable]
) -> None:
    """Compile `target` like `source`, with a copy of its optimizer.

    The copy of the optimizer has the same class, settings, iterations and slots. The copy of an
    uncompiled model stays uncompiled.

    Args:
        source: The model that was copied.
        target: The copy.
        variables: The copy's variable for each of the model's, by `id`.

    Raises:
        TrainingError: the copy cannot be compiled like the model.
    """
    if not getattr(source, "_is_compiled", False):
        return
    optimizer = copy_optimizer(source.optimizer, source, target, variables)
    settings = {
        name: value for name, value in source._compile_config.config.items() if name != "optimizer"
    }
    settings |= {
        "run_eagerly": source._run_eagerly,
        "from_serialized": source.compiled_metrics._from_serialized,
    }
    # A model with several outputs prefixes the names of metrics with those of outputs when it runs.
    is_named = (
        source.compiled_metrics.built
        and not source.compiled_metrics._from_serialized
        and len(source.output_names) > 1
    )
    prefixes = tuple(f"{output}_" for output in source.output_names) if is_named else ()
    for name in ("metrics", "weighted_metrics"):
        settings[name] = _new_metrics(settings.get(name), prefixes)
    try:
        target.compile(optimizer=optimizer, **settings)
    except (TypeError, ValueError) as err:
        raise TrainingError(
            f"{source.name}: its copy cannot be compiled like it ({err}); compile the model without"
            " custom settings first"
        ) from err
    set_python_numbers(target, python_numbers(source))


def copy_optimizer(
    optimizer: Any,
    source: tf_keras.Model,
    target: tf_keras.Model,
    variables: Mapping[int, tf.Variable],
) -> Any:
    """Return an optimizer like `optimizer` for the variables of `target`.

    It has the same iterations and slots.

    Raises:
        TrainingError: the optimizer cannot be rebuilt from its config.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    try:
        with tf_keras.utils.custom_object_scope(
            {
                type(part).__name__: type(part)
                for part in (inner, getattr(inner, "_learning_rate", None))
            }
        ):
            copied = type(optimizer).from_config(optimizer.get_config())
    except (NotImplementedError, TypeError, ValueError) as err:
        raise TrainingError(
            f"{source.name}: optimizer {type(inner).__name__} cannot be rebuilt from its get_config"
            f" ({err})"
        ) from err
    read = _read_legacy if isinstance(inner, OptimizerV2) else _read_slots
    read(inner, getattr(copied, "inner_optimizer", copied), source, variables)
    scale: Any = getattr(optimizer, "_loss_scale", None)
    copied_scale: Any = getattr(copied, "_loss_scale", None)
    if hasattr(scale, "current_loss_scale"):
        copied_scale.current_loss_scale.assign(scale.current_loss_scale)
        copied_scale.counter.assign(scale.counter)
    return copied


def _read_slots(
    optimizer: Any, copied: Any, source: tf_keras.Model, variables: Mapping[int, tf.Variable]
) -> None:
    """Build the copy over the copied variables and assign the values of the original.

    It is built in the same order as the original.
    """
    if getattr(optimizer, "_built", False):
        own = {
            optimizer._var_key(variable): variable
            for variable in source.weights
            if isinstance(variable, tf.Variable)
        }
        order = sorted(optimizer._index_dict, key=optimizer._index_dict.__getitem__)
        if not _knows_all(source, order, own):
            return
        copied.build([variables[id(own[key])] for key in order])
    for old, new in zip(optimizer.variables, copied.variables, strict=True):
        new.assign(old)
    hidden = hidden_variables(copied)
    for name, variable in hidden_variables(optimizer).items():
        if name in hidden and hidden[name].shape == variable.shape:
            hidden[name].assign(variable)


def _read_legacy(
    optimizer: Any, copied: Any, source: tf_keras.Model, variables: Mapping[int, tf.Variable]
) -> None:
    if not optimizer.weights:
        return
    own = {
        _var_key(variable): variable
        for variable in source.weights
        if isinstance(variable, tf.Variable)
    }
    if not _knows_all(source, list(optimizer._slots), own):
        return
    # Legacy Keras makes slots slot by slot, so the order of `_slots` is the order of the variables
    # at the first step.
    copied._create_all_weights([variables[id(own[key])] for key in optimizer._slots])
    for key, slots in optimizer._slots.items():
        for name, slot in slots.items():
            copied.get_slot(variables[id(own[key])], name).assign(slot)
    copied.iterations.assign(optimizer.iterations)
    own_attributes = attribute_variables(copied)
    # such as `_m_cache` of Nadam, which is not a slot
    for name, variable in attribute_variables(optimizer).items():
        if name in own_attributes:
            own_attributes[name].assign(variable)


def _knows_all(source: tf_keras.Model, keys: list[Any], own: Mapping[Any, tf.Variable]) -> bool:
    if all(key in own for key in keys):
        return True
    warnings.warn(
        f"{source.name}: its optimizer has trained variables that are not the model's; the"
        " optimizer of the copy is reset",
        stacklevel=user_level(),
    )
    return False


def _new_metrics(metrics: Any, prefixes: tuple[str, ...]) -> Any:
    """Return the metrics with every Metric object replaced by a new one like it.

    The first of `prefixes` that its name begins with is removed.
    """
    if isinstance(metrics, tf_keras.metrics.Metric):
        config = metrics.get_config()
        prefix = next((prefix for prefix in prefixes if metrics.name.startswith(prefix)), "")
        with tf_keras.utils.custom_object_scope({type(metrics).__name__: type(metrics)}):
            return type(metrics).from_config(config | {"name": metrics.name.removeprefix(prefix)})
    if isinstance(metrics, Mapping):
        return {name: _new_metrics(metric, prefixes) for name, metric in metrics.items()}
    if isinstance(metrics, list | tuple):
        return [_new_metrics(metric, prefixes) for metric in metrics]
    return metrics
