"""Models with the user's own classes and functions: every file that graphprune writes of them is
one that it loads again.
"""

import importlib
import json
import os
import shlex
import subprocess
import sys

import h5py
import numpy as np
import own_objects
import pytest
import tf_keras
from click.testing import CliRunner
from commands import run_command
from tf_keras import layers

import graphprune
from graphprune.cli.main import cli
from graphprune.errors import OutputError
from graphprune.graph import read_graph
from graphprune.tf.models.export import write_saved_model
from graphprune.tf.models.saving import check_reads_back
from graphprune.training import resume, train

pytestmark = pytest.mark.tf


def build(*inside, shape=(6,), **compiling):
    model = tf_keras.Sequential([layers.Input(shape), *inside, layers.Flatten(), layers.Dense(1)])
    model.compile(**({"optimizer": "sgd", "loss": "mse"} | compiling))
    return model


def side_by_side(own):
    """Return a model with an object of the user's in every place that takes one, in a row."""
    inner = tf_keras.Sequential([layers.Input((4,)), layers.Dense(4, activation=own["act"])])
    return build(
        layers.Dense(4, activation=own["Act"]()),
        layers.Activation(own["act"]),
        inner,
        layers.Dense(4, kernel_initializer=own["init"]),
        layers.Dense(4, kernel_initializer=own["Init"](0.2)),
        layers.Dense(4, kernel_regularizer=own["penalty"], activity_regularizer=own["penalty"]),
        layers.Dense(4, kernel_regularizer=own["Penalty"](0.2)),
        layers.Dense(4, kernel_constraint=own["clip"]),
        layers.Dense(4, kernel_constraint=own["Clip"](0.2)),
        loss=own["loss"],
        metrics=[own["loss"]],
    )


IN_MODEL = {
    "side by side": side_by_side,
    "activation": lambda own: build(layers.Dense(4, activation=own["act"])),
    "activation of a class": lambda own: build(layers.Dense(4, activation=own["Act"]())),
    "Activation": lambda own: build(layers.Dense(4), layers.Activation(own["act"])),
    "recurrent activation": lambda own: build(
        layers.LSTM(4, recurrent_activation=own["act"]), shape=(3, 2)
    ),
    "in Bidirectional": lambda own: build(
        layers.Bidirectional(layers.GRU(4, activation=own["act"])), shape=(3, 2)
    ),
    "in TimeDistributed": lambda own: build(
        layers.TimeDistributed(layers.Dense(4, activation=own["act"])), shape=(3, 2)
    ),
    "in a cell": lambda own: build(
        layers.RNN([layers.LSTMCell(4, activation=own["act"])]), shape=(3, 2)
    ),
    "in a model": lambda own: build(
        tf_keras.Sequential([layers.Input((6,)), layers.Dense(4, activation=own["act"])])
    ),
    "in an own layer": lambda own: build(own["OwnDense"](4, activation=own["act"])),
    "initializer": lambda own: build(layers.Dense(4, kernel_initializer=own["init"])),
    "initializer of a class": lambda own: build(
        layers.Dense(4, kernel_initializer=own["Init"](0.2))
    ),
    "regularizer": lambda own: build(
        layers.Dense(4, kernel_regularizer=own["penalty"], activity_regularizer=own["penalty"])
    ),
    "regularizer of a class": lambda own: build(
        layers.Dense(4, kernel_regularizer=own["Penalty"](0.2))
    ),
    "constraint": lambda own: build(layers.Dense(4, kernel_constraint=own["clip"])),
    "constraint of a class": lambda own: build(layers.Dense(4, kernel_constraint=own["Clip"](0.2))),
    "loss": lambda own: build(layers.Dense(4), loss=own["loss"], metrics=[own["loss"]]),
    "loss of a class": lambda own: build(layers.Dense(4), loss=own["Loss"]()),
}


QUICK = ("side by side", "in Bidirectional", "in an own layer", "loss of a class")
"""Places that no other stands for; the first has the others in one model."""


@pytest.mark.filterwarnings("error:.*could not be restored")
@pytest.mark.parametrize(
    "registered", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain", "registered"]
)
@pytest.mark.parametrize(
    "where",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in IN_MODEL],
)
def test_a_model_with_the_users_own_objects_is_loaded_as_it_was_saved(tmp_path, where, registered):
    own = own_objects.REGISTERED if registered else own_objects.PLAIN
    given = {} if registered else own
    with tf_keras.utils.custom_object_scope(given):  # Bidirectional copies its layer at once
        model = IN_MODEL[where](own)
        wrapped = graphprune.prune_low_magnitude(model, graphprune.ConstantSparsity(0.5, 0))
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    for saved, names in ((model, ("a.h5", "a.keras", "a")), (wrapped, ("w.h5", "w.keras"))):
        for name in names:
            path = tmp_path / name
            (graphprune.save_model if path.suffix else write_saved_model)(saved, path)
            loaded = graphprune.load_model(path, given)
            np.testing.assert_array_equal(loaded(x), saved(x))
            assert loaded._is_compiled
            assert [value.numpy() for value in loaded.losses] == [
                value.numpy() for value in saved.losses
            ]
    if where != "in an own layer":  # whose weights the formats name differently
        assert read_graph(tmp_path / "a.h5") == read_graph(tmp_path / "a.keras")
    # those Keras cannot read from .h5, graphprune can
    if where != "in an own layer" and not (registered and "of a class" in where):
        np.testing.assert_array_equal(
            tf_keras.models.load_model(tmp_path / "a.h5", given)(x), model(x)
        )


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_run_of_a_model_with_an_own_activation_can_be_resumed_and_stripped(
    tmp_path, monkeypatch, suffix
):
    monkeypatch.chdir(tmp_path)
    path, data = tmp_path / f"m{suffix}", tmp_path / "d.npz"
    # by Keras, which could not load its own .h5
    IN_MODEL["activation"](own_objects.PLAIN).save(path)
    rng = np.random.default_rng(0)
    np.savez(
        data,
        x_train=rng.normal(size=(32, 6)).astype("float32"),
        y_train=rng.normal(size=(32, 1)).astype("float32"),
    )
    (tmp_path / "r.yaml").write_text(
        "version: 1\n"
        "rules:\n"
        "  - id: all\n"
        "    match: {type: Dense}\n"
        "    prune: {sparsity: 50%, schedule: {curve: constant, begin: 0 steps}}\n"
    )
    plan = graphprune.make_plan(read_graph(path), graphprune.read_rules("r.yaml"))
    train(
        path, plan, str(data), "run", epochs=2, custom_objects=own_objects.PLAIN, stop_after_step=1
    )
    assert resume("run", custom_objects=own_objects.PLAIN).status == "finished"
    stripped = CliRunner().invoke(
        cli, ["strip", "run", "-o", f"s{suffix}", "--custom-objects", "own_objects"]
    )
    assert stripped.exit_code == 0, stripped.output
    assert (
        graphprune.load_model(f"s{suffix}", own_objects.PLAIN).layers[0].activation
        is own_objects.act
    )


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("function", ["act", "nameless"])
def test_a_lambda_that_a_file_knows_by_name_only_goes_the_whole_way_under_that_name(
    tmp_path, monkeypatch, function, suffix
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "functions", raising=False)
    build(layers.Dense(4, activation=own_objects.act, name="fc")).save("m.h5")
    name_activation("m.h5", "fc", "<lambda>")
    (tmp_path / "functions.py").write_text(
        "import own_objects\nact = own_objects.act\nnameless = lambda x: own_objects.act(x)\n"
    )
    given = {"<lambda>": getattr(importlib.import_module("functions"), function)}
    graphprune.save_model(graphprune.load_model("m.h5", given), f"m{suffix}")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 6)).astype("float32")
    np.savez("d.npz", x_train=x, y_train=rng.normal(size=(32, 1)).astype("float32"))
    options = ("--custom-objects", f"<lambda>=functions:{function}")
    started = ("train", f"m{suffix}", "-r", "builtin:all-90", "--data", "d.npz", "--epochs", "4")
    done = run_command(*started, "--run", "my run", "--stop-after", "2", *options)
    for following in ("go on with: ", "next: "):  # what each command says, as it says it
        assert done.code == 0, done.err
        program, *command = shlex.split(done.out.splitlines()[-1].partition(following)[2])
        assert program == "graphprune"
        done = run_command(*command)
    assert (done.code, run_command("strip", "my run", "-o", "s.h5", *options).code) == (0, 0)
    for name in ("sparse.keras", "s.h5"):
        difference = run_command("diff", "m.h5", name)
        assert "0 reconfigured" in difference.out
        stripped = graphprune.load_model(name, given)
        np.testing.assert_array_equal(  # served as the original was, without graphprune
            tf_keras.models.load_model(name, given)(x), stripped(x)
        )
    assert tf_keras.utils.get_registered_name(own_objects.act) == "act"


def name_activation(path, layer, name) -> None:
    """Let an `.h5` file name the activation of a layer by a text, as Keras did until 2.12."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        entry = next(e for e in config["config"]["layers"] if e["config"]["name"] == layer)
        entry["config"]["activation"] = name
        file.attrs["model_config"] = json.dumps(config)


@pytest.mark.parametrize("chosen", [None, "1"])
def test_a_class_that_imports_tensorflow_keras_is_of_the_keras_that_the_user_chose(
    tmp_path, chosen
):
    (tmp_path / "older.py").write_text(
        "from tensorflow.keras.layers import Layer\n"
        "class Twice(Layer):\n    def call(self, x):\n        return 2 * x\n"
    )
    twice = type("Twice", (layers.Layer,), {"call": lambda self, x: 2 * x})
    build(layers.Dense(4), twice()).save(tmp_path / "m.h5")
    command = ("apply", "m.h5", "-r", "builtin:all-90", "-o", "w.h5", "--custom-objects", "older")
    given = {} if chosen is None else {"TF_USE_LEGACY_KERAS": chosen}
    unset = ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL")
    env = {name: text for name, text in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-m", "graphprune", *command],
        cwd=tmp_path,
        env=env | given,
        capture_output=True,
        text=True,
    )
    if chosen is not None:
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode == 1
    assert "the class that was given as 'Twice' is built on Keras 3 (module keras)" in done.stderr
    assert "set TF_USE_LEGACY_KERAS=1 where it imports tensorflow.keras" in done.stderr


class Forgetful(layers.Layer):
    """Its config leaves out what it is made with."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def call(self, x):
        return x * self.units

    def get_config(self):
        return {"name": self.name}


class Shuffled(layers.Layer):
    """Comes back with other weights than it was saved with."""

    def build(self, shape):
        self.scale = self.add_weight("scale", (), initializer="ones")

    def call(self, x):
        return x * self.scale

    def load_own_variables(self, store):
        self.scale.assign(7.0)


@pytest.mark.parametrize(
    ("layer", "suffix", "fault"),
    [
        (Forgetful(2), ".h5", "Keras cannot load it (TypeError"),
        (Forgetful(2), ".keras", "Keras cannot load it (TypeError"),
        (Shuffled(), ".keras", "its weights come back in another order or with other values"),
    ],
)
def test_a_file_that_could_not_be_loaded_again_is_refused_before_it_is_needed(layer, suffix, fault):
    given = {"Forgetful": Forgetful, "Shuffled": Shuffled}
    with pytest.raises(OutputError) as caught:
        check_reads_back(
            build(layer), suffix, "here", lambda path: graphprune.load_model(path, given)
        )
    text = str(caught.value)
    assert text.startswith("here: sequential")
    assert fault in text
    assert ("choose .keras" in text) == (suffix == ".h5")


def test_a_file_that_comes_back_uncompiled_is_refused_with_what_was_lost():
    def own_loss(wanted, found):
        return (wanted - found) ** 2

    model = build(layers.Dense(4), loss=own_loss)
    with pytest.raises(OutputError) as caught:
        check_reads_back(model, ".keras", "here", graphprune.load_model)
    assert str(caught.value) == (
        f"here: {model.name} can be saved as .keras, but not be loaded again (its compile settings"
        " could not be restored, so the model is not compiled (the loss 'own_loss' is not part of"
        " Keras; give it with --custom-objects MODULE:own_loss (custom_objects={'own_loss': ...}"
        " in Python)); compile it again, or say how to train it with --loss and --optimizer); give"
        " its classes get_config and from_config that fit each other, and name all of them with"
        " --custom-objects (custom_objects in Python)"
    )


def test_nothing_is_tried_where_everything_is_of_keras():
    check_reads_back(
        build(layers.Dense(4, activation="relu")),
        ".h5",
        "here",
        lambda path: pytest.fail("the model was saved and loaded"),
    )
