"""Repairs of what Keras leaves out of `.h5` files or cannot read back from them.

- A function of the user's (`activation=swish_2`) is written as an object of class `function`, which
  the reader of `.h5` files then looks up under that name (tf_keras/src/activations.py, `serialize`;
  saving/legacy/serialization.py). Written as a plain name, every version of Keras finds it.
- `steps_per_execution`, `jit_compile` and `run_eagerly` are not among the compile settings
  (saving/legacy/saving_utils.py, `model_metadata`).
- An optimizer that scales the loss reports that it was never built, so its saved slots are refused
  (mixed_precision/loss_scale_optimizer.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5py
import tf_keras
from tf_keras.src.mixed_precision.loss_scale_optimizer import LossScaleOptimizerV3
from tf_keras.src.saving.legacy import serialization

from graphprune.archive.allowed.keras_names import KERAS, LAYER, kind_at
from graphprune.nested import rebuild
from graphprune.wrapper_names import REGISTERED

_DEFAULTS: Mapping[str, Any] = {
    "run_eagerly": False,
    "steps_per_execution": 1,
    "jit_compile": False,
}
_SETTINGS = frozenset(_DEFAULTS)


def complete_texts(model: tf_keras.Model, file: h5py.File) -> None:
    """Rewrite the configs in a file that Keras has just written of `model`.

    It adds what Keras left out, and changes what Keras could not read back.
    """
    config = json.loads(file.attrs["model_config"])
    named = rebuild(config, _name_functions)
    if named != config:
        file.attrs["model_config"] = json.dumps(named).encode()
    settings = _settings(model)
    if settings and "training_config" in file.attrs:
        file.attrs["training_config"] = json.dumps(
            json.loads(file.attrs["training_config"]) | settings
        ).encode()


def restore_settings(model: tf_keras.Model, training_config: Mapping[str, Any] | None) -> None:
    """Set the compile settings that `complete_texts` added."""
    if training_config is None or not model._is_compiled:
        return
    steps = training_config.get("steps_per_execution")
    if type(steps) is int and steps > 0:
        model.steps_per_execution = steps
        model._compile_config.config["steps_per_execution"] = steps
    for name in ("jit_compile", "run_eagerly"):
        value = training_config.get(name)
        if type(value) is bool:
            setattr(model, name, value)
            model._compile_config.config[name] = value


@contextmanager
def readable_as_written() -> Iterator[None]:
    """Let Keras find functions in `.h5` files by their own names.

    The slots of an optimizer that scales the loss are loaded into its inner optimizer.
    """
    theirs, set_weights = serialization.deserialize_keras_object, LossScaleOptimizerV3.set_weights

    def deserialize(identifier: Any, *args: Any, **kwargs: Any) -> Any:
        return theirs(_name_function(identifier), *args, **kwargs)

    serialization.deserialize_keras_object = deserialize
    LossScaleOptimizerV3.set_weights = lambda scaled, weights: scaled.inner_optimizer.set_weights(
        weights
    )
    try:
        yield
    finally:
        serialization.deserialize_keras_object = theirs
        LossScaleOptimizerV3.set_weights = set_weights


def _settings(model: tf_keras.Model) -> dict[str, Any]:
    """Return the compile settings that Keras leaves out, where they are not the defaults."""
    if not getattr(model, "_is_compiled", False):
        return {}
    given = {
        name: value for name, value in model._compile_config.config.items() if name in _SETTINGS
    }
    return {
        name: value
        for name, value in given.items()
        if value is not None and value != _DEFAULTS[name]
    }


def _name_functions(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry in which a layer of Keras names functions by a string.

    Entries of custom layers are kept, since only their classes can read them.
    """
    inside = entry.get("config")
    if isinstance(inside, dict) and (
        entry.get("class_name") in KERAS[LAYER].classes or entry.get("class_name") == REGISTERED
    ):
        entry["config"] = {
            key: item if kind_at(key) is None else _name_function(item)
            for key, item in inside.items()
        }
    return entry


def _name_function(value: Any) -> Any:
    """Return the name of a serialized function; anything else as it is."""
    is_function = (
        isinstance(value, dict)
        and value.get("class_name") == "function"
        and isinstance(value.get("config"), str)
    )
    return value["config"] if is_function else value
