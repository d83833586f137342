"""Files that the TensorFlow toolkit pruned load, train on to their target, are saved again and
stripped. It runs in its own process, with its own tf.keras.
"""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from commands import run_command
from pruned_files import masks_of, state_of, train_on

import graphprune
from graphprune.errors import ArchiveError, GraphError
from graphprune.graph.read import read_graph
from graphprune.sparsity.counts import kept_count
from graphprune.tf.models.loading import load_model
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.callbacks import UpdatePruningStep
from graphprune.tf.pruning.keras_api import prune_scope, strip_pruning
from graphprune.tf.pruning.tfmot import convert_tfmot_config

pytestmark = pytest.mark.tf

X, Y = np.random.default_rng(0).normal(size=(40, 6)).astype("float32"), np.ones((40, 2), "float32")
PROGRAM = """
import sys
import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from tf_keras import layers
from tf_keras.src.layers.rnn import gru_lstm_utils

gru_lstm_utils.function_register = lambda *args, **named: None  # as in conftest.py
Update = tfmot.sparsity.keras.UpdatePruningStep
Constant = tfmot.sparsity.keras.ConstantSparsity
x = layers.Input((6,))
hidden = layers.Dense(5, activation="tanh", name="a")(x)
model = tf_keras.Model(x, layers.Dense(2, name="b")(hidden))
schedule = tfmot.sparsity.keras.PolynomialDecay(0.2, 0.8, 0, 8, frequency=2)
model = tfmot.sparsity.keras.prune_low_magnitude(model, schedule)
model.compile("adam", "mse")
x, y = np.load(sys.argv[1]), np.ones((40, 2), "float32")
model.fit(x[:16], y[:16], batch_size=4, verbose=0, callbacks=[Update()])
for path in sys.argv[2:4]:
    model.save(path)
np.save(sys.argv[1], model.predict(x, verbose=0))

normalization = layers.BatchNormalization(name="bn")
model = tf_keras.Sequential([layers.Input((6,)), layers.Dense(3, name="d"), normalization])
model = tfmot.sparsity.keras.prune_low_magnitude(model, Constant(0.5, 0, frequency=1))
model.compile("adam", "mse", run_eagerly=True)
model.fit(x, np.ones((40, 3)), epochs=2, verbose=0, callbacks=[Update()])
for suffix in ("h5", "keras"):
    model.save(f"{sys.argv[4]}/normalized.{suffix}")
np.save(f"{sys.argv[4]}/normalized.npy", model.predict(x, verbose=0))

def several():
    x = layers.Input((8, 6))
    h = layers.BatchNormalization(name="bn")(layers.LSTM(8, name="lstm")(x))
    h = layers.ReLU(name="without_weights")(h)
    inside = [layers.Input((8,)), layers.Dense(4, name="in")]
    return tf_keras.Model(x, tf_keras.Sequential(inside, name="nested")(h))

constant = Constant(0.5, 0, frequency=2)
for name, arguments in [
    ("block", {"block_size": (4, 1), "block_pooling_type": "MAX"}),
    ("mbyn", {"sparsity_m_by_n": (2, 4)}),
]:
    model = tfmot.sparsity.keras.prune_low_magnitude(several(), constant, **arguments)
    model.compile("adam", "mse", run_eagerly=True)
    samples, labels = np.ones((8, 8, 6)), np.ones((8, 4))
    model.fit(samples, labels, batch_size=4, verbose=0, callbacks=[Update()])
    model.save(f"{sys.argv[4]}/{name}.keras")
    if name == "block":
        model.save(f"{sys.argv[4]}/{name}", save_format="tf", save_traces=False)
"""


@pytest.fixture(scope="module")
def files(server, tmp_path_factory):
    """A folder with one model as m.h5 and m.keras, four steps trained, and its outputs."""
    folder = tmp_path_factory.mktemp("tfmot")
    np.save(folder / "x.npy", X)
    done = server.run_program(
        PROGRAM, folder / "x.npy", folder / "m.h5", folder / "m.keras", folder
    )
    assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_weights_that_the_toolkit_orders_anew_load(files, suffix):
    model = load_model(files / f"normalized{suffix}")
    wanted = np.load(files / "normalized.npy")
    np.testing.assert_allclose(model.predict(X, verbose=0), wanted, atol=1e-5)
    stripped = strip_pruning(model)
    np.testing.assert_allclose(stripped.predict(X, verbose=0), wanted, atol=1e-5)
    assert np.count_nonzero(stripped.get_layer("d").kernel.numpy() == 0) == 9


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_toolkits_files_load_train_on_and_strip(files, suffix, tmp_path):
    with prune_scope():
        model = tf_keras.models.load_model(files / f"m{suffix}")
    np.testing.assert_allclose(model.predict(X, verbose=0), np.load(files / "x.npy"), atol=1e-6)
    wrappers = find_wrappers(model)
    assert {address: int(wrapper.pruning_step) for address, wrapper in wrappers.items()} == {
        "prune_low_magnitude_a": 4,
        "prune_low_magnitude_b": 4,
    }
    before = model.get_layer("prune_low_magnitude_a").pruning_vars[0][1].numpy()
    assert 0 < before.sum() < before.size
    model.fit(X[16:], Y[16:], batch_size=4, verbose=0, callbacks=[UpdatePruningStep()])
    assert [np.count_nonzero(wrapper.layer.kernel.numpy()) for wrapper in wrappers.values()] == [
        kept_count(30, 0.8),
        kept_count(10, 0.8),
    ]
    model.save(tmp_path / f"again{suffix}")
    with prune_scope():
        again = tf_keras.models.load_model(tmp_path / f"again{suffix}")
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert [int(wrapper.last_update) for wrapper in find_wrappers(again).values()] == [8, 8]
    stripped = strip_pruning(again)
    assert [layer.name for layer in stripped.layers[1:]] == ["a", "b"]
    np.testing.assert_array_equal(stripped.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            {"pruning_schedule": {"class_name": "Own", "config": {}}},
            (
                "p: schedule 'Own' of the TensorFlow toolkit is not known; known are"
                " ConstantSparsity, PolynomialDecay"
            ),
        )
    ],
)
def test_what_cannot_be_read_is_refused(config, text):
    with pytest.raises(GraphError) as caught:
        convert_tfmot_config({"name": "p", **config}, tf_keras.layers.Dense(2))
    assert str(caught.value) == text


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_load_model_gives_layers_their_own_names_and_goes_on(files, suffix):
    model = load_model(files / f"m{suffix}")
    assert {
        address: int(wrapper.pruning_step) for address, wrapper in find_wrappers(model).items()
    } == {"a": 4, "b": 4}
    assert (int(model.optimizer.iterations), read_graph(files / f"m{suffix}").layers.keys()) == (
        4,
        {"input_1", "a", "b"},
    )
    np.testing.assert_allclose(model.predict(X, verbose=0), np.load(files / "x.npy"), atol=1e-6)
    model.fit(X[16:32], Y[16:32], batch_size=4, verbose=0, callbacks=[UpdatePruningStep()])
    assert [
        np.count_nonzero(wrapper.layer.kernel.numpy()) for wrapper in find_wrappers(model).values()
    ] == [kept_count(30, 0.8), kept_count(10, 0.8)]
    assert [layer.name for layer in strip_pruning(model).layers] == ["input_1", "a", "b"]


def test_the_command_line_takes_them(files, tmp_path):
    model, data, rules = files / "m.keras", tmp_path / "d.npz", tmp_path / "r.yaml"
    np.savez(data, x_train=X, y_train=Y)
    rules.write_text(
        "version: 1\n"
        "rules:\n"
        "- {id: a, match: {name: a}, prune: {sparsity: 50%, schedule: {curve: step, begin: 0"
        " steps}}}\n"
    )
    assert "Dense" in run_command("layers", model).out
    for arguments in (
        ("plan", model, "-r", rules, "-o", tmp_path / "p.json"),
        ("apply", model, "--plan", tmp_path / "p.json", "-o", tmp_path / "w.h5"),
        (
            "train",
            model,
            "--data",
            data,
            "--run",
            tmp_path / "run",
            "--epochs",
            1,
            "--batch-size",
            8,
            "--loss",
            "mse",
        ),
        ("resume", tmp_path / "run"),
        ("strip", tmp_path / "run", "-o", tmp_path / "s.keras"),
    ):
        assert run_command(*arguments).code == 0, arguments
    assert "As planned" in run_command("verify", files / "m.h5", "--plan", tmp_path / "p.json").out
    assert "2 unwrapped" in run_command("diff", model, tmp_path / "s.keras").out
    assert "No differences." in run_command("diff", model, files / "m.h5").out


@pytest.mark.parametrize(
    ("name", "text"), [("block", "block in 4 x out 1, max"), ("mbyn", "unstructured")]
)
def test_patterns_and_layers_of_several_kernels_are_read(files, name, text):
    graph, model = read_graph(files / f"{name}.keras"), load_model(files / f"{name}.keras")
    wraps = {
        address: layer.wrap.pruning
        for address, layer in graph.layers.items()
        if layer.wrap is not None
    }
    assert wraps == {address: wrapper.pruning for address, wrapper in find_wrappers(model).items()}
    assert {
        address: (str(pruning.pattern), pruning.weights)
        for address, pruning in wraps.items()
        if pruning.weights
    } == {"lstm": (text, ("kernel", "recurrent_kernel")), "nested::in": (text, ("kernel",))}
    for wrapper in find_wrappers(model).values():
        for weight, mask, _ in wrapper.pruning_vars:
            np.testing.assert_array_equal(weight.numpy() != 0, mask.numpy())


def test_a_saved_model_that_does_not_hold_all_masks_is_refused(files):
    with pytest.raises(ArchiveError) as caught:
        load_model(files / "block")
    assert (
        str(caught.value)
        == f"{files / 'block'}: layer 'lstm' (LSTM) was pruned in several tensors by the TensorFlow"
        " toolkit, whose SavedModels do not hold such a layer whole; load it there, and save it"
        " as .keras or strip it"
    )


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_they_are_converted_and_trained_on_in_keras_3(files, suffix, tmp_path):
    source, three = files / f"m{suffix}", tmp_path / "three.keras"
    done = run_command("convert", source, "-o", three, "--keras", "3")
    assert (done.code, done.err) == (0, "")
    assert f"{three}: written for Keras 3, 3 layers, 2 of them pruned" in done.out
    assert state_of(three) == state_of(source)
    one, other = graphprune.load_model(source), graphprune.load_model(three)
    np.testing.assert_allclose(np.asarray(other(X)), np.load(files / "x.npy"), atol=1e-6)
    assert {pruned.pruning_step for pruned in graphprune.collect_prunable_layers(other)} == {4}
    for model in (one, other):
        train_on(model, X[16:32], Y[16:32])
    assert masks_of(one) == masks_of(other)
    assert [np.sum(mask) for mask in masks_of(other).values()] == [
        kept_count(30, 0.8),
        kept_count(10, 0.8),
    ]
    stripped = graphprune.strip_pruning(other)
    np.testing.assert_allclose(np.asarray(stripped(X)), np.asarray(other(X)), atol=1e-6)


def test_a_file_that_is_stripped_before_its_target_was_pruned(files, tmp_path):
    done = run_command("strip", files / "m.keras", "-o", tmp_path / "sparse.keras")
    assert done.code == 0
    assert "stripped, and its schedules have not reached their targets (zeros" in done.err


def test_patterns_and_layers_with_nothing_to_prune_are_converted(files, tmp_path):
    source, three = files / "block.keras", tmp_path / "three.keras"
    graphprune.convert(source, three, keras=3)
    assert state_of(three) == state_of(source)
    assert state_of(three).keys() == {"lstm", "nested::in"}
    graphprune.convert(three, tmp_path / "back.keras", keras=2)
    assert state_of(tmp_path / "back.keras") == state_of(source)
    x = np.random.default_rng(2).normal(size=(4, 8, 6)).astype("float32")
    expected = np.asarray(load_model(source)(x))
    np.testing.assert_allclose(
        np.asarray(graphprune.load_model(three)(x)), expected, rtol=1e-6, atol=1e-6
    )


def test_the_command_line_trains_them_in_keras_3(files, tmp_path):
    data, three = tmp_path / "d.npz", tmp_path / "three.keras"
    np.savez(data, x_train=X, y_train=Y)
    options = ("--epochs", 1, "--batch-size", 8, "--loss", "mse", "--run", tmp_path / "run")
    for arguments in (
        ("convert", files / "m.keras", "-o", three, "--keras", 3),
        ("train", three, "--data", data, *options),
        ("strip", tmp_path / "run", "-o", tmp_path / "s.keras"),
    ):
        done = run_command(*arguments)
        assert done.code == 0, done.err
    assert read_graph(tmp_path / "s.keras").keras == 3
