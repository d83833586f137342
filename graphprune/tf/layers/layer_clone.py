"""Copies of single live layers: same class and config, new variables."""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer

from graphprune.errors import GraphError
from graphprune.graph.precision import PolicyChange
from graphprune.tf.layers.growing_vocabularies import GROWING, constructor_arguments
from graphprune.tf.layers.stored_names import copy_names

_FILLERS = tf_keras.initializers
_RANDOM = frozenset(
    {
        *(_FILLERS.GlorotNormal, _FILLERS.GlorotUniform, _FILLERS.HeNormal, _FILLERS.HeUniform),
        *(_FILLERS.LecunNormal, _FILLERS.LecunUniform, _FILLERS.Orthogonal, _FILLERS.RandomNormal),
        *(_FILLERS.RandomUniform, _FILLERS.TruncatedNormal, _FILLERS.VarianceScaling),
    }
)
_OWN_PACKAGES = ("tf_keras", "keras", "graphprune", "tensorflow", "builtins", "numpy")


def clone_layer(layer: Layer, address: str, change: PolicyChange | None = None) -> Layer:
    """Return a new, unbuilt layer like `layer`, with its dtype policy changed if asked.

    Its classes and functions come from the live layer, so nothing needs registering. A Lambda gets
    the same function object: its code is never serialized.

    Raises:
        GraphError: the layer cannot be described by its `get_config` or built from it.
    """
    clone = _clone(layer, address, change)
    copy_names(layer, clone)
    return clone


def _clone(layer: Layer, address: str, change: PolicyChange | None) -> Layer:
    if isinstance(layer, tf_keras.layers.Lambda):
        return _clone_lambda(layer, change)
    try:
        if type(layer) is tf_keras.layers.TimeDistributed:
            config = _changed(layer, Layer.get_config(layer), change)
            return tf_keras.layers.TimeDistributed(
                clone_layer(layer.layer, address, change), **config
            )
        with tf_keras.utils.custom_object_scope(_live_objects(layer)):
            config = _changed(layer, _config_with_functions(layer), change)
            return type(layer).from_config(config)
    except NotImplementedError as err:
        raise GraphError(
            f"{address}: layer class {type(layer).__name__} has no get_config, so it cannot be"
            " copied; give it one that returns its arguments"
        ) from err
    except (TypeError, ValueError) as err:
        raise GraphError(
            f"{address}: layer class {type(layer).__name__} cannot be rebuilt from its get_config"
            f" ({err}); make it return every argument"
        ) from err


def _changed(layer: Layer, config: dict[str, Any], change: PolicyChange | None) -> dict[str, Any]:
    """Return the layer's config with the dtype policy changed."""
    if change is None:
        return config
    kind = type(layer)
    return change.config_of(
        {"class_name": kind.__name__, "module": kind.__module__, "config": config}
    )


def copy_state(source: Layer, target: Layer) -> None:
    """Copy weights and tables (vocabularies) from `source` to `target`.

    Both are layers of the same class and config.
    """
    for old, new in zip(source.weights, target.weights, strict=True):
        if isinstance(old, tf.Variable):  # table handles are copied below
            new.assign(tf.cast(old, new.dtype))  # the same, unless the precision changes
    for old_layer, new_layer in zip(
        source._flatten_layers(), target._flatten_layers(), strict=True
    ):
        if type(old_layer).load_own_variables is not Layer.load_own_variables:
            state: dict[str, Any] = {}
            old_layer.save_own_variables(state)
            new_layer.load_own_variables(state)
        if hasattr(old_layer, "load_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old_layer.save_assets(folder)
                new_layer.load_assets(folder)
    finalize(target)


@contextmanager
def without_random_values() -> Iterator[None]:
    """Leave variables uninitialized that Keras would fill with random numbers.

    Used for a clone that gets its values from another model. Constants and the user's own
    initializers are kept.
    """

    def create(next_creator: Callable[..., Any], **settings: Any) -> Any:
        given = settings.get("initial_value")
        if isinstance(given, functools.partial) and type(given.func) in _RANDOM:
            settings["initial_value"] = functools.partial(_empty, *given.args, **given.keywords)
        return next_creator(**settings)

    with tf.variable_creator_scope(create):
        yield


def _empty(shape: Any, dtype: Any = None, **_: Any) -> tf.Tensor:
    """Return an uninitialized tensor of this shape.

    Its memory is not touched before it is replaced.
    """
    return tf.raw_ops.Empty(
        shape=tf.TensorShape(shape).as_list(),
        dtype=tf.as_dtype(dtype or tf_keras.backend.floatx()),
        init=False,
    )


def finalize(layer: Layer) -> None:
    """Let every layer in `layer` compute the values derived from its weights.

    Examples are the bins of a Discretization and the constants of a Normalization.
    """
    for part in layer._flatten_layers():
        part.finalize_state()


def _clone_lambda(layer: Layer, change: PolicyChange | None) -> Layer:
    settings = {
        "output_shape": layer._output_shape,
        "mask": layer.mask,
        "arguments": dict(layer.arguments),
    }
    config = _changed(layer, Layer.get_config(layer), change)
    return type(layer)(layer.function, **settings, **config)


def _config_with_functions(layer: Layer) -> dict[str, Any]:
    """Return the layer's config as its constructor takes it, with the user's functions as objects.

    Initializers of Keras's own layers are given as new objects, since looking up a class by its
    serialized name takes longer than the rest of a layer's constructor.
    """
    config = (
        constructor_arguments(layer) if isinstance(layer, GROWING) else dict(layer.get_config())
    )
    for key in config:
        live = getattr(layer, key, None)
        if inspect.isfunction(live) and not _is_known(live):
            config[key] = live
        elif isinstance(live, _FILLERS.Initializer) and _is_of_keras(layer) and _is_of_keras(live):
            config[key] = type(live).from_config(live.get_config())
    return config


def _is_of_keras(value: object) -> bool:
    return type(value).__module__.startswith("tf_keras.")


def _live_objects(layer: Layer) -> dict[str, Any]:
    """Return the user's own classes and functions in a layer, by the names that configs use."""
    found: dict[str, Any] = {}
    for part in layer._flatten_layers():
        for value in (part, *vars(part).values()):
            named = value if inspect.isfunction(value) or inspect.isclass(value) else type(value)
            if not _is_known(named):
                found[named.__name__] = found[tf_keras.utils.get_registered_name(named)] = named
    return found


def _is_known(named: Any) -> bool:
    return (named.__module__ or "").split(".")[0] in _OWN_PACKAGES
