"""Help for Keras while it builds the layers of a clone.

`foresee_outputs` takes output shapes and dtypes from the original, so that Keras need not trace
`call` to find them, which takes most of the time of cloning a large model.
`spectral_layers_buildable` gives SpectralNormalization the InputSpec of tf_keras; by default it
takes that of `tf.keras`, which tf_keras refuses if it is Keras 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src import backend
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.engine.keras_tensor import KerasTensor
from tf_keras.src.layers.normalization import spectral_normalization

from graphprune.tf.layers.prunable_layer import live_class

_INFER = "_infer_output_signature"


def foresee_outputs(source: Layer, clone: Layer, inner: Layer) -> None:
    """Let the first call of `clone` return tensors like those that `source` returned.

    Only in functional models, and only if the class and the inputs allow it.

    Args:
        source: A layer of a functional model; it may be in a pruning wrapper.
        clone: The new, unbuilt layer that replaces it; it may be in one as well.
        inner: The layer in the clone's wrapper, or `clone` itself.
    """
    nodes = source._inbound_nodes
    if source.compute_dtype != inner.compute_dtype:  # its outputs have another dtype
        return
    if not _is_pure(inner) or len(nodes) != 1 or inner._activity_regularizer is not None:
        return
    tensors = tf.nest.flatten((nodes[0].keras_inputs, nodes[0].outputs))
    if all(
        type(tensor) is KerasTensor and getattr(tensor, "_keras_mask", None) is None
        for tensor in tensors
    ):
        # not by setattr, which Keras tracks; it is removed at the first call
        vars(clone)[_INFER] = partial(_infer, source, clone, inner)


def _is_pure(layer: Layer) -> bool:
    """Return whether this is a Keras layer whose calls leave no state in it."""
    kind = type(layer)
    return kind is getattr(tf_keras.layers, kind.__name__, None) and live_class(layer).is_pure


def _infer(
    source: Layer, clone: Layer, inner: Layer, inputs: Any, args: Any, kwargs: Any, input_masks: Any
) -> KerasTensor:
    """Build `clone` and return its outputs, as `Layer._infer_output_signature` does."""
    del vars(clone)[_INFER]
    node = source._inbound_nodes[0]
    if _specs(inputs) != _specs(node.keras_inputs) or any(
        mask is not None for mask in tf.nest.flatten(input_masks)
    ):
        return clone._infer_output_signature(inputs, args, kwargs, input_masks)
    with backend.name_scope(clone._name_scope()):
        clone._maybe_build(inputs)
    clone._set_save_spec(inputs, args, kwargs)
    if inner is not clone:
        inner._set_save_spec(tf.nest.map_structure(_unnamed, inputs), args, kwargs)

    def like(output: KerasTensor) -> KerasTensor:
        name = output.name.removeprefix(f"{source.name}/").removeprefix(f"{inner.name}/")
        scope = f"{inner.name}/" if inner is clone else f"{clone.name}/{inner.name}/"
        return KerasTensor(output.type_spec, output._inferred_value, f"{scope}{name}")

    return tf.nest.map_structure(like, node.outputs)


def _unnamed(tensor: KerasTensor) -> KerasTensor:
    return KerasTensor(tf.TensorSpec(tensor.shape, tensor.dtype))


def _specs(inputs: Any) -> list[tf.TypeSpec | None]:
    return [getattr(tensor, "type_spec", None) for tensor in tf.nest.flatten(inputs)]


@contextmanager
def spectral_layers_buildable() -> Iterator[None]:
    """Let SpectralNormalization build with the InputSpec of tf_keras, whatever `tf.keras` is."""
    before = spectral_normalization.tf
    spectral_normalization.tf = _TensorFlowOfTfKeras(before)
    try:
        yield
    finally:
        spectral_normalization.tf = before


class _TensorFlowOfTfKeras:
    """TensorFlow, with tf_keras as its `keras`."""

    keras = tf_keras

    def __init__(self, tensorflow: Any) -> None:
        self._tensorflow = tensorflow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tensorflow, name)
