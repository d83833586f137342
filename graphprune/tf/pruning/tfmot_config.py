"""Wrappers that the TensorFlow Model Optimization toolkit wrote, read as wrappers of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tf_keras.src.engine.base_layer import Layer

from graphprune.errors import GraphError
from graphprune.graph.wrappers import TOOLKIT_KEYS, toolkit_pruning
from graphprune.tf.layers.live_tensors import is_builtin_layer, prunable_names


def convert_tfmot_config(config: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """Return the arguments of the wrapper that prunes `layer` as the toolkit's did; the wrapper
    keeps its name, which the model's connections use.

    Raises:
        GraphError: it has a pattern or a schedule that cannot be read.
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
