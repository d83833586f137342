"""Training and stripping of models in which nothing is pruned, or less than was asked for, are told
of.
"""

import re
import warnings

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from graphprune.errors import TrainingError
from graphprune.sparsity.missed_targets import MissedTarget, describe_missed
from graphprune.tf.pruning.callbacks import PruningSummaries, UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_low_magnitude, strip_pruning
from graphprune.tf.pruning.keras_schedules import PolynomialDecay

pytestmark = pytest.mark.tf

X, Y = np.random.default_rng(0).normal(size=(16, 8)), np.ones((16, 2))


def original() -> tf_keras.Model:
    model = tf_keras.Sequential(
        [layers.Input((8,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")], name="net"
    )
    model.compile("adam", "mse", run_eagerly=True)
    return model


def pruned() -> tf_keras.Model:
    return prune_low_magnitude(original(), PolynomialDecay(0.25, 0.75, 0, 8, power=1, frequency=1))


def train(model: tf_keras.Model, epochs: int) -> tf_keras.Model:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="schedule/never-reached")
        model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=[UpdatePruningStep()])
    return model


def test_a_model_that_was_stripped_without_training_is_told_of():
    with pytest.warns(UserWarning, match="^net: ") as told:
        stripped = strip_pruning(pruned())
    assert [str(warning.message) for warning in told] == [
        "net: stripped, and its masks were never updated, so nothing was pruned (zeros measured, of"
        " target: a kernel 0.0% of 75.0%, b kernel 0.0% of 75.0%); train it with UpdatePruningStep"
        " until its schedules end, or prune without training, with prune_one_shot"
    ]
    assert told[0].filename == __file__
    assert np.count_nonzero(stripped.get_layer("a").kernel) == 32


def test_a_model_that_was_stripped_before_its_schedule_ended_is_told_of():
    with pytest.warns(
        UserWarning,
        match=re.escape(
            "its schedules have not reached their targets (zeros measured, of target: a kernel"
            " 50.0% of 75.0%, "
        ),
    ):
        strip_pruning(train(pruned(), 1))


def test_a_model_whose_schedule_has_ended_is_stripped_in_silence():
    model = train(pruned(), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert strip_pruning(strip_pruning(model)).optimizer.iterations == 8


def test_weights_that_are_sparse_enough_already_miss_nothing():
    model = pruned()
    for layer in model.layers:
        layer.layer.kernel.assign(layer.layer.kernel * 0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        stripped = strip_pruning(model)
    assert [str(warning.message) for warning in told] == []
    assert not any(layer.kernel.numpy().any() for layer in stripped.layers)


def test_only_the_first_few_tensors_are_named():
    missed = [
        MissedTarget(f"d{index}", "kernel", 100, index, 50, was_updated=True) for index in range(7)
    ]
    assert describe_missed(missed).endswith("d4 kernel 4.0% of 50.0% and 2 more")


@pytest.mark.parametrize("callback", ["UpdatePruningStep", "PruningSummaries"])
@pytest.mark.parametrize("kind", ["original", "stripped"])
def test_a_model_without_pruned_layers_is_not_trained_with_the_pruners_callbacks(
    callback, kind, tmp_path
):
    wrapped = pruned()
    model = original() if kind == "original" else strip_pruning(train(wrapped, 2))
    made = {
        "UpdatePruningStep": UpdatePruningStep,
        "PruningSummaries": lambda: PruningSummaries(tmp_path),
    }[callback]()
    before = model.get_weights()
    with pytest.raises(TrainingError) as caught:
        model.fit(X, Y, verbose=0, callbacks=[made])
    assert (
        str(caught.value)
        == f"net: {callback} was given to a model without pruned layers, so nothing would be"
        " pruned; train the model that prune_low_magnitude or apply_rules returned (the"
        " original stays as it is), and load its file under graphprune.prune_scope()"
    )
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.evaluate(X, Y, verbose=0, callbacks=[made])
    model.predict(X, verbose=0, callbacks=[made])


def test_pruned_layers_without_weights_to_prune_are_told_of():
    model = tf_keras.Sequential(
        [layers.Input((8,)), *prune_low_magnitude([layers.Flatten(name="f")]), layers.Dense(2)],
        name="net",
    )
    model.compile("sgd", "mse")
    with pytest.warns(
        UserWarning,
        match=(
            r"^net: nothing is pruned, since its pruned layers have no weights to prune \(f\);"
            r" prune layers with a kernel$"
        ),
    ):
        model.fit(X, Y, verbose=0, callbacks=[UpdatePruningStep()])
