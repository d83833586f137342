"""One-shot pruning: exact zeros at once, every other weight as it was, nothing wrapped."""

import numpy as np
import pytest
import tf_keras

from graphprune import (
    ConstantSparsity,
    TrainingError,
    make_plan,
    prune_low_magnitude,
    prune_one_shot,
)
from graphprune.errors import StalePlanError
from graphprune.rules import parse_rules
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.live_graph import graph_of_model

pytestmark = pytest.mark.tf
LATE = "schedule: {curve: polynomial, begin: 4 epochs, end: 9 epochs, every: 100 steps}"


def rules(fields, match="'*'"):
    return parse_rules(
        f"version: 1\nrules:\n- {{id: all, match: {match}, prune: {{{fields}, {LATE}}}}}\n",
        "p.yaml",
    )


def make_model():
    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    inputs = tf_keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Dense(16, activation="relu", name="hidden")(layers.Flatten()(x))
    model = tf_keras.Model(inputs, layers.Dense(4, name="out")(x))
    model.compile("adam", "mse")
    model.fit(np.random.default_rng(0).normal(size=(16, 8, 8, 3)), np.zeros((16, 4)), verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


def share_of_zeros(model, name):
    return float((model.get_layer(name).kernel.numpy() == 0).mean())


def test_the_smallest_weights_are_zero_and_all_else_is_untouched(model):
    before = model.get_weights()
    pruned = prune_one_shot(model, rules("sparsity: 60%"))
    assert pruned.get_config() == model.get_config()
    assert not find_wrappers(pruned)
    for old, kept, new in zip(before, model.get_weights(), pruned.get_weights(), strict=True):
        assert np.array_equal(old, kept)
        assert np.array_equal(new[new != 0], old[new != 0])
        assert np.abs(old[(new == 0) & (old != 0)]).max(initial=0) <= np.abs(new[new != 0]).min()
        if old.ndim == 1:
            assert np.array_equal(old, new)
    assert share_of_zeros(pruned, "hidden") == 2765 / 4608
    assert share_of_zeros(pruned, "conv") == 130 / 216  # 216 * 0.4 = 86.4, of which 86 stay
    assert pruned.optimizer.iterations.numpy() == 1


def test_a_threshold_zeroes_what_is_below_it(model):
    pruned = prune_one_shot(model, rules("threshold: 0.05"))
    for name in ("conv", "hidden", "out"):
        old, new = (each.get_layer(name).kernel.numpy() for each in (model, pruned))
        assert np.array_equal(new, np.where(np.abs(old) < 0.05, 0, old)), name


@pytest.mark.parametrize(
    "pattern", ["{keep: 2, of: 4, along: in}", "{block: {in: 4, out: 1}}", "{channel: out}"]
)
def test_patterns_hold(model, pattern):
    target = "" if "keep" in pattern else "sparsity: 50%, "
    pruned = prune_one_shot(model, rules(f"{target}pattern: {pattern}", "{name: hidden}"))
    zeros = pruned.get_layer("hidden").kernel.numpy() == 0
    assert zeros.mean() == 0.5
    groups = {
        "k": zeros.reshape(-1, 4, 16).sum(1) == 2,
        "b": zeros.reshape(-1, 4, 16).sum(1) % 4 == 0,
        "c": zeros.sum(0) % zeros.shape[0] == 0,
    }
    assert groups[pattern[1]].all()


def test_a_plan_is_carried_out_and_one_for_another_model_is_refused(model):
    plan = make_plan(graph_of_model(model), rules("sparsity: 50%"))
    assert share_of_zeros(prune_one_shot(model, plan), "hidden") == 0.5
    other = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(8,), name="hidden")])
    with pytest.raises(StalePlanError):
        prune_one_shot(other, plan)


def test_a_wrapped_model_gets_its_targets(model):
    wrapped = prune_low_magnitude(model, ConstantSparsity(0.75, 5000))
    pruned = prune_one_shot(wrapped, rules("sparsity: 75%", "{name: [conv, hidden, out]}"))
    assert [share_of_zeros(pruned, name) for name in ("conv", "hidden", "out")] == [
        0.75,
        0.75,
        0.75,
    ]


def test_weights_that_are_not_finite_are_refused():
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(8,), name="hidden")])
    model.layers[0].kernel.assign(np.full((8, 4), np.nan))
    with pytest.raises(TrainingError, match="NaN or infinity in hidden/kernel"):
        prune_one_shot(model, rules("sparsity: 75%"))


def test_rules_may_be_given_as_a_dict(model):
    rule = {
        "id": "all",
        "match": "*",
        "prune": {"sparsity": 0.5, "schedule": {"curve": "step", "begin": "0 steps"}},
    }
    assert share_of_zeros(prune_one_shot(model, {"version": 1, "rules": [rule]}), "hidden") == 0.5
