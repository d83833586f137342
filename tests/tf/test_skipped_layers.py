"""What a call that prunes a whole model leaves dense: told, by an error where that is everything,
by a warning otherwise.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from graphprune import TrainingError, UpdatePruningStep, prune_low_magnitude
from graphprune.tf.pruning.addresses import find_wrappers

pytestmark = pytest.mark.tf

HELP = (
    "let the class inherit graphprune.PrunableLayer and return the weights to prune from"
    " get_prunable_weights"
)


class Block(layers.Layer):
    """A custom layer that holds layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(4, name="first"), layers.Dense(4, name="second")

    def call(self, inputs):
        return self.second(self.first(inputs))


class LowRank(layers.Layer):
    """A custom layer with a matrix of its own."""

    def build(self, shape):
        self.u = self.add_weight("u", (shape[-1], shape[-1]))

    def call(self, inputs):
        return inputs @ self.u


class Scale(layers.Layer):
    """A custom layer without anything to prune."""

    def build(self, shape):
        self.scale = self.add_weight("scale", (shape[-1],))

    def call(self, inputs):
        return inputs * self.scale


def model_of(*parts) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input((4,)), *parts], name="net")


def assert_refused(model, text: str, **arguments) -> None:
    with pytest.raises(
        TrainingError, match=f"^{re.escape(f'net: nothing in the model is pruned: {text}')}$"
    ):
        prune_low_magnitude(model, **arguments)


def test_a_model_with_nothing_to_prune_is_an_error():
    assert_refused(
        model_of(layers.LayerNormalization()),
        "no layer has weights that can be pruned, such as the kernels of Dense and Conv2D; there is"
        " nothing to prune",
    )
    assert_refused(
        model_of(Block(name="b")),
        f"graphprune does not prune inside b (Block, which holds first, second); {HELP}",
    )


class Forbids:
    def allow_pruning(self, layer):
        return False

    def ensure_model_supports_pruning(self, model):
        pass


def test_a_policy_that_allows_nothing_is_an_error():
    text = "pruning_policy allows none of the 2 layers that can be pruned; change its allow_pruning"
    assert_refused(model_of(layers.Dense(3), layers.Dense(3)), text, pruning_policy=Forbids())


@pytest.mark.parametrize("prepare", ["quantize_model", "quantize_annotate_model"])
def test_a_model_prepared_for_quantization_is_an_error(prepare):
    toolkit = pytest.importorskip("tensorflow_model_optimization")
    quantized = getattr(toolkit.quantization.keras, prepare)(
        model_of(layers.Dense(3, name="d1"), layers.Dense(3))
    )
    text = (
        r"nothing in the model is pruned: it was prepared for quantization \(\w+ is a"
        r" Quantize\w+\); prune the model before, and quantize what strip_pruning"
    )
    with pytest.raises(TrainingError, match=text):
        prune_low_magnitude(quantized)


def test_a_model_that_is_wrapped_already_is_no_error():
    wrapped = prune_low_magnitude(model_of(layers.Dense(3)))
    assert find_wrappers(prune_low_magnitude(wrapped)).keys() == find_wrappers(wrapped).keys()


def test_layers_out_of_reach_are_named_in_a_warning_at_the_line_of_the_call():
    model = model_of(
        layers.Dense(4, name="d"), Block(name="b"), LowRank(name="low"), Scale(name="s")
    )
    text = (
        "net: graphprune does not prune inside b (Block, which holds first, second), low"
        f" (LowRank); {HELP}"
    )
    for argument in (model, [model]):
        with pytest.warns(UserWarning, match=f"^{re.escape(text)}$") as caught:
            prune_low_magnitude(argument)
        assert [warning.filename for warning in caught] == [__file__]


def test_a_model_inside_a_layer_is_named_in_a_warning():
    inner = tf_keras.Sequential([layers.Input((4,)), layers.Dense(3, name="inside")])
    model = tf_keras.Sequential(
        [layers.Input((2, 4)), layers.TimeDistributed(inner, name="frames"), layers.Dense(2)],
        name="net",
    )
    text = (
        "net: graphprune does not prune inside frames (TimeDistributed, which holds inside); prune"
        " the inner model by itself before it is wrapped"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$"):
        prune_low_magnitude(model)


def test_nothing_is_said_where_nothing_is_left_out():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        wrapped = prune_low_magnitude(
            model_of(layers.Dense(4), Scale(), layers.LayerNormalization())
        )
    assert [str(warning.message) for warning in told] == []
    assert len(find_wrappers(wrapped)) == 1


def test_models_in_a_list_are_pruned_like_models_alone():
    entry, inner = layers.InputLayer((4,)), model_of(layers.Dense(3, name="d"))
    listed = prune_low_magnitude([entry, inner, layers.Dense(2, name="last")])
    assert listed[0] is entry
    assert listed[1] is not inner
    pruned = tf_keras.Sequential(listed)
    assert list(find_wrappers(pruned)) == ["net::d", "last"]


@pytest.mark.parametrize("nested", [False, True])
def test_a_sequential_model_that_is_not_built_is_pruned_once_it_is(nested):
    parts = [layers.Dense(4, name="d1"), layers.Dense(2, name="d2")]
    model = tf_keras.Sequential(
        [tf_keras.Sequential(parts, name="inner")] if nested else parts, name="net"
    )
    model.compile("sgd", "mse", run_eagerly=True)
    pruned = prune_low_magnitude(model)
    assert not pruned.built
    assert (pruned.loss, type(pruned.optimizer)) == ("mse", type(model.optimizer))
    assert list(find_wrappers(pruned)) == (["inner::d1", "inner::d2"] if nested else ["d1", "d2"])
    pruned.build((None, 3))
    pruned.fit(
        np.ones((8, 3)), np.ones((8, 2)), batch_size=2, verbose=0, callbacks=[UpdatePruningStep()]
    )
    assert [
        np.count_nonzero(wrapper.layer.kernel.numpy()) for wrapper in find_wrappers(pruned).values()
    ] == [6, 4]
    assert not model.built


def test_a_model_not_built_around_layers_with_weights_is_refused_and_models_in_it_keep_theirs():
    dense = layers.Dense(3, name="d")
    dense(np.ones((1, 4)))
    with pytest.raises(
        ValueError,
        match=(
            r"^net: the model is not built, and its layer 'd' has weights; call"
            r" model.build\(input_shape\) first$"
        ),
    ):
        prune_low_magnitude(tf_keras.Sequential([dense], name="net"))
    inner = model_of(layers.Dense(3, name="d"))
    pruned = prune_low_magnitude(tf_keras.Sequential([layers.Flatten(), inner], name="outer"))
    np.testing.assert_array_equal(
        find_wrappers(pruned)["net::d"].layer.kernel.numpy(), inner.layers[0].kernel.numpy()
    )
