from __future__ import annotations

import base64
import json
import marshal
import re
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from one_file import RECORD, write_one_file
from tf_keras import layers
from tf_zoo import build, wrap_all
from weight_files import write_2_12, write_h5

from graphprune.archive import formats
from graphprune.errors import ArchiveError, OutputError
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model

pytestmark = pytest.mark.tf


class Doubled(layers.Layer):
    def call(self, inputs):
        return inputs * 2


def my_loss(wanted, got):
    return tf.reduce_mean(wanted - got)


def in_front(layer, **compiling):
    x = layers.Input((4,))
    model = tf_keras.Model(x, layer(x), name="net")
    if compiling:
        model.compile(**compiling)
    return model


@pytest.fixture(params=[".keras", ".h5"])
def path(request, tmp_path):
    return tmp_path / f"m{request.param}"


def test_a_saved_model_loads_with_its_optimizer(path):
    model = wrap_all(build("sequential"))
    model.compile(tf_keras.optimizers.Adam(0.25), "mse")
    save_model(model, path)
    assert load_model(path).optimizer.learning_rate.numpy() == 0.25
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_lambda_bytecode_is_refused_unless_asked_for(path):
    save_model(in_front(layers.Lambda(lambda tensor: tensor + 1)), path)
    text = (
        f"{path}: a Lambda layer holds Python bytecode, which loading would run; if you trust where"
        " the file comes from, pass --unsafe-lambda (unsafe_lambda=True in Python)"
    )
    with pytest.raises(ArchiveError, match="^" + re.escape(text) + "$"):
        load_model(path)
    np.testing.assert_array_equal(
        load_model(path, unsafe_lambda=True)(np.zeros((1, 4))), np.ones((1, 4))
    )


@pytest.mark.parametrize("code", [b"\x00\x00\x00", marshal.dumps("text")[:-2]])
def test_lambda_bytecode_of_another_python(tmp_path, code):
    function = [base64.b64encode(code).decode(), None, None]
    lam = {
        "class_name": "Lambda",
        "config": {"name": "lam", "function": function, "function_type": "lambda", "arguments": {}},
    }
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [lam]}}
    path = write_h5(tmp_path / "m.h5", config, {"lam": {}})
    text = (
        f"{path}: a Lambda layer holds bytecode that another version of Python wrote, which this"
        " one cannot read; make it a layer class of your own in the program that built the model,"
        " and save it again"
    )
    with pytest.raises(ArchiveError, match="^" + re.escape(text) + "$"):
        load_model(path, unsafe_lambda=True)


def test_a_sequential_model_that_tensorflow_2_1_saved_without_the_shape_of_its_input(tmp_path):
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "layers": [{"class_name": "Dense", "config": {"name": "fc", "units": 3}}],
        },
    }
    path = write_h5(
        tmp_path / "m.h5",
        config,
        {"fc": {"fc/kernel:0": np.ones((4, 3), "float32"), "fc/bias:0": np.ones(3, "float32")}},
    )
    way_out = "give it an Input in the program that built it, and save it again"
    text = (
        f"{path}: the file holds the weights of a Sequential model but not the shape of its input;"
        f" {way_out}"
    )
    with pytest.raises(ArchiveError, match="^" + re.escape(text) + "$"):
        load_model(path)


def test_a_keras_file_of_tensorflow_2_12_is_built(tmp_path):
    model = load_model(write_2_12(tmp_path / "m.keras"))
    assert [float(model.get_layer(name).get_weights()[0][0, 0]) for name in ("tail", "out")] == [
        3,
        4,
    ]
    assert [
        weight[0, 0]
        for weight in wrap_all(model).get_layer("mid").get_weights()
        if weight.dtype == "float32" and weight.shape == (4, 4)
    ] == [0, 1, 2]


def test_an_unknown_class_is_named(path):
    Gone = type("Doubled", (Doubled,), {"__module__": "a_program_that_is_gone"})
    save_model(in_front(Gone(name="own")), path)
    program = " of 'a_program_that_is_gone'" if path.suffix == ".keras" else ""
    way_out = (
        "give it with --custom-objects MODULE:Doubled (custom_objects={'Doubled': ...} in Python)"
    )
    text = f"{path}: layer 'own': the class 'Doubled'{program} is not part of Keras; {way_out}"
    with pytest.raises(ArchiveError, match="^" + re.escape(text) + "$"):
        load_model(path)
    assert type(load_model(path, {"Doubled": Doubled}).layers[1]) is Doubled


def test_a_loss_that_cannot_be_restored_leaves_the_model_uncompiled(path):
    save_model(in_front(layers.Dense(2), optimizer="sgd", loss=my_loss), path)
    text = (
        f"{path}: its compile settings could not be restored, so the model is not compiled (the"
        " loss 'my_loss' is not part of Keras; give it with --custom-objects"
        " MODULE:my_loss (custom_objects={'my_loss': ...} in Python)); compile it again, or say"
        " how to train it with --loss and --optimizer"
    )
    with pytest.warns(UserWarning, match="^" + re.escape(text) + "$"):
        assert not load_model(path)._is_compiled
    assert load_model(path, {"my_loss": my_loss})._is_compiled


def test_a_lambda_loss_is_never_run(tmp_path):
    save_model(
        in_front(layers.Dense(2), optimizer="sgd", loss=lambda wanted, got: wanted - got),
        tmp_path / "m.keras",
    )
    with pytest.warns(UserWarning, match="a lambda function in them holds Python bytecode"):
        assert not load_model(tmp_path / "m.keras")._is_compiled


def test_a_suffix_that_names_no_format_is_refused(tmp_path):
    with pytest.raises(
        OutputError,
        match="^"
        + re.escape(
            f"{tmp_path}/m.pb: a model is saved as .keras or .h5, got .pb; change the end of the"
            " name"
        )
        + "$",
    ):
        save_model(build("sequential"), tmp_path / "m.pb")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "m.h5"
    save_model(build("sequential"), path)
    before = path.read_bytes()
    with pytest.raises(
        OutputError,
        match=(
            r"^m\.h5: Keras cannot save outer \(Unable to synchronously create dataset \(name"
            r" already exists\)\); save it as \.keras$"
        ),
    ):
        save_model(build("deep"), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["m.h5"]


def edit_config(path, changed, **arguments) -> None:
    """Write the `.keras` file `path` again as `changed`, its second layer with other arguments."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"].update(arguments)
                content = json.dumps(config)
            new.writestr(name, content)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (
            {"units": -3},
            (
                "TypeError: Received an invalid value for `units`, expected a positive integer."
                " Received: units=-3"
            ),
        ),
        ({"other": True}, "TypeError: ('Keyword argument not understood:', 'other')"),
    ],
)
def test_what_keras_cannot_build_is_told_with_its_cause(tmp_path, arguments, cause):
    tf_keras.Sequential([layers.Input((3,)), layers.Dense(4)]).save(tmp_path / "old.keras")
    edit_config(tmp_path / "old.keras", tmp_path / "new.keras", **arguments)
    with pytest.raises(ArchiveError) as caught:
        load_model(tmp_path / "new.keras")
    assert (
        str(caught.value)
        == f"{tmp_path}/new.keras: Keras cannot load it ({cause}); its config and weights do not"
        " fit each other or their layers; save the model again in the program that built it"
    )


@pytest.mark.parametrize("kind", ["code.keras", "code.h5"])
def test_a_lambda_as_activation_is_called_one(tmp_path, kind):
    path = tmp_path / kind
    dense = layers.Dense(4, activation=lambda x: 2 * x)
    tf_keras.Sequential([layers.Input((3,)), dense]).save(path)
    with pytest.raises(ArchiveError) as caught:
        load_model(path)
    assert (
        str(caught.value)
        == f"{path}: a function in it is a lambda, which a model file cannot hold; write it as a"
        " function with a name (def) in the program that built the model, save the model again,"
        " and give the function with --custom-objects"
    )


class Activated(layers.Layer):
    """Looks its activation up by itself."""

    def __init__(self, activation=None, **options):
        super().__init__(**options)
        self.activation = tf_keras.activations.get(activation)

    def call(self, inputs):
        return self.activation(inputs)

    def get_config(self):
        return {**super().get_config(), "activation": "linear"}


@pytest.mark.parametrize("layer", [layers.Dense(4, name="fc"), Activated(name="fc")])
def test_a_lambda_of_which_there_is_only_the_name_can_be_given(tmp_path, layer):
    tf_keras.Sequential([layers.Input((3,)), layer]).save(tmp_path / "old.keras")
    path = tmp_path / "new.keras"
    edit_config(tmp_path / "old.keras", path, activation="<lambda>")
    own = {"Activated": Activated}
    place = "layer 'fc': " if type(layer) is layers.Dense else ""  # the user's read as they like
    with pytest.raises(ArchiveError) as caught:
        load_model(path, own)
    assert (
        str(caught.value)
        == f"{path}: {place}a function in it is a lambda, and the model file holds only its"
        " name '<lambda>'; give the function under that name, with --custom-objects"
        " '<lambda>=MODULE:FUNCTION' (custom_objects={'<lambda>': ...} in Python); it then stands"
        " for every lambda of the file"
    )
    loaded = load_model(path, own | {"<lambda>": lambda x: x + 7})
    np.testing.assert_array_equal(loaded.layers[0].activation(np.ones(2)), [8, 8])


def test_a_class_that_is_built_on_keras_3_is_called_so(path):
    keras = pytest.importorskip("keras")
    save_model(in_front(Doubled(name="own")), path)
    with pytest.raises(ArchiveError) as caught:
        load_model(path, {"Doubled": type("Doubled", (keras.layers.Layer,), {})})
    assert (
        str(caught.value)
        == f"{path}: layer 'own': the class that was given as 'Doubled' is built on Keras 3 (module"
        " keras), and this model is one of tf_keras; import tf_keras instead of keras where the"
        " class is written, or set TF_USE_LEGACY_KERAS=1 where it imports tensorflow.keras"
    )


def test_a_format_that_keras_cannot_read(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, RECORD))
    x = layers.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, activation="relu")(x)
    y = layers.BatchNormalization()(layers.SeparableConv2D(5, 3)(y))
    y = layers.LSTM(3)(layers.Reshape((4, -1))(y))
    model = tf_keras.Model(x, layers.Dense(2)(y))
    save_model(model, tmp_path / "m.keras")
    write_one_file(tmp_path / "m.one", tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.one")
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(new, old)
    data = np.random.default_rng(1).normal(size=(2, 8, 8, 3))
    np.testing.assert_array_equal(loaded(data), model(data))
