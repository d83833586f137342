"""The optimizer of a model comes back from every format: its class, step, slots and loss scale.

The rows are optimizers and formats; that the same holds with every layer class in the model is in
`test_layer_matrix`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

import graphprune
from graphprune.archive.saved_model.optimizer import read_optimizer
from graphprune.tf.layers.optimizer_state import hidden_variables, inner_optimizer, listed_variables
from graphprune.tf.models import saved_optimizer
from graphprune.tf.models.export import write_saved_model
from graphprune.tf.pruning.surgery import strip_model

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:.*")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4, 3)).astype("float32")
Y = RNG.normal(size=(8, 2)).astype("float32")
FORMATS = (".keras", ".h5", "")
STEPS = 3


def small() -> tf_keras.Model:
    return tf_keras.Sequential(
        [layers.Input((4, 3)), layers.Flatten(), layers.Dense(3, name="a"), layers.Dense(2)]
    )


def recurrent() -> tf_keras.Model:
    """A model of the layers whose SavedModels Keras itself may fail to load."""
    return tf_keras.Sequential(
        [
            layers.Input((4, 3)),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(3)),
            layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(2)]),
            layers.Dense(2),
        ]
    )


def same_names() -> tf_keras.Model:
    """A model in which two variables have one name."""
    inner = tf_keras.Sequential([layers.Input((3,)), layers.Dense(3, name="a")], name="inner")
    x = layers.Input((4, 3))
    y = layers.Dense(2)(inner(layers.Dense(3, name="a")(layers.Flatten()(x))))
    return tf_keras.Model(x, y)


def train(model: tf_keras.Model, optimizer: object, steps: int = STEPS) -> tf_keras.Model:
    model.compile(optimizer, "mse", run_eagerly=True)
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return model


def save(model: tf_keras.Model, path: Path) -> Path:
    if path.suffix:
        graphprune.save_model(model, path)
    else:
        model.save(path, save_format="tf", save_traces=False)
    return path


def values(model: tf_keras.Model) -> list[np.ndarray]:
    """Return all state of the optimizer, the loss scale last."""
    scale = getattr(model.optimizer, "_loss_scale", None)
    scaling = [scale.current_loss_scale, scale.counter] if scale is not None else []
    hidden = hidden_variables(model.optimizer)
    found = [*listed_variables(model.optimizer), *map(hidden.get, sorted(hidden)), *scaling]
    return [variable.numpy() for variable in found]


def assert_same_optimizer(model: tf_keras.Model, loaded: tf_keras.Model) -> None:
    assert type(inner_optimizer(loaded.optimizer)) is type(inner_optimizer(model.optimizer))
    assert loaded.optimizer.iterations.numpy() == STEPS
    for wanted, got in zip(values(model), values(loaded), strict=True):
        np.testing.assert_array_equal(wanted, got)


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        *(pytest.param(recurrent, suffix, marks=pytest.mark.slow) for suffix in (".keras", ".h5")),
        (recurrent, ""),
        *((same_names, suffix) for suffix in (".keras", "")),  # Keras cannot write it to .h5
    ],
)
def test_training_goes_on_as_if_the_model_had_not_been_saved(
    make: Callable[[], tf_keras.Model], suffix: str, tmp_path: Path
) -> None:
    model = train(make(), tf_keras.optimizers.Adam(0.01))
    loaded = graphprune.load_model(save(model, tmp_path / f"m{suffix}"))
    assert_same_optimizer(model, loaded)
    for one in (model, loaded):
        one.run_eagerly = True  # a SavedModel does not say so
        one.train_on_batch(X, Y)
    for wanted, got in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(wanted, got)


def test_slots_are_reset_where_a_part_of_a_layer_was_frozen(tmp_path: Path) -> None:
    model = recurrent()  # no config says what is frozen in a layer
    model.layers[0].forward_layer.trainable = False
    folder = save(train(model, tf_keras.optimizers.Adam(0.01)), tmp_path / "m")
    with pytest.warns(UserWarning, match=r"does not fit the model \(no slots for .*forward_"):
        loaded = graphprune.load_model(folder)
    assert loaded.optimizer.iterations.numpy() == 0
    loaded.train_on_batch(X, Y)


MODULES = {"": tf_keras.optimizers, "legacy.": tf_keras.optimizers.legacy}
OPTIMIZERS = [
    f"{prefix}{name}"
    for prefix, module in MODULES.items()
    for name, value in sorted(vars(module).items())
    if isinstance(value, type) and name not in ("Optimizer", "LossScaleOptimizer")
]
OFTEN = ("Nadam", "SGD", "legacy.Adam", "legacy.SGD")


@pytest.mark.parametrize(
    "name",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in OPTIMIZERS],
)
def test_a_saved_model_keeps_every_optimizer(name: str, tmp_path: Path) -> None:
    prefix, _, plain = name.rpartition(".")
    optimizer = getattr(MODULES[f"{prefix}." if prefix else ""], plain)(0.01)
    model = train(small(), optimizer)
    assert_same_optimizer(model, graphprune.load_model(save(model, tmp_path / "m")))


@pytest.mark.parametrize("suffix", FORMATS, ids=["keras", "h5", "savedmodel"])
def test_mixed_precision_keeps_the_step_and_slots(suffix: str, tmp_path: Path) -> None:
    scaled = tf_keras.mixed_precision.LossScaleOptimizer(
        tf_keras.optimizers.Adam(0.01), initial_scale=64, dynamic_growth_steps=2
    )
    model = train(small(), scaled)
    loaded = graphprune.load_model(save(model, tmp_path / f"m{suffix}"))
    if suffix:  # Keras leaves the current scale out of files
        loaded.optimizer._loss_scale.current_loss_scale.assign(scaled.loss_scale)
        loaded.optimizer._loss_scale.counter.assign(scaled.dynamic_counter)
    assert_same_optimizer(model, loaded)


def test_a_wrapped_and_a_stripped_model_have_the_optimizer_of_the_folder(tmp_path: Path) -> None:
    model = train(recurrent(), tf_keras.optimizers.Adam(0.01))
    loaded = graphprune.load_model(save(model, tmp_path / "m"))
    wrapped = graphprune.prune_low_magnitude(loaded)
    assert_same_optimizer(model, wrapped)
    write_saved_model(wrapped, tmp_path / "wrapped")
    assert_same_optimizer(model, strip_model(graphprune.load_model(tmp_path / "wrapped")))


def test_a_model_that_was_compiled_and_not_trained_starts_at_step_0(tmp_path: Path) -> None:
    model = small()
    model.compile("adam", "mse")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded = graphprune.load_model(save(model, tmp_path / "m"))
    assert not any("optimizer is reset" in str(warning.message) for warning in told)
    assert loaded.optimizer.iterations.numpy() == 0


def test_state_of_other_weights_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(train(small(), tf_keras.optimizers.Adam(0.01)), tmp_path / "m")
    whole = read_optimizer(str(folder))
    assert whole is not None
    part = replace(whole, variables=whole.variables[:5])
    monkeypatch.setattr(saved_optimizer, "read_optimizer", lambda _: part)
    text = (
        f"{folder}: the saved optimizer state does not fit the model (5 variables in place of 9),"
        " so the optimizer is reset; save the model as .keras"
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded = graphprune.load_model(folder)
    assert str(told[0].message) == text
    assert loaded.optimizer.iterations.numpy() == 0
