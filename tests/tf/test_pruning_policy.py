from __future__ import annotations

import re

import pytest
import tf_keras
from tf_keras import layers
from tf_zoo import build

from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.keras_api import prune_low_magnitude

pytestmark = pytest.mark.tf


class OnlyHead:
    def __init__(self):
        self.asked, self.models = [], []

    def allow_pruning(self, layer):
        self.asked.append(layer.name)
        return layer.name.startswith("h")

    def ensure_model_supports_pruning(self, model):
        assert not self.asked, "the model is looked at first"
        self.models.append(model)
        if not any(isinstance(layer, tf_keras.layers.Dense) for layer in model.layers):
            raise ValueError(f"{model.name}: no Dense layer at the top")


def test_a_policy_is_asked_of_the_callers_model_and_of_each_layer_that_can_be_pruned_nested_too():
    model, policy = build("siamese"), OnlyHead()
    pruned = prune_low_magnitude(model, pruning_policy=policy)
    assert [one is model for one in policy.models] == [True]
    assert sorted(policy.asked) == ["aux", "h1", "h2", "shared"]
    assert find_wrappers(pruned).keys() == {"head::h1", "head::h2"}
    again = OnlyHead()
    prune_low_magnitude(pruned, pruning_policy=again)
    assert sorted(again.asked) == ["aux", "shared"]


def test_a_policy_may_leave_out_the_layer_that_a_pattern_does_not_fit():
    class NoAttention(OnlyHead):
        def allow_pruning(self, layer):
            return isinstance(layer, layers.Dense)

    x = layers.Input((5, 8))
    model = tf_keras.Model(
        x, layers.Dense(4, name="fc")(layers.MultiHeadAttention(2, 4, name="mha")(x, x))
    )
    with pytest.raises(ValueError, match=r"^mha: block_size=\(4, 1\) needs a kernel of rank 2, "):
        prune_low_magnitude(model, block_size=(4, 1))
    pruned = find_wrappers(
        prune_low_magnitude(model, block_size=(4, 1), pruning_policy=NoAttention())
    )
    assert {address: str(wrapper.pruning.pattern) for address, wrapper in pruned.items()} == {
        "fc": "block in 4 x out 1, mean"
    }


def test_what_a_policy_raises_reaches_the_caller():
    model = tf_keras.Sequential([layers.Input((3,)), layers.Flatten()], name="flat")
    with pytest.raises(ValueError, match=r"^flat: no Dense layer at the top$"):
        prune_low_magnitude(model, pruning_policy=OnlyHead())


@pytest.mark.parametrize("to_prune", [layers.Dense(2), [layers.Dense(2)]])
def test_a_policy_without_a_model_is_refused(to_prune):
    text = (
        "pruning_policy selects layers of a model; leave it out for a single layer or a list of"
        " layers"
    )
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        prune_low_magnitude(to_prune, pruning_policy=OnlyHead())


def test_an_object_that_is_no_policy_is_refused():
    text = (
        "pruning_policy must have methods allow_pruning(layer) and"
        " ensure_model_supports_pruning(model), got 'all' without allow_pruning"
    )
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        prune_low_magnitude(build("sequential"), pruning_policy="all")
