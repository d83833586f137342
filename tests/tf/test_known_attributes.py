"""The wrapper as users of Keras pruning know it: its attributes, its place in a Sequential model,
and as a SavedModel.
"""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

import graphprune
from graphprune import (
    ConstantSparsity,
    PolynomialDecay,
    PruneLowMagnitude,
    apply_rules,
    prune_low_magnitude,
)
from graphprune.sparsity.positions import Position
from graphprune.sparsity.pruning import Pruning
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.keras_api import UNLISTED
from graphprune.tf.pruning.keras_schedules import PlannedSchedule

pytestmark = [pytest.mark.tf, pytest.mark.usefixtures("own_input_spec")]

PARTS = {
    "bidirectional": ((5, 4), lambda: layers.Bidirectional(layers.LSTM(3), name="part")),
    "time distributed": ((5, 4), lambda: layers.TimeDistributed(layers.Dense(3), name="part")),
    "stacked cells": (
        (5, 4),
        lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], name="part"),
    ),
    "dense": ((4,), lambda: layers.Dense(3, name="part")),
    "spectral": ((4,), lambda: layers.SpectralNormalization(layers.Dense(3), name="part")),
}


QUICK = ("time distributed", "dense", "spectral")
"""A wrapper around a wrapper, and a layer that Keras does not find by itself."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PARTS]
)
def test_a_wrapped_saved_model_loads_with_keras_alone(tmp_path, name):
    shape, make = PARTS[name]
    model = tf_keras.Sequential([layers.Input(shape), make()])
    wrapped = prune_low_magnitude(model, ConstantSparsity(0.5, 0))
    wrapped.compile("sgd", "mse")
    x = np.random.default_rng(3).normal(size=(4, *shape)).astype("float32")
    wrapped.fit(
        x, wrapped.predict(x, verbose=0), verbose=0, callbacks=[graphprune.UpdatePruningStep()]
    )
    wrapped.save(tmp_path / "saved", save_format="tf")
    for loaded in (load_with_keras(tmp_path / "saved"), graphprune.load_model(tmp_path / "saved")):
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), wrapped.predict(x, verbose=0), rtol=1e-6
        )
        ((_, again),) = find_wrappers(loaded).items()
        for old, new in zip(
            find_wrappers(wrapped)["part"].pruning_vars, again.pruning_vars, strict=True
        ):
            assert [value.name for value in new] == [value.name for value in old]
            np.testing.assert_array_equal(new[1].numpy(), old[1].numpy())
            assert not old[1].numpy().all()


def test_a_saved_model_of_an_earlier_version_is_read(tmp_path, monkeypatch):
    model = tf_keras.Sequential(
        [layers.Input((5, 4)), layers.TimeDistributed(layers.Dense(3), name="part")]
    )
    with monkeypatch.context() as patched:
        patched.setattr("graphprune.tf.pruning.wrapper.state_attribute", lambda name: name)
        earlier = prune_low_magnitude(model)
        earlier.layers[0].pruning_vars[0][1].assign(np.eye(4, 3, dtype=bool))
        earlier.save(tmp_path / "saved", save_format="tf")
    (wrapper,) = find_wrappers(graphprune.load_model(tmp_path / "saved")).values()
    np.testing.assert_array_equal(wrapper.pruning_vars[0][1].numpy(), np.eye(4, 3, dtype=bool))


def load_with_keras(path) -> tf_keras.Model:
    # SpectralNormalization, which Keras writes and does not find again by itself
    unlisted = {layer.__name__: layer for layer in UNLISTED}
    with tf_keras.utils.custom_object_scope(unlisted):
        return tf_keras.models.load_model(path)


FIRST = {
    "dense": lambda: layers.Dense(4, input_shape=(3,)),
    "conv": lambda: layers.Conv2D(2, 3, input_shape=(8, 8, 1)),
    "embedding": lambda: layers.Embedding(9, 2),
}


@pytest.mark.parametrize("make", FIRST.values(), ids=FIRST)
def test_a_sequential_model_is_built_by_the_input_shape_of_the_layer_inside(make):
    plain, wrapped = (
        tf_keras.Sequential([make()], name="m"),
        tf_keras.Sequential([prune_low_magnitude(make())], name="m"),
    )
    assert wrapped.built
    assert wrapped.input_shape == plain.input_shape
    wrapper = wrapped.layers[0]
    assert "batch_input_shape" not in wrapper.get_config()
    again = tf_keras.Sequential([PruneLowMagnitude.from_config(wrapper.get_config())])
    assert again.input_shape == plain.input_shape
    own = tf_keras.Sequential([prune_low_magnitude(layers.Dense(4), batch_input_shape=(2, 3))])
    assert own.input_shape == (2, 3)
    assert tf_keras.Sequential.from_config(own.get_config()).input_shape == (2, 3)


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantSparsity(0.6, 3, 11, 4),
        ConstantSparsity(0.5, 0),
        PolynomialDecay(0.1, 0.8, 2, 13, 2.0, 5),
    ],
)
def test_a_wrapper_has_its_arguments_also_when_it_was_saved(schedule):
    wrapper = prune_low_magnitude(
        layers.Dense(8), schedule, block_size=(2, 4), block_pooling_type="MAX"
    )
    for each in (wrapper, PruneLowMagnitude.from_config(wrapper.get_config())):
        assert each.pruning_schedule == schedule
        assert (each.block_size, each.block_pooling_type, each.sparsity_m_by_n) == (
            (2, 4),
            "MAX",
            None,
        )
    groups = prune_low_magnitude(layers.Dense(8), sparsity_m_by_n=(2, 4))
    assert (groups.block_size, groups.block_pooling_type, groups.sparsity_m_by_n) == (
        (1, 1),
        "AVG",
        (2, 4),
    )
    rows = prune_low_magnitude(layers.Dense(8), schedule, block_size=(1, 4))
    assert rows.block_size == (1, 4)


def steps(value: int) -> Position:
    return Position(value, "step")


@pytest.mark.parametrize(
    ("schedule", "known"),
    [
        (
            Schedule("linear", steps(2), steps(10), steps(4), initial=0.2),
            PolynomialDecay(0.2, 0.5, 2, 10, 1.0, 4),
        ),
        (Schedule("polynomial", steps(2), steps(10)), PolynomialDecay(0.0, 0.5, 2, 10, 3.0, 8)),
        (Schedule("step", steps(5)), ConstantSparsity(0.5, 5, 5, 1)),
        (Schedule("constant", steps(5), None, None), ConstantSparsity(0.5, 5, -1, 100)),
    ],
)
def test_schedules_of_rules_are_told_as_keras_has_them(schedule, known):
    found = PruneLowMagnitude(layers.Dense(3), Pruning(0.5, schedule, ("kernel",))).pruning_schedule
    assert found == known
    timetable = schedule.to_timetable(graphprune.Run())
    for step in range(20):
        assert bool(found(step)[0]) == timetable.is_due(after=step - 1, step=step)


def test_schedules_that_keras_pruning_does_not_have_answer_steps_where_they_are_known():
    ramp = Schedule("exponential", steps(0), steps(10), steps(5))
    found = PruneLowMagnitude(layers.Dense(3), Pruning(0.75, ramp, ("kernel",))).pruning_schedule
    assert [bool(found(step)[0]) for step in (0, 3, 5, 10)] == [True, False, True, True]
    assert (found.target, float(found(5)[1]), found.to_schedule()) == (0.75, 0.5, ramp)
    assert PlannedSchedule.from_config(found.get_config()).schedule == ramp
    in_percent = apply_rules(
        tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, name="d")]),
        {
            "version": 1,
            "rules": [
                {
                    "id": "d",
                    "match": {"type": "Dense"},
                    "prune": {"sparsity": 0.5, "schedule": {"curve": "polynomial", "end": "60%"}},
                }
            ],
        },
    )
    with pytest.raises(
        ValueError, match=r"^end is 60%, and the number of steps in an epoch is not known$"
    ):
        find_wrappers(in_percent)["d"].pruning_schedule(3)


def test_summaries_need_a_folder():
    with pytest.raises(
        ValueError,
        match=(
            r"^log_dir must name a folder, got ''; give the folder that TensorBoard shows, such as"
            r" 'logs'$"
        ),
    ):
        graphprune.PruningSummaries(log_dir="")
