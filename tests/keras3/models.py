"""Small Keras 3 models of every kind, each with inputs, targets and a loss; for the child processes
of one backend.
"""

import keras
import numpy as np
from keras import layers

SAMPLES = 24
VERSION = tuple(map(int, keras.__version__.split(".")[:2]))
"""That of Keras; `versions.py` runs the cases with older ones, which lack some features."""


def numbers(*shape):
    return np.random.default_rng(3).normal(size=(SAMPLES, *shape)).astype("float32")


def tokens(length):
    return np.random.default_rng(3).integers(0, 12, size=(SAMPLES, length))


def operations():
    inputs = keras.Input((8,))
    x = layers.Dense(16, activation="relu", name="a")(inputs)
    x = layers.Dropout(0.2, seed=1)(x)
    x = keras.ops.tanh(x) + layers.Dense(16, name="b")(inputs) * 2.0
    return keras.Model(inputs, layers.Dense(4, name="c")(x), name="net"), numbers(8)


def convolutions():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="a")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(4, 3, name="b")(x)
    x = layers.DepthwiseConv2D(3, name="c")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4, name="d")(x)), numbers(8, 8, 2)


def nested_called_twice():
    inner_input = keras.Input((8,))
    inner = keras.Model(inner_input, layers.Dense(8, name="a")(inner_input), name="inner")
    inputs = keras.Input((8,))
    return keras.Model(inputs, layers.Dense(4, name="b")(inner(inner(inputs)))), numbers(8)


def shared():
    inputs, both = keras.Input((8,)), layers.Dense(8, name="both")
    x = layers.Concatenate()([both(inputs), both(both(inputs))])
    return keras.Model(inputs, layers.Dense(4, name="b")(x)), numbers(8)


def shared_with_a_nested_model():
    both, inner_input = layers.Dense(8, name="both"), keras.Input((8,))
    inside = layers.Dense(8, name="a")(both(inner_input))
    inner, inputs = keras.Model(inner_input, inside, name="inner"), keras.Input((8,))
    x = layers.Dense(8, name="c")(both(inner(inputs)))
    return keras.Model(inputs, layers.Dense(4, name="b")(x)), numbers(8)


def attention():
    inputs = keras.Input((6, 8))
    x = layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    x = layers.LayerNormalization()(x + inputs)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(4, name="d")(x)), numbers(6, 8)


def recurrent(kind):
    def build():
        inputs = keras.Input((5, 6))
        x = kind(inputs)
        return keras.Model(inputs, layers.Dense(4, name="d")(x)), numbers(5, 6)

    return build


def einsum_and_embedding():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(12, 6, name="table")(inputs)
    x = layers.EinsumDense("abc,cd->abd", output_shape=(None, 8), name="einsum")(x)
    x = layers.TimeDistributed(layers.Dense(4, name="inner"), name="each")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(4, name="d")(x)), tokens(5)


def sequential():
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8, activation="relu", name="a"), layers.Dense(4, name="b")]
    )
    return model, numbers(8)


def unbuilt():
    return keras.Sequential([layers.Dense(8, name="a"), layers.Dense(4, name="b")]), numbers(8)


class Block(layers.Layer):
    """A custom layer around layers of Keras, which nothing registers."""

    def __init__(self, units, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation = units, activation and keras.activations.get(activation)
        self.inner = layers.Dense(units)
        self.more = [layers.Dense(units), layers.Dense(units)]

    def build(self, shape):
        self.inner.build(shape)
        for layer in self.more:
            layer.build((*shape[:-1], self.units))
        super().build(shape)

    def call(self, x):
        x = self.inner(x)
        for layer in self.more:
            x = layer(x)
        return x if self.activation is None else self.activation(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "activation": self.activation}


class Scaled(layers.Layer):
    """A custom layer that says itself what to prune."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 6))
        super().build(shape)

    def call(self, x):
        return x @ self.kernel

    def get_prunable_weights(self):
        return [self.kernel]


def own_function(x):
    return keras.ops.tanh(x)


def custom_layers():
    inputs = keras.Input((8,))
    x = Block(6, own_function, name="block")(inputs)
    x = Scaled(name="scaled")(x)
    x = layers.Lambda(lambda x: x * 2.0, name="double")(x)
    x = layers.Dense(6, activation=own_function, name="own")(x)
    return keras.Model(inputs, layers.Dense(4, name="d")(x)), numbers(8)


class Net(keras.Model):
    """A subclassed model."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.blocks = [layers.Dense(units), Block(units)]
        self.drop = layers.Dropout(0.1, seed=2)
        self.head = layers.Dense(4)

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x, training=training))

    def build(self, shape):
        for block in self.blocks:
            block.build(shape)
            shape = (*shape[:-1], self.units)
        self.head.build(shape)
        super().build(shape)

    def get_config(self):
        return {"name": self.name, "units": self.units}


class Called(keras.Model):
    """A subclassed model without `build`: Keras builds it by its first call."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.flat = layers.Flatten()
        self.hidden = [layers.Dense(units, activation="relu") for _ in range(2)]
        self.head = layers.Dense(10)

    def call(self, x):
        x = self.flat(x)
        for layer in self.hidden:
            x = layer(x)
        return self.head(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def subclassed():
    model = Net()
    model.build((None, 8))
    return model, numbers(8)


MODELS = {
    "operations": operations,
    "convolutions": convolutions,
    "nested called twice": nested_called_twice,
    "shared": shared,
    "attention": attention,
    "LSTM": recurrent(layers.LSTM(4, name="r")),
    "GRU": recurrent(layers.GRU(4, name="r")),
    "Bidirectional": recurrent(layers.Bidirectional(layers.LSTM(3), name="r")),
    "stacked cells": recurrent(layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], name="r")),
    "einsum and embedding": einsum_and_embedding,
    "sequential": sequential,
    "unbuilt": unbuilt,
    "custom layers": custom_layers,
    "subclassed": subclassed,
}


def array(value):
    return np.array(keras.ops.convert_to_numpy(value))


def values(model):
    """All that a training changes: weights, random generators, optimizer."""
    own = [one for one in model.optimizer.variables if "graphprune" not in one.name]
    return [array(one) for one in (*model.variables, *own)]


def assert_same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one, other)
