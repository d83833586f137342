"""Write the two models of this folder with the Keras 3 that is installed, whichever it is.

`python tests/keras3_versions/write.py` adds functional-VERSION.keras and subclassed-VERSION.keras.
Those of 3.3.3, 3.6.0 and 3.15.1 are kept: 3.3 writes no names of layers, 3.15 also what is in lists
in lists.
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = sys.argv[1] if len(sys.argv) > 1 else "jax"

import keras
from keras import layers

FOLDER = Path(__file__).parent


@keras.saving.register_keras_serializable("versions")
class Block(layers.Layer):
    """A custom layer with a weight, and layers as attributes, in a list and in a dict."""

    def __init__(self, units=4, **settings):
        super().__init__(**settings)
        self.units = units
        self.d = layers.Dense(units, name="named_otherwise")
        self.steps = [layers.Dense(units), layers.ReLU(), layers.Dense(units, use_bias=False)]
        self.table = {"a": layers.LayerNormalization(), "b": layers.BatchNormalization()}
        self.mha = layers.MultiHeadAttention(2, 2)
        self.lstm = layers.LSTM(units, return_sequences=True)
        self.gru = layers.GRU(units, return_sequences=True)
        self.emb = layers.Embedding(6, units)

    def build(self, shape):
        self.w = self.add_weight(shape=(self.units, self.units), name="w")
        for layer in (self.d, *self.steps, *self.table.values(), self.lstm, self.gru):
            layer.build(shape)
        self.mha.build(shape, shape)
        self.emb.build(None)
        super().build(shape)

    def call(self, x):
        for layer in (self.d, *self.steps, *self.table.values()):
            x = layer(x)
        return self.gru(self.lstm(self.mha(x @ self.w, x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("versions")
class Net(keras.Model):
    """A subclassed model."""

    def __init__(self, units=4, **settings):
        super().__init__(**settings)
        self.units = units
        self.block = Block(units)
        self.heads = [layers.Dense(3), layers.Dense(3)]

    def build(self, shape):
        for layer in (self.block, *self.heads):
            layer.build(shape)
        super().build(shape)

    def call(self, x):
        return self.heads[0](self.block(x)) + self.heads[1](x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def functional():
    inputs = keras.Input((5, 4))
    return keras.Model(inputs, layers.Dense(3, name="end")(Block(name="block")(inputs)), name="m")


def subclassed():
    model = Net(name="net")
    model.build((None, 5, 4))
    return model


if __name__ == "__main__":
    for make in (functional, subclassed):
        make().save(FOLDER / f"{make.__name__}-{keras.__version__}.keras")
