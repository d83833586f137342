from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers
from tf_zoo import build

from graphprune.errors import GraphError
from graphprune.sparsity.positions import Run
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import (
    collect_prunable_layers,
    prune_low_magnitude,
    strip_pruning,
)
from graphprune.tf.pruning.keras_schedules import ConstantSparsity, PolynomialDecay
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

pytestmark = pytest.mark.tf

SCHEDULES = [
    ConstantSparsity(0.6, 3, 11, 4),
    ConstantSparsity(0.5, 0),
    PolynomialDecay(0.1, 0.8, 2, 13, 2.0, 5),
    PolynomialDecay(0.0, 0.9, 4, 4),
]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_answer_like_the_timetable_that_the_pruner_follows(schedule):
    timetable = schedule.to_schedule().to_timetable(Run())
    for step in range(20):
        is_due, sparsity = schedule(tf.constant(step))
        assert bool(is_due) == timetable.is_due(after=step - 1, step=step)
        if is_due:
            assert float(sparsity) == pytest.approx(
                timetable.sparsity_at(step, schedule.target), abs=1e-6
            )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_round_trip_through_their_config(schedule):
    assert type(schedule).from_config(schedule.get_config()) == schedule
    assert schedule.get_config()["class_name"] == type(schedule).__name__


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: ConstantSparsity(1.0, 0),
            "target_sparsity must be at least 0 and below 1, got 1.0",
        ),
        (lambda: ConstantSparsity(0.5, -1), "begin_step must be at least 0, got -1"),
        (
            lambda: ConstantSparsity(0.5, 5, 4),
            "end_step must be at least begin_step (5) or -1, got 4",
        ),
        (lambda: ConstantSparsity(0.5, 0, frequency=0), "frequency must be at least 1, got 0"),
        (
            lambda: PolynomialDecay(0.1, 0.5, 0, -1),
            "end_step must be at least begin_step (0), got -1",
        ),
        (
            lambda: PolynomialDecay(-0.1, 0.5, 0, 4),
            "initial_sparsity must be at least 0 and below 1, got -0.1",
        ),
        (lambda: PolynomialDecay(0.1, 0.5, 0, 4, power=0), "power must be above 0, got 0"),
    ],
)
def test_arguments_that_no_schedule_can_have_are_refused(make, text):
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        make()


def test_a_model_is_cloned_pruned_trained_and_stripped():
    model = build("sequential")
    pruned = prune_low_magnitude(model)
    assert [layer.name for layer in collect_prunable_layers(pruned)] == ["d1", "d2"]
    assert collect_prunable_layers(model) == []
    pruned.compile("sgd", "mse")
    pruned.fit(np.ones((4, 5)), np.ones((4, 2)), verbose=0, callbacks=[UpdatePruningStep()])
    stripped = strip_pruning(pruned)
    assert stripped.get_config() == model.get_config()
    assert [np.count_nonzero(stripped.get_layer(name).kernel.numpy()) for name in ("d1", "d2")] == [
        15,
        6,
    ]


def test_layers_alone_are_wrapped_themselves():
    dense, flat = layers.Dense(2, name="d"), layers.Flatten(name="f")
    wrapped = prune_low_magnitude([flat, dense], PolynomialDecay(0, 0.75, 0, 4))
    assert [(type(layer), layer.layer, layer.pruning.weights) for layer in wrapped] == [
        (PruneLowMagnitude, flat, ()),
        (PruneLowMagnitude, dense, ("kernel",)),
    ]
    assert prune_low_magnitude(wrapped[1]) is wrapped[1]
    model = tf_keras.Sequential(
        [prune_low_magnitude(layers.Dense(4, name="first"), input_shape=(3,)), *wrapped]
    )
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(
        np.ones((8, 3)), np.ones((8, 2)), batch_size=2, verbose=0, callbacks=[UpdatePruningStep()]
    )
    assert np.count_nonzero(dense.kernel.numpy()) == 2


class Own(layers.Layer):
    pass


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            (Own(name="o"),),
            ValueError,
            (
                "o: graphprune does not know the weights of custom layer class Own; leave it out,"
                " or let the class inherit graphprune.PrunableLayer and name its weights in"
                " get_prunable_weights"
            ),
        ),
        (
            (3,),
            GraphError,
            "builtins.int is not a Keras model; give a Sequential or Functional model",
        ),
        (
            ([3],),
            GraphError,
            "builtins.int is not a Keras layer; give a layer, a list of layers or a model",
        ),
    ],
)
def test_what_cannot_be_pruned_is_refused(arguments, error, text):
    with pytest.raises(error, match="^" + re.escape(text) + "$"):
        prune_low_magnitude(*arguments)
