"""Layers whose vocabulary grows while they run.

Keras cannot rebuild them from a file, since their `get_config` does not match their constructor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.layers.experimental import DynamicEmbedding, DynamicLookup
from tf_keras.src.engine.base_layer import Layer

from graphprune.archive.entries import Entry, is_builtin
from graphprune.errors import ArchiveError, OutputError
from graphprune.nested import mappings_in

GROWING = (DynamicEmbedding, DynamicLookup)


def constructor_arguments(layer: Layer) -> dict[str, Any]:
    """Return the constructor arguments of a layer like this one.

    The vocabulary is a tensor, without the unknown words that `get_config` counts as known.
    """
    config = layer.get_config()
    own = {"initial_vocabulary": tf.constant(config["initial_vocabulary"])}
    return {
        **config,
        **own,
        **(
            {"input_dim": config["input_dim"] - config["num_oov_indices"]}
            if "input_dim" in config
            else {}
        ),
    }


def check_config(config: Any, place: str) -> None:
    """Raise if the config of a model file holds such a layer, at any depth.

    Raises:
        ArchiveError: it does; the text names the layer.
    """
    for item in mappings_in(config):
        if _is_growing(item):
            raise ArchiveError(
                f"layer {item['config'].get('name')!r} is a {item['class_name']}, {_WHY}; keep"
                " such a table outside the model",
                place=place,
            )


def check_savable(model: tf_keras.Model, place: str) -> None:
    """Raise if a model to be saved as `.keras` or `.h5` holds such a layer.

    Raises:
        OutputError: it does; the text names the layer.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, GROWING):
            way_out = (
                "write a SavedModel folder, which TensorFlow runs, or keep such a table outside the"
                " model"
            )
            raise OutputError(
                f"layer {layer.name!r} is a {type(layer).__name__}, {_WHY}; {way_out}", place=place
            )


_WHY = "which Keras cannot rebuild from a file"


def _is_growing(item: Entry) -> bool:
    names = [kind.__name__ for kind in GROWING]
    return (
        item.get("class_name") in names
        and isinstance(item.get("config"), Mapping)
        and is_builtin(item)
    )
