"""What the table of built-in layers says of the weights of a live layer."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.saving.serialization_lib import serialize_keras_object

from graphprune.graph.builtin_layers import weights_of
from graphprune.graph.entries import is_builtin
from graphprune.graph.from_config import TensorFacts
from graphprune.graph.layer_class import Weight, names_in_order


def prunable_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of the weights that may be pruned, built or not, in storage order; none for classes that the table does not hold."""
    return tuple(weight.name for weight in _known_weights(layer) if weight.prunable and not weight.is_copy)


def tensor_facts(layer: Layer) -> tuple[TensorFacts, ...]:
    """Return name, shape and dtype of a built layer's weights; names are numbers where neither the table nor the variables tell them apart."""
    return tuple((name, _shape(weight), weight.dtype.name) for name, weight in _named(layer))


def tensor_zeros(layer: Layer) -> dict[str, int]:
    """Return how many values are zero in each of a built layer's weights, by the names of `tensor_facts`."""
    return {name: int(tf.size(weight) - tf.math.count_nonzero(weight, dtype=tf.int32)) for name, weight in _named(layer) if weight.dtype.is_floating}


def _named(layer: Layer) -> list[tuple[str, tf.Variable]]:
    weights = [weight for weight in layer.weights if isinstance(weight, tf.Variable)]  # lookup layers list a handle on their table as well
    names = names_in_order(_known_weights(layer), list(map(_bare_name, weights)))
    if names is None:
        names = _told_apart(map(_bare_name, weights)) or tuple(str(index) for index in range(len(weights)))
    return list(zip(names, weights, strict=True))


def own_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of the weights that a built custom layer itself makes, in the order in which `.keras` files number them.

    None for built-in layers, whose order is known, and where two weights have one name.
    """
    return () if is_builtin_layer(layer) else _told_apart(map(_bare_name, layer._trainable_weights + layer._non_trainable_weights))


def _bare_name(weight: tf.Variable) -> str:
    return weight.name.rsplit("/", 1)[-1].split(":")[0]


def _told_apart(names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(names)
    return found if len(set(found)) == len(found) else ()


def _shape(weight: tf.Variable) -> tuple[int, ...]:
    """Return the shape of a variable's value; what a layer collects from data has none before it has a value."""
    return tuple(weight.shape if weight.shape.is_fully_defined() else weight.numpy().shape)


def is_builtin_layer(layer: Layer) -> bool:
    """Return whether the layer's class comes with Keras."""
    return is_builtin({"class_name": type(layer).__name__, "module": type(layer).__module__})


def _known_weights(layer: Layer) -> tuple[Weight, ...]:
    return (weights_of(serialize_keras_object(layer)) or ()) if is_builtin_layer(layer) else ()
