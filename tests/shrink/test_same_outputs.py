"""A model without its dead channels computes what the model with zeros does, in both Kerases."""

from functools import partial
from inspect import signature
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

from graphprune.graph.classes import channels, convolutions
from graphprune.shrink import dead
from graphprune.shrink.book import LayerBook

pytestmark = pytest.mark.tf
KERASES = {"keras": keras, "tf_keras": tf_keras}
H5_IN_THE_SUITE = ("recurrent", "nested")
LEFT_OUT = {
    ("attention", ".h5", "keras"): "Keras 3 cannot load the score mode of an Attention from .h5",
    ("einsum", ".h5", "keras"): "without modules, classes of Keras 3 alone look like a user's own",
}


def cases():
    for package in KERASES:
        for name in NETS:
            for suffix in (".keras", ".h5"):
                is_slow = suffix == ".h5" and name not in H5_IN_THE_SUITE
                if (name, suffix, package) not in LEFT_OUT:
                    marks = pytest.mark.slow if is_slow else ()
                    yield pytest.param(package, name, suffix, marks=marks)


def is_of_application(layer):
    """Return whether a layer's class is in no list of Keras (the LayerScale of ConvNeXt)."""
    return ".applications." in type(layer).__module__


def check(build, package, suffix, seed, folder):
    """Shrink a net with random dead channels; return what was removed."""
    package_, rng = KERASES[package], np.random.default_rng(seed)
    package_.backend.clear_session()
    path = Path(folder, f"zeroed{suffix}")
    model = build(package_)
    model.save(path)
    own = {type(one).__name__: type(one) for one in model.layers if is_of_application(one)}
    randomize(path, rng)
    kill_channels(path, rng)
    load = partial(package_.models.load_model, custom_objects=own, compile=False)
    return assert_shrinks(path, Path(folder, f"small{suffix}"), load, rng)


@pytest.mark.parametrize(("package", "name", "suffix"), list(cases()))
def test_a_net_without_its_dead_channels_computes_the_same(package, name, suffix, tmp_path):
    removal = check(NETS[name], package, suffix, len(name), tmp_path)
    assert sum(removal.removed.values()) > 0
    if name == "constants":
        assert {weight for _, weight in removal.folded} == {"bias", "moving_mean"}


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
    monkeypatch.setitem(channels._EFFECTS, "sigmoid", "keeps zero")


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


@pytest.mark.parametrize(
    ("damage", "name"),
    [
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


APPLICATIONS = {
    name
    for module in KERASES.values()
    for name, build in vars(module.applications).items()
    if callable(build) and name[0].isupper()
}
SMALL = {
    ("keras", "MobileNet"): {"alpha": 0.25, "input_shape": (32, 32, 3)},
    ("tf_keras", "MobileNet"): {"alpha": 0.25, "input_shape": (32, 32, 3)},
}


def application_cases():
    for package, module in KERASES.items():
        for name in sorted(APPLICATIONS):
            if hasattr(module.applications, name):
                is_quick = (package, name) in SMALL
                yield pytest.param(package, name, marks=() if is_quick else pytest.mark.slow)


@pytest.mark.parametrize(("package", "name"), list(application_cases()))
def test_an_application_without_its_dead_channels_computes_the_same(package, name, tmp_path):
    def build(package_):
        make = getattr(package_.applications, name)
        given = SMALL.get((package, name), {"input_shape": (96, 96, 3)})
        if "classifier_activation" in signature(make).parameters:
            given = given | {"classifier_activation": None}  # softmax hides small differences
        return make(weights=None, **given)

    assert sum(check(build, package, ".keras", 3, tmp_path).removed.values()) > 0
