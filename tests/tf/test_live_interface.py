"""The functions of the Python interface on live models: as on the files that they are saved in."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from graphprune import (
    apply_plan,
    apply_rules,
    diff_models,
    make_plan,
    prune_one_shot,
    read_graph,
    save_model,
    verify,
)

RULES = "builtin:all-90"


@pytest.fixture
def model():
    """A model with two layers to prune and the last one, which stays dense."""
    tf_keras.utils.set_random_seed(3)
    inputs = tf_keras.Input([12])
    hidden = tf_keras.layers.Dense(10, name="a")(inputs)
    return tf_keras.Model(inputs, tf_keras.layers.Dense(3, name="b")(hidden), name="net")


@pytest.fixture
def path(model, tmp_path):
    """The model in a file."""
    save_model(model, tmp_path / "m.keras")
    return tmp_path / "m.keras"


def test_a_live_model_is_planned_as_its_file(model, path):
    live, saved = make_plan(model, RULES), make_plan(path, RULES)
    assert live.changes == saved.changes
    assert live.model.path == "net"
    assert make_plan(model, "builtin:erk-95").budgets == make_plan(path, "builtin:erk-95").budgets
    assert read_graph(model) == live.graph


def test_a_path_is_loaded_and_wrapped(model, path):
    plan = make_plan(path, RULES)
    for wrapped in (apply_plan(path, plan), apply_rules(path, RULES), apply_plan(model, plan)):
        assert type(wrapped.get_layer("a")).__name__ == "PruneLowMagnitude"
        assert make_plan(wrapped, RULES).is_empty


def test_live_models_are_compared_with_state(model, path, tmp_path):
    wrapped = apply_rules(model, RULES)
    save_model(wrapped, tmp_path / "w.keras")
    live, saved = diff_models(model, wrapped), diff_models(path, tmp_path / "w.keras")
    assert live.layers == saved.layers
    assert [layer.address for layer in live.layers if "wrapped" in layer.status] == ["a"]
    assert diff_models(wrapped, tmp_path / "w.keras").is_empty


def test_a_live_model_is_verified(model):
    plan = make_plan(model, RULES)
    assert len(verify(model, plan).drift) == 1
    pruned = prune_one_shot(model, RULES)
    assert verify(pruned, plan).drift == ()
    assert np.count_nonzero(pruned.get_layer("a").get_weights()[0]) == 12


def test_weights_under_a_mask_are_found_in_a_live_model(model):
    plan = make_plan(model, RULES)
    wrapped = apply_plan(model, plan)
    layer = wrapped.get_layer("a")
    mask = np.zeros([12, 10], bool)
    layer.pruning_vars[0][1].assign(mask)
    (check,) = verify(wrapped, plan).checks
    assert check.under_mask == 120
