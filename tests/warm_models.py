"""Small sound models in all formats, so that a process has done what TensorFlow does once before it
is watched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import tf_keras
from tf_keras import layers


class Spy(layers.Layer):
    """A layer of the user's that opens a file and starts a program while it is built."""

    def build(self, input_shape):
        with open("/etc/hostname", encoding="utf-8") as file:
            file.read()
        os.system("true")
        super().build(input_shape)


SPY = {"Spy": Spy}


def write_all(folder: Path) -> Iterator[Path]:
    """Write models into `folder`; yields the path of each."""
    text = tf_keras.Input((1,), dtype="string")
    words = layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=4)(text)
    hidden = layers.Bidirectional(layers.LSTM(2))(layers.Embedding(10, 2)(words))
    output = layers.Dense(2, activation="relu", kernel_regularizer="l2")(hidden * 2 + 1)
    model = tf_keras.Model(text, output)
    model.compile("adam", "mse", ["mae"])
    for name in ("warm.keras", "warm.h5"):
        model.save(folder / name)
        yield folder / name
    plain = tf_keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    plain.compile("sgd", "mse")
    plain.save(folder / "warm", save_format="tf")
    yield folder / "warm"
