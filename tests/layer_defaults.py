"""What tf_keras fills in where a config has no value; `python tests/layer_defaults.py` writes the
table that ships.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import keras
import tf_keras
from layer_matrix import CASES
from layer_zoo import CELLS, Sample, exported_classes
from tf_keras.src.saving.serialization_lib import deserialize_keras_object, serialize_keras_object

from graphprune.conversion.libraries import Library
from graphprune.graph.classes.builtin_layers import layer_class
from graphprune.graph.classes.completion import DEFAULTS_FILE, complete_setting

ALONE = {
    "InputLayer": lambda: tf_keras.layers.InputLayer((3,)),
    "Wrapper": lambda: tf_keras.layers.Wrapper(tf_keras.layers.Dense(3)),
    "AbstractRNNCell": tf_keras.layers.AbstractRNNCell,
    "PreprocessingLayer": tf_keras.layers.experimental.preprocessing.PreprocessingLayer,
}
"""Classes without a case in the matrix."""
FROM_OTHERS = frozenset({"name", "batch_input_shape", "value_dim", "vocabulary_size"})
"""Settings whose default depends on others, as that of `strides` of a pooling layer does."""
NOT_ALONE = frozenset({"Layer", "Wrapper", "Lambda", "InputLayer"})
"""Classes of Keras 3 that cannot be made without more than their config."""
SHAPES = frozenset({"batch_shape", "backward_layer", "seed"})
"""What only Keras 3 writes of a layer and is no default."""


def make_layer(name: str) -> tf_keras.layers.Layer:
    """Return a small layer of a class that `tf_keras.layers` exports."""
    if name in ALONE:
        return ALONE[name]()
    return (CELLS[name] if name in CELLS else _samples()[name]).make()


@cache
def _samples() -> Mapping[str, Sample]:
    """Return the first sample of each class, by its name."""
    found: dict[str, Sample] = {}
    for case in CASES.values():
        if not case.covers:
            found.setdefault(type(case.sample.make()).__name__, case.sample)
    return found


def rebuild(layer: tf_keras.layers.Layer, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config that Keras writes of a layer that it makes from `config`."""
    entry = serialize_keras_object(layer) | {"config": copy.deepcopy(dict(config))}
    made: Mapping[str, Any] = serialize_keras_object(
        deserialize_keras_object(entry, safe_mode=False)
    )["config"]
    return made


def depends_on_others(config: Mapping[str, Any], key: str) -> bool:
    """Return whether the default of a setting comes from other settings."""
    return key in FROM_OTHERS or (key == "strides" and "pool_size" in config)


def layer_defaults(name: str) -> dict[str, dict[str, Any]]:
    """Return the defaults of a layer class, and those that null stands for as well."""
    layer = make_layer(name)
    full = serialize_keras_object(layer)["config"]
    unused = layer_class(name).unused
    keys = [key for key in full if not depends_on_others(full, key) and key not in unused]
    values: dict[str, Any] = {}
    for key in keys:
        try:
            made = rebuild(layer, {other: value for other, value in full.items() if other != key})
        except Exception:  # a setting that the class cannot be made without
            continue
        if key in made:
            values[key] = complete_setting(key, made[key])
    nulls = [
        key
        for key in values
        if values[key] is not None and _null_makes(layer, full, key) == values[key]
    ]
    return {"values": values, "nulls": dict.fromkeys(nulls, True)}


def keras3_defaults(name: str) -> dict[str, Any]:
    """Return the defaults of the settings that only Keras 3 has for a class."""
    known, full = layer_class(name), serialize_keras_object(make_layer(name))["config"]
    left_out = {*full, *known.keras3_names.values(), *known.keras3_settings, *SHAPES}
    return {
        key: complete_setting(key, value)
        for key, value in keras3_config(name, full).items()
        if key not in left_out
    }


def only_in_keras_2(name: str, values: Mapping[str, Any]) -> list[str]:
    """Return the settings with a default that Keras 3 does not have for a class."""
    config = keras3_config(name, serialize_keras_object(make_layer(name))["config"])
    names = layer_class(name).keras3_names
    return sorted(key for key in values if config and key not in config and key not in names)


def keras3_config(name: str, full: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that Keras 3 writes of a layer; nothing if it has no such class."""
    known = layer_class(name)
    if name in NOT_ALONE or not hasattr(keras.layers, known.keras3_class or name):
        return {}
    config: dict[str, Any] = make_in_keras_3(name, full).get_config()
    return config


def make_in_keras_3(name: str, full: Mapping[str, Any]) -> Any:
    """Return the layer in Keras 3, without an argument that the class of tf_keras does not take."""
    known = layer_class(name)
    accepted = Library(3).parameters("layers", known.keras3_class or name)
    assert accepted is not None
    given = {known.keras3_names.get(key, key): value for key, value in full.items()}
    if isinstance(given.get("axis"), list | tuple) and len(given["axis"]) == 1:
        given["axis"] = given["axis"][0]
    return getattr(keras.layers, known.keras3_class or name).from_config(
        {
            key: _inside_in_keras_3(key, value)
            for key, value in given.items()
            if key in accepted and key != "dtype"
        }
    )


def _inside_in_keras_3(key: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_inside_in_keras_3(key, item) for item in value]
    if key in ("layer", "cell", "cells"):
        made = make_in_keras_3(value["class_name"], value["config"])
        return keras.saving.serialize_keras_object(made)
    return value


def _null_makes(layer: tf_keras.layers.Layer, full: Mapping[str, Any], key: str) -> Any:
    try:
        return complete_setting(key, rebuild(layer, {**full, key: None}).get(key))
    except Exception:  # a setting that cannot be null
        return None


def parameter_classes() -> Iterator[type]:
    """Yield the initializers, regularizers and constraints that tf_keras exports, each under one
    name.
    """
    for module in (tf_keras.initializers, tf_keras.regularizers, tf_keras.constraints):
        for name in sorted(dir(module)):
            kind = getattr(module, name)
            if (
                inspect.isclass(kind)
                and kind.__name__ == name
                and name not in ("Initializer", "Regularizer", "Constraint")
            ):
                yield kind


def make_defaults() -> dict[str, Any]:
    """Return the whole table."""
    layers = {name: layer_defaults(name) for name in sorted(exported_classes())}
    return {
        "layers": {name: found["values"] for name, found in layers.items()},
        "nulls": {name: sorted(found["nulls"]) for name, found in layers.items() if found["nulls"]},
        "keras2": {
            name: keys
            for name, found in layers.items()
            if (keys := only_in_keras_2(name, found["values"]))
        },
        "keras3": {name: found for name in layers if (found := keras3_defaults(name))},
        "parameters": {kind.__name__: kind().get_config() for kind in parameter_classes()},
    }


def defaults_text(table: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table as its file holds it: one line a class."""
    parts = (
        f'"{part}": {{\n'
        + ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in rows.items())
        + "\n}"
        for part, rows in table.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    Path(DEFAULTS_FILE).write_text(defaults_text(make_defaults()), encoding="utf-8")
