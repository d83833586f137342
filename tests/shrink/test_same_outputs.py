"""A model without its dead channels computes what the model with zeros does, in both Kerases."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import pytest
import tf_keras
from dead_channels import assert_shrinks, kill_channels, randomize
from hypothesis import given, settings
from hypothesis import strategies as st
from shrink.nets import NETS, random_net

from graphprune.graph.classes import applications, channels, constants, convolutions
from graphprune.shrink import dead
from graphprune.shrink.book import LayerBook

pytestmark = pytest.mark.tf
KERASES = {"keras": keras, "tf_keras": tf_keras}
H5_IN_THE_SUITE = ("recurrent", "nested")
FOLDED = {
    "constants": {"batch_normalization.moving_mean", "conv2d_2.bias", "dense_3.bias"},
    "scaled_sums": {"dense.bias"},
    "operation_constants": {"conv2d_1.bias", "dense.bias", "dense_1.bias", "dense_2.bias"},
    "sequence_constants": {
        *("batch_normalization.moving_mean", "einsum_dense_1.bias", "einsum_dense_5.bias"),
        *(f"multi_head_attention.{name}.bias" for name in ("query", "key", "value")),
        *("dense.bias", "simple_rnn.bias", "gru.bias"),
    },
}
"""Weights that take constants of removed channels, by the net."""
LEFT_OUT = {
    ("attention", ".h5", "keras"): "Keras 3 cannot load the score mode of an Attention from .h5",
    ("einsum", ".h5", "keras"): "without modules, classes of Keras 3 alone look like a user's own",
    **{
        (name, ".h5", "keras"): "Keras 3 cannot load operations from .h5"
        for name in ("masked_steps", "operation_constants", "operations")
    },
    **{
        ("scaled_sums", ".h5", package): "without modules, its sums may be layers of a user's class"
        for package in KERASES
    },
}


def cases():
    for package in KERASES:
        for name in NETS:
            for suffix in (".keras", ".h5"):
                is_slow = suffix == ".h5" and name not in H5_IN_THE_SUITE
                if (name, suffix, package) not in LEFT_OUT:
                    marks = pytest.mark.slow if is_slow else ()
                    yield pytest.param(package, name, suffix, marks=marks)


def check(build, package, suffix, seed, folder):
    """Shrink a net with random dead channels; return what was removed."""
    package_, rng = KERASES[package], np.random.default_rng(seed)
    package_.backend.clear_session()
    path = Path(folder, f"zeroed{suffix}")
    model = build(package_)
    model.save(path)
    randomize(path, rng)
    kill_channels(path, rng)
    load = partial(package_.models.load_model, compile=False)
    return assert_shrinks(path, Path(folder, f"small{suffix}"), load, rng)


@pytest.mark.parametrize(("package", "name", "suffix"), list(cases()))
def test_a_net_without_its_dead_channels_computes_the_same(package, name, suffix, tmp_path):
    removal = check(NETS[name], package, suffix, len(name), tmp_path)
    assert sum(removal.removed.values()) > 0
    assert {f"{address}.{weight}" for address, weight in removal.folded} >= FOLDED.get(name, set())


@pytest.mark.parametrize("dead", ["query", "value"])
def test_a_grouped_attention_keeps_as_many_channels_of_its_query_as_of_its_values(dead, tmp_path):
    layers = keras.layers
    steps = keras.Input((4, 3))
    query, value = (layers.Dense(6, name=name)(steps) for name in ("query", "value"))
    mixed = layers.GroupQueryAttention(3, 4, 2)(query, value)
    model = keras.Model(steps, layers.Dense(2)(mixed))
    kernel, bias = model.get_layer(dead).get_weights()
    kernel[:, :2] = bias[:2] = 0
    model.get_layer(dead).set_weights([kernel, bias])
    model.save(tmp_path / "zeroed.keras")
    load = partial(keras.models.load_model, compile=False)
    rng = np.random.default_rng(1)
    assert_shrinks(tmp_path / "zeroed.keras", tmp_path / "small.keras", load, rng)


@pytest.mark.timeout(3600)  # 150 nets under --slow
@pytest.mark.parametrize("package", KERASES)
def test_random_nets_without_their_dead_channels_compute_the_same(package, request):
    @settings(max_examples=150 if request.config.getoption("--slow") else 4)
    @given(st.lists(st.integers(0, 1000), min_size=6, max_size=14), st.integers(0, 99))
    def holds(choices, seed):
        with TemporaryDirectory() as folder:
            check(partial(random_net, choices), package, ".keras", seed, folder)

    holds()


def ignore_pairs(monkeypatch):
    monkeypatch.setattr(LayerBook, "couple", lambda *_arguments: None)


def forget_sigmoid(monkeypatch):
    monkeypatch.setitem(constants._EFFECTS, "sigmoid", "keeps zero")


def shift_offsets(monkeypatch):
    from graphprune.graph.classes import channel_rules

    join = channel_rules.join

    def swapped(call, axis):
        made = join(call, axis)
        return None if made is None else channels.Channels(-1, made.labels[::-1], made.zero[::-1])

    monkeypatch.setattr(channel_rules, "join", swapped)


def forget_borders(monkeypatch):
    monkeypatch.setattr(convolutions, "_why_uneven", lambda *_arguments, **_settings: "")


def forget_folds(monkeypatch):
    monkeypatch.setattr(dead, "_folded", lambda *_arguments: {})


def forget_scales(monkeypatch):
    monkeypatch.setattr(applications, "_scale_of", lambda _config: 1.0)


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (forget_scales, "scaled_sums"),
        (ignore_pairs, "residual"),
        (forget_sigmoid, "gated"),
        (shift_offsets, "inception"),
        (forget_borders, "constants"),
        (forget_folds, "constants"),
    ],
)
def test_a_wrong_rule_is_noticed(damage, name, tmp_path, monkeypatch):
    damage(monkeypatch)
    with pytest.raises((AssertionError, ValueError)):
        check(NETS[name], "keras", ".keras", len(name), tmp_path)
