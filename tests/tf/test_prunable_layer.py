from __future__ import annotations

import re

import numpy as np
import pytest
import tf_keras
from commands import run_command
from own_layers import BiasedDense, Cell, Gated, Twofold
from tf_keras import layers

from graphprune.archive import read_archive
from graphprune.engine.prunable_layer import PrunableLayer
from graphprune.errors import GraphError, PlanError
from graphprune.graph import locate_weights, measure_mask_faults, read_graph
from graphprune.rules import read_rules
from graphprune.sparsity.positions import Run
from graphprune.tf.layers.live_tensors import find_weight
from graphprune.tf.models.loading import load_model
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_low_magnitude, strip_pruning
from graphprune.tf.pruning.keras_schedules import ConstantSparsity
from graphprune.tf.pruning.live_graph import graph_of_model
from graphprune.tf.pruning.pruner import Pruner
from graphprune.tf.pruning.surgery import apply_rules

pytestmark = pytest.mark.tf

OBJECTS = {"Gated": Gated, "BiasedDense": BiasedDense, "Cell": Cell}
PRUNED = {
    "gated": ("kernel", "blocks.0.kernel"),
    "biased": ("bias",),
    "rnn": ("cell.recurrent_kernel",),
    "each": ("layer.bias",),
}
X = np.random.default_rng(0).normal(size=(8, 5, 4)).astype("float32")
Y = np.ones((8, 4), "float32")


def build() -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    x = layers.Input((5, 4))
    y = layers.TimeDistributed(
        BiasedDense(4, bias_initializer="random_normal", name="in_each"), name="each"
    )(x)
    y = layers.RNN(Cell(4, name="step"), name="rnn")(y)
    y = BiasedDense(4, bias_initializer="random_normal", name="biased")(Gated(name="gated")(y))
    return tf_keras.Model(x, y, name="own")


def zeros(model: tf_keras.Model) -> dict[str, list[int]]:
    kernels = {
        name: [
            find_weight(getattr(model.get_layer(name), "layer", model.get_layer(name)), path)
            for path in PRUNED[name]
        ]
        for name in ("gated", "biased")
    }
    return {
        name: [int(weight.shape.num_elements() - np.count_nonzero(weight)) for weight in found]
        for name, found in kernels.items()
    }


def train(model: tf_keras.Model, *, run_eagerly: bool = False) -> None:
    model.compile("adam", "mse", run_eagerly=run_eagerly)
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[UpdatePruningStep()])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_custom_layers_are_pruned_saved_loaded_and_stripped(suffix, tmp_path):
    model = build()
    pruned = prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))
    assert {
        address: wrapper.pruning.weights for address, wrapper in find_wrappers(pruned).items()
    } == PRUNED
    train(pruned, run_eagerly=True)
    path = tmp_path / f"m{suffix}"
    pruned.save(path)
    loaded = load_model(path, OBJECTS)
    for old, new in zip(pruned.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())
    assert loaded.get_config() == pruned.get_config()
    train(loaded, run_eagerly=suffix == ".h5")  # tracing takes most of the time
    assert int(loaded.get_layer("gated").pruning_step.numpy()) == 4
    stripped = strip_pruning(loaded)
    assert stripped.get_config() == model.get_config()
    assert zeros(stripped) == {"gated": [12, 18], "biased": [2]}
    np.testing.assert_array_equal(stripped(X), loaded(X))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_of_wrapped_custom_layers_are_read_without_their_classes(suffix, tmp_path):
    model = tf_keras.Sequential(
        [
            layers.Input((5, 4)),
            layers.RNN(Cell(3, name="step"), name="rnn"),
            BiasedDense(4, name="biased"),
        ]
    )
    pruned = prune_low_magnitude(model)
    pruned.get_layer("rnn").pruning_vars[0][1].assign(np.eye(3) > 0)
    pruned.get_layer("rnn").layer.cell.recurrent_kernel.assign(np.eye(3) + np.eye(3, k=1))
    pruned.save(tmp_path / f"m{suffix}")
    archive = read_archive(tmp_path / f"m{suffix}")
    assert measure_mask_faults(locate_weights(archive, read_graph(archive))) == {
        ("rnn", "cell.recurrent_kernel"): 2,
        ("biased", "bias"): 0,
    }


def test_layers_alone_learn_what_to_prune_when_they_are_called():
    gated, biased, rnn = prune_low_magnitude(
        [Gated(4, name="gated"), BiasedDense(4, name="biased"), layers.RNN(Cell(4), name="rnn")]
    )
    assert [wrapper.pruning.weights for wrapper in (gated, biased, rnn)] == [()] * 3
    model = tf_keras.Sequential([layers.Input((5, 4)), rnn, gated, biased])
    assert {
        address: wrapper.pruning.weights for address, wrapper in find_wrappers(model).items()
    } == {name: PRUNED[name] for name in ("rnn", "gated", "biased")}
    train(model, run_eagerly=True)
    assert zeros(model) == {"gated": [8, 8], "biased": [2]}


RULES = """
version: 1
rules:
  - {id: own, match: {type: "Custom>Gated"}, prune: {sparsity: 75%, schedule: {curve: step}}}
  - {id: recurrent, match: {type: RNN}, prune: {sparsity: 50%, schedule: {curve: step}}}
"""


def test_rules_see_what_custom_layers_say_of_live_models_and_of_files(tmp_path, monkeypatch):
    rules = tmp_path / "own.yaml"
    model = build()
    types = {layer.address: layer.type for layer in graph_of_model(model).layers.values()}
    rules.write_text(RULES.replace("Custom>Gated", types["gated"]))
    prunable = {
        layer.address: tuple(tensor.name for tensor in layer.prunable)
        for layer in graph_of_model(model).layers.values()
        if layer.prunable
    }
    assert prunable == {name: PRUNED[name] for name in ("each", "rnn", "gated", "biased")}
    wrapped = apply_rules(model, read_rules(rules))
    assert {
        address: wrapper.pruning.weights for address, wrapper in find_wrappers(wrapped).items()
    } == {name: PRUNED[name] for name in ("rnn", "gated")}
    assert find_wrappers(apply_rules(strip_pruning(wrapped), read_rules(rules))).keys() == {
        "rnn",
        "gated",
    }
    model.compile("sgd", "mse", run_eagerly=True)
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "d.npz", x_train=X, y_train=Y)
    monkeypatch.chdir(tmp_path)
    for command in (
        ["apply", "m.keras", "-r", "own.yaml", "-o", "w.keras", "--custom-objects", "own_layers"],
        [
            "train",
            "m.keras",
            "-r",
            "own.yaml",
            "--data",
            "d.npz",
            "--run",
            "run",
            "--epochs",
            "1",
            "--custom-objects",
            "own_layers",
        ],
        [
            "apply",
            "m.keras",
            "--plan",
            "run/plan.json",
            "-o",
            "planned.keras",
            "--custom-objects",
            "own_layers",
        ],
        ["strip", "run", "-o", "s.keras", "--custom-objects", "own_layers"],
    ):
        answer = run_command(*command)
        assert answer.code == 0, answer.err
    assert [
        find_wrappers(load_model(path, OBJECTS)).keys() for path in ("w.keras", "planned.keras")
    ] == [{"rnn", "gated"}] * 2
    assert zeros(load_model("s.keras", OBJECTS)) == {"gated": [18, 27], "biased": [0]}


def test_a_custom_layer_with_layers_inside_goes_the_whole_way_and_is_measured_by_file_names(
    tmp_path, monkeypatch
):
    model = tf_keras.Sequential([layers.Input((3,)), Twofold(name="two")])
    wrapped = prune_low_magnitude(model, ConstantSparsity(0.5, 0))
    Pruner(wrapped).start(Run())
    for suffix in (".keras", ".h5"):
        wrapped.save(tmp_path / f"w{suffix}")
        again = load_model(tmp_path / f"w{suffix}", {"Twofold": Twofold})
        for one, other in zip(wrapped.weights, again.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
        assert [weight.shape for weight in strip_pruning(again).weights] == [
            (3, 6),
            (6,),
            (6, 4),
            (4,),
        ]
        named = read_archive(tmp_path / f"w{suffix}")
        assert set(measure_mask_faults(locate_weights(named, read_graph(named))).values()) == {0}
    # as earlier versions saved it
    monkeypatch.setattr("graphprune.tf.pruning.wrapper.places_of", lambda layer, names: {})
    wrapped.save(tmp_path / "old.keras")
    numbered = read_archive(tmp_path / "old.keras")
    with pytest.raises(GraphError) as caught:
        measure_mask_faults(locate_weights(numbered, read_graph(numbered)))
    assert (
        str(caught.value)
        == f"{tmp_path / 'old.keras'}: layer 'two' has no tensor 'first.kernel'; it has first.0,"
        " first.1, second.0, second.1, mask_first.kernel, threshold_first.kernel,"
        " mask_second.kernel, threshold_second.kernel, pruning_step, last_update; load the"
        " model and save it again, which writes the names of the weights that a custom layer"
        " has in layers inside it"
    )


def test_what_is_no_weight_of_the_layer_is_refused():
    class Liar(layers.Dense, PrunableLayer):
        def get_prunable_weights(self):
            return [self.kernel, 3.0]

    class Early(layers.Dense, PrunableLayer):
        def get_prunable_weights(self):
            return [self.weight]

    texts = {
        Liar: (
            "l: get_prunable_weights of Liar returns an item that is not a weight of the layer"
            " (item 1); return variables that its attributes hold"
        ),
        Early: (
            "l: get_prunable_weights of Early fails: 'Early' object has no attribute 'weight'; make"
            " it return weights that the layer has"
        ),
    }
    for made, text in texts.items():
        with pytest.raises(PlanError, match="^" + re.escape(text) + "$"):
            prune_low_magnitude(made(2, name="l"))(np.ones((1, 3), "float32"))


def test_a_prunable_layer_must_say_what_to_prune():
    class Forgetful(PrunableLayer):
        pass

    with pytest.raises(
        TypeError,
        match=(
            r"^Can't instantiate abstract class Forgetful with abstract method"
            r" get_prunable_weights$"
        ),
    ):
        Forgetful()
    assert not issubclass(layers.Dense, PrunableLayer)
