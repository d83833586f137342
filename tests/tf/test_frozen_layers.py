"""Layers that are frozen in part: files list their weights in another order, and each is still
found by its name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from graphprune.archive import read_archive
from graphprune.graph import locate_weights, read_graph
from graphprune.tf.models.loading import load_model
from graphprune.tf.pruning.addresses import addressed_layers, is_layered_model

pytestmark = pytest.mark.tf
Make = Callable[[], tf_keras.Model]


def stack(*parts, shape=(5, 3), name="net"):
    return tf_keras.Sequential([layers.Input(shape), *parts], name=name)


def bidirectional(frozen: str, nested: bool = False) -> tf_keras.Model:
    layer = layers.Bidirectional(layers.LSTM(4), name="bi")
    model = (
        stack(stack(layer, layers.Dense(3, name="fc"), name="inner")) if nested else stack(layer)
    )
    getattr(layer, frozen).trainable = False
    return model


def two_kinds() -> tf_keras.Model:
    layer = layers.Bidirectional(
        layers.LSTM(4), backward_layer=layers.GRU(4, go_backwards=True), name="bi"
    )
    model = stack(layer)
    layer.forward_layer.trainable = False
    return model


def distributed() -> tf_keras.Model:
    layer = layers.Bidirectional(layers.LSTM(4))
    model = stack(layers.TimeDistributed(layer, name="td"), shape=(2, 5, 3))
    layer.forward_layer.trainable = False
    return model


def attention(frozen: str, nested: bool = False) -> tf_keras.Model:
    inside, layer = tf_keras.Input((5, 3)), layers.MultiHeadAttention(2, 3, name="mha")
    model = tf_keras.Model(inside, layer(inside, inside), name="inner")
    getattr(layer, frozen).trainable = False
    return stack(model) if nested else model


def cells(frozen: int) -> tf_keras.Model:
    inner = [layers.LSTMCell(4), layers.LSTMCell(4), layers.GRUCell(4)]
    model = stack(layers.RNN(inner, name="rnn"))
    inner[frozen].trainable = False
    return model


def normalization(*frozen: str) -> tf_keras.Model:
    inner = stack(
        layers.Dense(4, name="a"),
        layers.BatchNormalization(name="bn"),
        layers.Dense(4, name="b"),
        name="inner",
    )
    for name in frozen:
        inner.get_layer(name).trainable = False
    outer = stack(inner, layers.BatchNormalization(name="last"))
    outer.get_layer("last").trainable = False
    return outer


MODELS: dict[str, Make] = {
    "forward": lambda: bidirectional("forward_layer"),
    "backward": lambda: bidirectional("backward_layer"),
    "nested-forward": lambda: bidirectional("forward_layer", nested=True),
    "two-kinds": two_kinds,
    "distributed": distributed,
    "query": lambda: attention("_query_dense"),
    "nested-key": lambda: attention("_key_dense", nested=True),
    "first-cell": lambda: cells(0),
    "second-cell": lambda: cells(1),
    "normalization": lambda: normalization("bn", "a"),
    "all-frozen": lambda: normalization("a", "bn", "b"),
}
SELDOM = ("backward", "nested-forward", "query", "first-cell")
"""Models whose layers stand frozen in another model as well; `--slow` runs them."""
OFTEN = [pytest.param(name, marks=pytest.mark.slow) if name in SELDOM else name for name in MODELS]
PARTS = {
    "query": "_query_dense",
    "key": "_key_dense",
    "value": "_value_dense",
    "attention_output": "_output_dense",
}


def live_weight(layer: tf_keras.layers.Layer, name: str) -> np.ndarray:
    """Return the weight that goes by our name (`forward_layer.kernel`, `cells.0.bias`) in a live
    layer.
    """
    *path, last = name.split(".")
    for part in path:
        inside = layer.cell.cells if part == "cells" else None
        layer = inside or (
            layer[int(part)] if part.isdecimal() else getattr(layer, PARTS.get(part, part))
        )
    cell = getattr(layer, "cell", layer)
    return next(weight for weight in cell.weights if weight.name.endswith(f"/{last}:0")).numpy()


@pytest.mark.parametrize("name", OFTEN)
def test_each_weight_is_found_by_its_name(tmp_path, name):
    tf.random.set_seed(7)
    model = MODELS[name]()
    for weight in model.weights:
        weight.assign(tf.random.normal(weight.shape))
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.h5")
    model.save(tmp_path / "m", save_format="tf", save_traces=False)  # no reader asks for these
    for path in (tmp_path / "m.keras", tmp_path / "m.h5", tmp_path / "m"):
        archive = read_archive(path)
        located = locate_weights(archive, read_graph(archive))
        for address, layer in addressed_layers(model):
            if not is_layered_model(layer):
                assert len(located.tensors.get(address, {})) == len(layer.weights)
                for tensor, stored in located.tensors.get(address, {}).items():
                    np.testing.assert_array_equal(
                        archive.read(stored),
                        live_weight(layer, tensor),
                        f"{path.name} {address} {tensor}",
                    )


@pytest.mark.parametrize("name", [name for name in OFTEN if name != "two-kinds"])
def test_an_h5_file_loads_with_each_weight_in_its_place(tmp_path, name):
    tf.random.set_seed(7)
    model = MODELS[name]()
    model.save(tmp_path / "m.h5")
    samples = np.random.default_rng(1).normal(size=(4, *model.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(load_model(tmp_path / "m.h5")(samples), model(samples))
