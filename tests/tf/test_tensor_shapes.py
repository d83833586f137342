"""Shapes found without TensorFlow are those of the live tensors; none is wrong, and nearly all are found."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import tf_keras
from layer_zoo import ARGUMENTS, PRUNABLE, STRINGS, WEIGHTED
from live_models import output_shapes
from tf_keras import layers
from tf_zoo import ZOO, build

from graphprune.graph import find_tensor_shapes, read_graph

pytestmark = pytest.mark.tf

UNTOLD = {"CategoryEncoding", "Dot", "Hashing", "Lambda", "RandomFourierFeatures", "RandomHeight", "RandomWidth", "TextVectorization", "IntegerLookup"}
UNTOLD |= {"DynamicLookup", "DynamicEmbedding"}
"""Classes whose output is not told; with them, what comes after them is not."""
SHAPES = ((5,), (6, 5), (6, 8, 5), (4, 5, 6, 5))

SETTINGS = {
    "strided": (lambda: layers.Conv2D(4, 3, strides=(2, 3), padding="same"), (9, 11, 2)),
    "dilated": (lambda: layers.Conv1D(4, 3, dilation_rate=2, padding="causal"), (9, 2)),
    "open": (lambda: layers.Conv2D(4, 3), (None, None, 2)),
    "up strided": (lambda: layers.Conv2DTranspose(4, (3, 2), strides=(2, 3)), (5, 6, 2)),
    "up same": (lambda: layers.Conv1DTranspose(4, 5, strides=3, padding="same"), (6, 2)),
    "up padded": (lambda: layers.Conv2DTranspose(4, 3, strides=2, output_padding=1), (5, 6, 2)),
    "depthwise strided": (lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same"), (9, 11, 2)),
    "pool same": (lambda: layers.MaxPooling2D(3, strides=2, padding="same"), (9, 11, 2)),
    "pool first": (lambda: layers.AveragePooling2D(2, data_format="channels_first"), (2, 9, 11)),
    "global first": (lambda: layers.GlobalMaxPooling2D(data_format="channels_first", keepdims=True), (2, 9, 11)),
    "pad": (lambda: layers.ZeroPadding2D(((1, 2), (3, 4))), (9, 11, 2)),
    "pad 1": (lambda: layers.ZeroPadding1D(2), (9, 2)),
    "crop 3": (lambda: layers.Cropping3D((1, 2, 1)), (5, 6, 7, 2)),
    "up 3": (lambda: layers.UpSampling3D((1, 2, 3)), (5, 6, 7, 2)),
    "batches": (lambda: layers.Conv1D(4, 2), (3, 9, 2)),
    "flat open": (lambda: layers.Flatten(), (None, 3)),
    "reshape open": (lambda: layers.Reshape((-1, 6)), (None, 3)),
    "reshape rest": (lambda: layers.Reshape((2, -1)), (4, 3)),
    "permute": (lambda: layers.Permute((3, 1, 2)), (4, 3, 2)),
    "states": (lambda: layers.LSTM(7, return_state=True, return_sequences=True), (6, 5)),
    "both states": (lambda: layers.Bidirectional(layers.LSTM(7, return_state=True), merge_mode="sum"), (6, 5)),
    "both apart": (lambda: layers.Bidirectional(layers.GRU(7, return_sequences=True), merge_mode=None), (6, 5)),
    "conv lstm": (lambda: layers.ConvLSTM2D(7, 3, strides=2, padding="same", return_sequences=True), (3, 9, 11, 2)),
    "distributed": (lambda: layers.TimeDistributed(layers.Conv2D(4, 3)), (3, 9, 11, 2)),
}


def several() -> Iterator[tf_keras.Model]:
    a, b = tf_keras.Input((4, 5), name="a"), tf_keras.Input((4, 7), name="b")
    yield tf_keras.Model([a, b], layers.Concatenate()([a, b]))
    yield tf_keras.Model([a, b], layers.Attention()([layers.Dense(3)(a), layers.Dense(3)(b)]))
    one = tf_keras.Input((4, 1), name="one")
    yield tf_keras.Model([a, one], layers.Multiply()([a, one]))
    yield tf_keras.Model([a, one], a * one + 3.0)


def towers() -> Iterator[tf_keras.Model]:
    inside = tf_keras.Input((None, None, 3), name="inside")
    tower = tf_keras.Model(inside, layers.Conv2D(4, 3, padding="same", strides=2)(inside), name="tower")
    small, large = tf_keras.Input((8, 8, 3), name="small"), tf_keras.Input((16, 16, 3), name="large")
    yield tf_keras.Model([small, large], [tower(small), tower(large)])
    deferred = tf_keras.Sequential([layers.Conv2D(4, 3), layers.Flatten()], name="deferred")
    yield tf_keras.Model(small, deferred(small))


def with_arguments(name: str) -> Iterator[tf_keras.Model]:
    for shape, dtype in itertools.product(SHAPES, ("float32", "int64", "string")):
        x = tf_keras.Input(shape, dtype=dtype)
        try:
            yield tf_keras.Model(x, getattr(layers, name)(**ARGUMENTS[name])([x, x] if name == "Dot" else x))
        except (ValueError, TypeError, IndexError, AttributeError):
            continue


def assert_shapes_are_live(model: tf_keras.Model, untold: int = 0) -> None:
    graph, live = read_graph(model.get_config()), output_shapes(model)
    found = find_tensor_shapes(graph)
    assert found.items() <= live.items()
    assert len(live) - len(found) <= untold or {layer.type for layer in graph.layers.values()} & UNTOLD


@pytest.mark.parametrize("name", ZOO)
def test_a_model_of_the_zoo(name: str) -> None:
    assert_shapes_are_live(build(name), untold=1 if name == "recurrent" else 0)


@pytest.mark.parametrize("samples", [PRUNABLE, WEIGHTED, STRINGS], ids=["prunable", "weighted", "strings"])
def test_each_layer_class(samples: dict[str, object]) -> None:
    tf_keras.backend.clear_session()
    for sample in samples.values():
        assert_shapes_are_live(sample.model())


def test_each_class_without_weights() -> None:
    tf_keras.backend.clear_session()
    for name in sorted(set(ARGUMENTS) - {"Lambda"}):  # what is inside one is not told, and TensorFlow's own functions do not serialize
        for model in with_arguments(name):
            assert_shapes_are_live(model)


def test_settings_that_change_lengths() -> None:
    tf_keras.backend.clear_session()
    for name, (make, shape) in SETTINGS.items():
        x = tf_keras.Input(shape)
        assert_shapes_are_live(tf_keras.Model(x, make()(x)), untold=1 if name == "up padded" else 0)


def test_several_tensors_and_nested_models_called_on_other_shapes() -> None:
    for model in (*several(), *towers()):
        assert_shapes_are_live(model)
