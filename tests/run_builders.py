"""Small saved models, data and comparisons for the tests of training runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras
from tf_keras import layers

from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.surgery import wrap_layers

EPOCHS, STEPS, BATCH = 3, 4, 8
TOTAL = EPOCHS * STEPS
SAMPLES = 30  # the last batch of an epoch is a short one


def build_model(*, run_eagerly=False):
    """Return a compiled classifier of 4x4 images with everything whose state could be lost:
    dropout, batch statistics, momentum.
    """
    tf_keras.utils.set_random_seed(7)
    inputs = layers.Input((4, 4, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(16, activation="relu", name="fc")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    outputs = layers.Dense(3, activation="softmax", name="predictions")(x)
    model = tf_keras.Model(inputs, outputs, name="net")
    model.compile(
        tf_keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        run_eagerly=run_eagerly,
    )
    return model


def build_dense_model(optimizer, *, run_eagerly=True):
    """Return a small compiled classifier with dropout; its few steps take less time than tracing
    them does.
    """
    tf_keras.utils.set_random_seed(7)
    stack = [
        layers.Flatten(input_shape=(4, 4, 1)),
        layers.Dense(8, name="fc"),
        layers.Dropout(0.3),
        layers.Dense(3, activation="softmax", name="predictions"),
    ]
    model = tf_keras.Sequential(stack, name="net")
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], run_eagerly=run_eagerly)
    return model


def ramp(*weights: str, end: float = 2, sparsity: float = 0.75) -> Pruning:
    """Return a polynomial ramp over the first `end` epochs, with an update after each step."""
    return Pruning(
        sparsity,
        Schedule(end=Position(end, "epoch"), every=Position(1, "step")),
        weights or ("kernel",),
    )


def wrap(model, **prunings: Pruning):
    """Return the model with conv and fc (or what is named) wrapped."""
    return wrap_layers(model, prunings or {"conv": ramp(sparsity=0.5), "fc": ramp()})


def write_data(path: Path, shape=(4, 4, 1), *, classes: int = 3) -> str:
    """Write an npz whose labels can be learned, and return its path."""
    rng = np.random.default_rng(5)
    y = rng.integers(0, classes, SAMPLES + 10)
    x = (rng.normal(size=(SAMPLES + 10, *shape)) + y.reshape(-1, *[1] * len(shape))).astype(
        "float32"
    )
    np.savez(path, x_train=x[:SAMPLES], y_train=y[:SAMPLES], x_test=x[SAMPLES:], y_test=y[SAMPLES:])
    return str(path)


@dataclass(frozen=True)
class Setting:
    """A saved, wrapped model and data to train it on."""

    model: str
    data: str
    folder: Path

    @property
    def options(self) -> dict:
        """Arguments of `train` after the run's folder."""
        return {"epochs": EPOCHS, "batch_size": BATCH, "checkpoint_every": "3 steps", "seed": 11}


def build_setting(folder: Path, suffix: str = ".keras", model=None) -> Setting:
    """Save a wrapped model and data in `folder`."""
    path = folder / f"wrapped{suffix}"
    save_model(wrap(build_model()) if model is None else model, path)
    return Setting(str(path), write_data(folder / "data.npz"), folder)


def everything(path: Path) -> dict[str, np.ndarray]:
    """Return all that a saved model holds: weights, masks, steps, slots and iterations."""
    model = load_model(path)
    found = {
        f"weight {index} {weight.name}": weight.numpy()
        for index, weight in enumerate(model.weights)
    }
    return found | {
        f"optimizer {index} {variable.name}": variable.numpy()
        for index, variable in enumerate(slots(model))
    }


def slots(model) -> list:
    """Return the variables of a model's optimizer, the number of updates among them."""
    variables = model.optimizer.variables
    return variables() if callable(variables) else variables


def assert_same_bits(first: Path, second: Path) -> None:
    """Fail unless two saved models hold the same bits; where files differ, they are loaded."""
    if first.is_file() and first.read_bytes() == second.read_bytes():
        return
    a, b = everything(first), everything(second)
    assert list(a) == list(b)
    different = [name for name in a if a[name].tobytes() != b[name].tobytes()]
    assert not different, different
