"""Wrappers of the TensorFlow Model Optimization toolkit (tfmot), live or in a config.

They are recognized by their class, without importing the toolkit, and read as graphprune wrappers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tf_keras.src.engine.base_layer import Layer

from graphprune.errors import GraphError
from graphprune.graph.wrappers import TOOLKIT_KEYS, toolkit_pruning
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.layers.live_tensors import is_builtin_layer, named_weights, prunable_names
from graphprune.wrapper_names import CLASS

_PACKAGE = "tensorflow_model_optimization"


def is_toolkit_layer(layer: object) -> bool:
    """Return whether this is a live layer in the toolkit's pruning wrapper."""
    classes = ((base.__name__, base.__module__.partition(".")[0]) for base in type(layer).__mro__)
    return (CLASS, _PACKAGE) in classes


def read_live_pruning(wrapper: Layer) -> Pruning:
    """Return how the toolkit's wrapper prunes the layer inside.

    This includes `sparsity_m_by_n`, which its config leaves out.

    Raises:
        GraphError: its schedule is of a user's own class, or its pattern does not fit.
    """
    config = {**wrapper.get_config(), "sparsity_m_by_n": wrapper.sparsity_m_by_n}
    try:
        return toolkit_pruning(config, [name for name, _ in live_masks(wrapper)])
    except ValueError as err:
        raise GraphError(f"{wrapper.layer.name}: {err}") from err


def live_masks(wrapper: Layer) -> list[tuple[str, tf.Variable]]:
    """Return the name and the mask of each weight that the toolkit's wrapper prunes."""
    names = {_identity(weight): name for name, weight in named_weights(wrapper.layer)}
    return [(names[_identity(weight)], mask) for weight, mask, _ in wrapper.pruning_vars]


def live_state(wrapper: Layer) -> list[tf.Variable]:
    """Return masks, thresholds and the step of the toolkit's wrapper.

    The order is that of graphprune's `pruning_state`.
    """
    pairs = [
        variable for _, mask, threshold in wrapper.pruning_vars for variable in (mask, threshold)
    ]
    return [*pairs, wrapper.pruning_step]


def foreign_wrapper(layer: Layer) -> GraphError:
    """Return the error for a layer in the toolkit's wrapper where only graphprune's own works."""
    return GraphError(
        f"{layer.name}: this layer is in a pruning wrapper of tensorflow_model_optimization, which"
        " graphprune does not train; convert the model first: model ="
        " graphprune.prune_low_magnitude(model), which keeps masks, steps and schedules"
    )


def _identity(weight: tf.Variable) -> int:
    """Return an identity of the variable; mixed precision may wrap one variable twice."""
    return id(getattr(weight, "_variable", weight))


def convert_tfmot_config(config: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """Return the arguments of the wrapper that prunes `layer` as the toolkit's did.

    The wrapper keeps its name, which the model's connections use.

    Raises:
        GraphError: its pattern or schedule cannot be read.
    """
    try:
        pruning = toolkit_pruning(
            config, None if is_builtin_layer(layer) else prunable_names(layer)
        )
    except ValueError as err:
        raise GraphError(f"{config['name']}: {err}") from err
    return {
        **{key: value for key, value in config.items() if key not in (*TOOLKIT_KEYS, "layer")},
        "pruning": pruning,
        "is_tfmot": True,
    }
