"""Files that would run code, read or write files, or import a module when they are loaded: nothing
of it happens, in any format.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from commands import run_command
from hostile_configs import CODE, activation, function, model, python
from hostile_files import FC, IN, KERNEL, layer, write_h5, write_keras
from saved_model_files import write_saved_model
from tf_keras import layers

from graphprune.errors import ArchiveError, GraphError, GraphpruneError
from graphprune.tf.models import loading
from graphprune.tf.models.loading import load_model

pytestmark = pytest.mark.tf


def write_folder(path, config):
    return write_saved_model(
        path, config, {"layer_with_weights-0": {"kernel": KERNEL, "bias": np.zeros(4, "float32")}}
    )


WRITERS = {"m.keras": write_keras, "m.h5": write_h5, "m": write_folder}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("what", CODE)
def test_nothing_in_a_file_runs(tmp_path, what, name):
    marker = tmp_path / "marker"
    path = WRITERS[name](tmp_path / name, CODE[what](marker))
    with pytest.raises(GraphpruneError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    assert "this" not in sys.modules


@pytest.mark.parametrize("command", ["apply", "train", "strip"])
def test_no_command_loads_such_a_file(tmp_path, command):
    marker = tmp_path / "marker"
    path = write_keras(tmp_path / "m.keras", CODE["dotted-builtin"](marker))
    np.savez(
        tmp_path / "d.npz", x_train=np.zeros((4, 4), "float32"), y_train=np.zeros((4, 4), "float32")
    )
    rules = tmp_path / "all.yaml"
    rules.write_text(
        "version: 1\n"
        "rules:\n"
        "  - {id: all, match: '*', prune: {sparsity: 50%, schedule: {curve: step, begin: 0"
        " steps}}}\n"
    )
    options = {
        "apply": ("-r", rules, "-o", tmp_path / "out.keras"),
        "train": (
            "-r",
            rules,
            "--data",
            tmp_path / "d.npz",
            "--epochs",
            "1",
            "--run",
            tmp_path / "run",
            "--loss",
            "mse",
            "--optimizer",
            "sgd",
        ),
        "strip": ("-o", tmp_path / "out.keras"),
    }
    done = run_command(command, path, *options[command])
    assert done.code == 1
    assert (
        "layer 'evil': the activation 'exec.__call__' is not one that a model file may name; the"
        " file is not safe to load" in done.err
    )
    assert not marker.exists()


def test_such_a_file_would_run_without_the_list(tmp_path, monkeypatch):
    """The file above is a real one: with list and guard taken away, its code runs."""
    marker = tmp_path / "marker"
    path = write_keras(tmp_path / "m.keras", CODE["dotted-builtin-in-lambda"](marker))
    for check in ("check_loadable", "check_models"):
        monkeypatch.setattr(loading, check, lambda *_, **__: None)
    monkeypatch.setattr(loading, "names_guarded", lambda *_: names_guarded_off())
    with pytest.raises(ArchiveError):
        load_model(path)
    assert marker.exists()


def names_guarded_off():
    import contextlib

    return contextlib.nullcontext()


def test_the_guard_alone_refuses_it_too(tmp_path, monkeypatch):
    for check in ("check_loadable", "check_models"):
        monkeypatch.setattr(loading, check, lambda *_, **__: None)
    marker = tmp_path / "marker"
    for what in (
        "dotted-builtin-in-lambda",
        "registered-name-in-lambda",
        "module-of-the-model",
        "deserializer-as-activation",
    ):
        for name in ("m.keras",):
            path = WRITERS[name](tmp_path / name, CODE[what](marker))
            with pytest.raises(ArchiveError, match="may not be named by a model file"):
                load_model(path)
            path.unlink()
    assert not marker.exists()


class Odd(layers.Layer):
    """A layer of the user's that hands a text of its config to Keras."""

    def __init__(self, activation, **rest):
        super().__init__(**rest)
        self.activation = tf_keras.activations.get(activation)

    def call(self, inputs):
        return self.activation(inputs)


def test_a_text_that_the_users_own_class_hands_to_keras_is_guarded(tmp_path):
    for name in ("m.keras", "m.h5"):
        config = model(IN, layer("Odd", "evil", ("in",), activation="deserialize"), FC)
        path = WRITERS[name](tmp_path / name, config)
        with pytest.raises(ArchiveError, match=r"'deserialize'.* may not be named by a model file"):
            load_model(path, {"Odd": Odd})


def test_what_the_user_gave_must_fit_its_place(tmp_path):
    path = write_keras(
        tmp_path / "m.keras", activation(python(tmp_path / "marker"), function("run"))
    )
    ran = []
    objects = {"run": ran.append, "evil": Odd}
    # the user's function never runs on what the file says
    with pytest.raises(GraphError, match="layer 'evil' is called on no tensor of the model"):
        load_model(path, objects)
    assert ran == []
    layer_as_initializer = {
        "class_name": "Odd",
        "config": {"activation": "relu"},
        "module": None,
        "registered_name": "Odd",
    }
    config = activation(
        "x", "relu", "Dense", "activation", units=4, kernel_initializer=layer_as_initializer
    )
    with pytest.raises(
        ArchiveError,
        match=(
            r"layer 'evil': 'Odd' is used as initializer and is not one; give the initializer of"
            r" that name, or do not load the file, which is not safe$"
        ),
    ):
        load_model(write_keras(tmp_path / "n.keras", config), {"Odd": Odd})


def test_the_settings_of_training_are_held_against_the_list_too(tmp_path):
    model = tf_keras.Sequential([layers.Input((4,)), layers.Dense(2, name="fc")])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.h5")
    import h5py

    with h5py.File(tmp_path / "m.h5", "r+") as file:
        settings = json.loads(file.attrs["training_config"])
        file.attrs["training_config"] = json.dumps(settings | {"loss": "deserialize"})
    with pytest.warns(UserWarning, match="the loss 'deserialize' is not part of Keras"):
        assert not load_model(tmp_path / "m.h5")._is_compiled


def test_operations_that_do_more_than_compute_have_an_option_of_their_own(tmp_path):
    text = tf_keras.Input((), dtype="string", name="text")
    tf_keras.Model(text, tf.strings.lower(text, encoding="")).save(tmp_path / "plain.keras")
    with (
        zipfile.ZipFile(tmp_path / "plain.keras") as plain,
        zipfile.ZipFile(tmp_path / "m.keras", "w") as changed,
    ):
        for name in plain.namelist():
            content = plain.read(name)
            changed.writestr(
                name,
                content.replace(b"strings.lower", b"io.matching_files").replace(
                    b'{"encoding": "", "name": null}', b"{}"
                ),
            )
    way_out = (
        "if you trust where the file comes from, pass --unsafe-ops (unsafe_ops=True in Python)"
    )
    why = (
        "it runs TensorFlow's io.matching_files, which is not on the list of operations that only"
        " compute"
    )
    with pytest.raises(ArchiveError) as caught:
        load_model(tmp_path / "m.keras", unsafe_lambda=True)
    assert (
        str(caught.value) == f"{tmp_path}/m.keras: layer 'tf.io.matching_files': {why}; {way_out}"
    )
    (tmp_path / "a.txt").write_text("inside")
    model = load_model(tmp_path / "m.keras", unsafe_ops=True)
    assert model(tf.constant([str(tmp_path / "*.txt")])).numpy() == str(tmp_path / "a.txt").encode()


def test_the_original_is_never_opened_for_a_vocabulary(tmp_path):
    config = CODE["vocabulary-of-a-file"](Path())
    with pytest.raises(
        ArchiveError,
        match="layer 'evil': its config names the file '/etc/passwd', which loading would open",
    ):
        load_model(write_keras(tmp_path / "m.keras", config))


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_built_is_the_config_that_was_checked(tmp_path, monkeypatch, name):
    """The file is not parsed twice: one that changes after the check, or that two parsers read in
    two ways, changes nothing.
    """
    config = model(IN, layer("Dense", "fc", ("in",), units=4, use_bias=True, activation="relu"))
    values = {"kernel": KERNEL, "bias": np.zeros(4, "float32")}
    write = (
        WRITERS[name]
        if name != "m"
        else lambda path, config: write_saved_model(
            path, config, {"layer-0": {}, "layer-1": values}
        )
    )
    checked = loading.read_archive(write(tmp_path / name, config))
    monkeypatch.setattr(loading, "read_archive", lambda _: checked)
    _ = checked.stored
    if name == "m":
        metadata = tmp_path / "m" / "keras_metadata.pb"
        metadata.write_bytes(metadata.read_bytes().replace(b'"relu"', b'"tanh"'))
    else:
        (tmp_path / name).unlink()
        WRITERS[name](
            tmp_path / name,
            model(IN, layer("Dense", "fc", ("in",), units=4, use_bias=True, activation="tanh")),
        )
    assert load_model(tmp_path / name).get_layer("fc").get_config()["activation"] == "relu"
