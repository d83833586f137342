"""What a live model says of itself, to hold against a graph that was read without TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import tensorflow as tf
import tf_keras

Edge = tuple[str, int, str]
"""Source address, tensor index, target address."""


def walk(model: tf_keras.Model, prefix: str = "") -> Iterator[tuple[str, tf_keras.layers.Layer]]:
    """Yield all layers with their address, the input layers of Sequential models included."""
    for layer in model._self_tracked_trackables:
        if isinstance(layer, tf_keras.layers.Layer):
            yield prefix + layer.name, layer
            if isinstance(layer, tf_keras.Model):
                yield from walk(layer, f"{prefix}{layer.name}::")


def all_weights(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """Return what h5 files hold, in their order."""
    return layer.trainable_weights + layer.non_trainable_weights


def edges(model: tf_keras.Model) -> Counter[Edge]:
    """Return how often each layer takes each tensor of each other layer."""
    models = {"": model} | {
        f"{address}::": layer for address, layer in walk(model) if isinstance(layer, tf_keras.Model)
    }
    return Counter(
        (
            prefix + tensor._keras_history.layer.name,
            tensor._keras_history.tensor_index,
            prefix + node.layer.name,
        )
        for prefix, inner in models.items()
        for nodes in inner._nodes_by_depth.values()
        for node in nodes
        if not node.is_input
        for tensor in node.keras_inputs
    )


def output_shapes(model: tf_keras.Model) -> dict[tuple[str, int, int], tuple[int | None, ...]]:
    """Return the static shape of each tensor by address, call and index."""
    models = {"": model} | {
        f"{address}::": layer for address, layer in walk(model) if isinstance(layer, tf_keras.Model)
    }
    shapes = {}
    for prefix, inner in models.items():
        own = {id(node) for nodes in inner._nodes_by_depth.values() for node in nodes}
        for layer in inner._self_tracked_trackables:
            nodes = [node for node in getattr(layer, "_inbound_nodes", ()) if id(node) in own]
            for call, node in enumerate(nodes):
                tensors = enumerate(tf.nest.flatten(node.outputs))
                shapes.update(
                    {
                        (prefix + layer.name, call, index): tuple(tensor.shape)
                        for index, tensor in tensors
                    }
                )
    return shapes
