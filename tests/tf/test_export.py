from importlib.util import find_spec

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from run_builders import build_model
from tf_keras import layers

from graphprune.errors import OutputError
from graphprune.serving import convert, proving
from graphprune.serving.running import try_run
from graphprune.serving.runtimes import RunnerSpec
from graphprune.serving.tflite_forms import TfliteRequest
from graphprune.tf.models import export
from graphprune.tf.models.export import write_model, write_saved_model

pytestmark = [
    pytest.mark.tf,
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated"),
]


def run_tflite(content, **inputs):
    interpreter = tf.lite.Interpreter(model_content=content)
    details = {
        detail["name"].removeprefix("serving_default_").split(":")[0]: detail["index"]
        for detail in interpreter.get_input_details()
    }
    for name, value in inputs.items():
        interpreter.resize_tensor_input(details[name], value.shape)
    interpreter.allocate_tensors()
    for name, value in inputs.items():
        interpreter.set_tensor(details[name], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def to_tflite(model):
    return export.to_tflite(model).content


def run_onnx(path, **inputs):
    return try_run(RunnerSpec.of_file(path), inputs)


def sample(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_tflite_predicts_what_keras_predicts(capfd):
    model, x = build_model(), sample(5, 4, 4, 1)
    content = to_tflite(model)
    assert capfd.readouterr() == ("", "")
    np.testing.assert_allclose(
        run_tflite(content, image=x)[0], model.predict(x, verbose=0), atol=1e-5, rtol=0
    )


def test_tflite_of_several_inputs_predicts_what_keras_predicts():
    a, b = layers.Input((3,), name="a"), layers.Input((2,), name="b")
    model = tf_keras.Model([a, b], layers.Dense(2)(layers.Concatenate()([a, b])))
    x = {"a": sample(4, 3), "b": sample(4, 2)}
    np.testing.assert_allclose(
        run_tflite(to_tflite(model), **x)[0], model.predict(x, verbose=0), atol=1e-5, rtol=0
    )


def test_a_model_is_run_on_its_inputs_by_their_names(tmp_path):
    """The signature of a SavedModel lists its inputs in another order each time."""
    a, b = layers.Input((3,), name="a"), layers.Input((2,), name="b-in")
    model = tf_keras.Model([a, b], layers.Dense(2, name="d")(layers.Concatenate()([a, b])))
    x = {"b_in": sample(4, 2), "a": sample(4, 3)}
    np.testing.assert_allclose(
        export._exported(model, tmp_path).compute([x])["d"],
        model.predict([x["a"], x["b_in"]], verbose=0),
        atol=1e-5,
        rtol=0,
    )


def test_tflite_of_a_recurrent_model_takes_one_sample_and_predicts_what_keras_predicts(capfd):
    words = layers.Input((5, 3), name="words")
    model = tf_keras.Model(
        words, layers.Dense(2)(layers.GRU(3)(layers.LSTM(4, return_sequences=True)(words)))
    )
    x = sample(1, 5, 3)
    content = to_tflite(model)
    assert capfd.readouterr() == ("", "")
    np.testing.assert_allclose(
        run_tflite(content, words=x)[0], model.predict(x, verbose=0), atol=1e-5, rtol=0
    )


def in_one_interpreter(content, samples):
    """Return what one interpreter predicts for each sample, one call after the other."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for x in samples:
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        found.append(interpreter.get_tensor(wanted["index"]))
    return found


FIXED = {
    "lstm": lambda: [layers.LSTM(3)],
    "gru": lambda: [layers.GRU(3)],
    "simple": lambda: [layers.SimpleRNN(3)],
    "cell": lambda: [layers.RNN(layers.LSTMCell(3))],
    "stacked": lambda: [layers.LSTM(3, return_sequences=True), layers.LSTM(2)],
    "bidirectional": lambda: [layers.Bidirectional(layers.LSTM(3))],
    "backwards": lambda: [layers.LSTM(3, go_backwards=True)],
    "distributed": lambda: [layers.Reshape((2, 2, 2)), layers.TimeDistributed(layers.LSTM(3))],
    "convolutional": lambda: [layers.Reshape((4, 2, 1, 1)), layers.ConvLSTM2D(3, 1)],
    "stateful": lambda: [layers.LSTM(3, stateful=True)],
    "groups": lambda: [layers.Reshape((2, 2, 2)), layers.GroupNormalization(2)],
}
"""Layers that TensorFlow Lite runs in batches of a fixed size alone."""


OFTEN = ("stacked", "distributed", "stateful", "groups")
"""A layer on its own kernel, one inside of another, one that carries its state on, one without."""


@pytest.mark.parametrize(
    "name",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in FIXED],
)
def test_later_calls_of_a_tflite_interpreter_predict_what_keras_predicts(name):
    tf_keras.utils.set_random_seed(3)
    model = tf_keras.Sequential(
        [layers.Input((4, 2), batch_size=1 if name == "stateful" else None), *FIXED[name]()]
    )
    content = to_tflite(model)
    samples = [sample(1, 4, 2) * scale for scale in (3, -2, 1)]
    for found, x in zip(in_one_interpreter(content, samples), samples, strict=True):
        # a stateful layer carries its state on in both
        np.testing.assert_allclose(found, model(x), atol=1e-6, rtol=0)
    assert all(
        layer._could_use_gpu_kernel
        for layer in model._flatten_layers()
        if isinstance(layer, layers.LSTM)
    )


def test_a_layer_that_tflite_lacks_is_one_clear_line(capfd):
    x = layers.Input((4,), name="x")
    model = tf_keras.Model(x, tf.raw_ops.Betainc(a=x, b=x, x=x), name="net")
    with pytest.raises(OutputError) as caught:
        to_tflite(model)
    assert str(caught.value) == (
        "net: cannot be written for TensorFlow Lite: it has no operation for Betainc; save it as"
        " .keras or as a SavedModel folder"
    )
    assert capfd.readouterr() == ("", "")


def test_a_saved_model_predicts_what_keras_predicts_and_loads_again(tmp_path, capfd):
    model, x = build_model(), sample(5, 4, 4, 1)
    for _ in range(2):  # the second replaces the first
        write_saved_model(model, tmp_path / "deep" / "net")
    assert capfd.readouterr() == ("", "")
    loaded = tf_keras.models.load_model(tmp_path / "deep" / "net")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6, rtol=0
    )
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["net"]


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError) as caught:
        write_saved_model(build_model(), tmp_path)
    assert str(caught.value) == f"{tmp_path}: exists and is not a SavedModel; give another path"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_tflite_file_is_written_whole(tmp_path):
    model = build_model()
    write_model(model, tmp_path / "deep" / "net.tflite")
    assert (tmp_path / "deep" / "net.tflite").read_bytes() == to_tflite(model)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["net.tflite"]
    (tmp_path / "deep.tflite").mkdir()
    with pytest.raises(OutputError) as caught:
        write_model(model, tmp_path / "deep.tflite")
    assert (
        str(caught.value)
        == f"{tmp_path}/deep.tflite: cannot be written: Is a directory; give another name"
    )


def test_the_end_of_the_name_says_the_format(tmp_path):
    model = build_model()
    for name in ("net.keras", "net.h5", "net.tflite", "net"):
        write_model(model, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "net",
        "net.h5",
        "net.keras",
        "net.tflite",
    ]
    with pytest.raises(OutputError) as caught:
        write_model(model, tmp_path / "net.pb")
    assert (
        str(caught.value)
        == f"{tmp_path}/net.pb: no model format has the suffix .pb; use .keras, .h5, .tflite,"
        " .onnx, or no suffix for a SavedModel folder"
    )


@pytest.mark.skipif(find_spec("tf2onnx") is None, reason="the extra onnx is not installed")
def test_onnx_predicts_what_keras_predicts(tmp_path, capfd):
    model = build_model()
    write_model(model, tmp_path / "net.onnx")
    assert capfd.readouterr() == ("", "")
    x = sample(5, 4, 4, 1)
    found = run_onnx(tmp_path / "net.onnx", image=x)
    assert list(found) == model.output_names
    np.testing.assert_allclose(found[model.output_names[0]], model(x), atol=1e-5, rtol=0)


@pytest.mark.skipif(find_spec("tf2onnx") is None, reason="the extra onnx is not installed")
def test_onnx_has_the_constants_of_operations(tmp_path):
    x = tf_keras.Input((4,), name="x")
    scaled = tf.concat([x * tf.constant([1.0, 2.0, 3.0, 4.0]) + 0.5, x], -1)
    outputs = [layers.Dense(2, name="size")(scaled), layers.Dense(2, name="digit")(scaled)]
    model = tf_keras.Model(x, outputs, name="net")
    write_model(model, tmp_path / "net.onnx")
    given = sample(3, 4)
    found = run_onnx(tmp_path / "net.onnx", x=given)
    assert set(found) == {"size", "digit"}
    for name, wanted in zip(("size", "digit"), model(given), strict=True):
        np.testing.assert_allclose(found[name], wanted, atol=1e-5, rtol=0)


@pytest.mark.skipif(find_spec("tf2onnx") is None, reason="the extra onnx is not installed")
def test_onnx_computes_exact_gelu_without_the_operation_that_it_lacks(tmp_path):
    x = layers.Input((6,), name="x")
    model = tf_keras.Model(x, [layers.Dense(8, "gelu")(x), x])
    write_model(model, tmp_path / "net.onnx")
    given = sample(4, 6) * 5
    found = run_onnx(tmp_path / "net.onnx", x=given)  # a name of an input cannot be an output's too
    np.testing.assert_allclose(found["output_0"], model(given)[0], atol=1e-5, rtol=0)
    np.testing.assert_array_equal(found["output_1"], given)


@pytest.mark.skipif(find_spec("tf2onnx") is None, reason="the extra onnx is not installed")
def test_an_operation_that_onnx_lacks_is_named(tmp_path, caplog):
    x, text = layers.Input((4,), name="x"), layers.Input((), dtype="string", name="text")
    lookup = layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    lacking = {
        "Betainc": (x, tf.raw_ops.Betainc(a=x, b=x, x=x)),
        "LookupTableFindV2": (text, lookup(text)),
    }
    for operation, (given, made) in lacking.items():
        with pytest.raises(OutputError) as caught:
            write_model(tf_keras.Model(given, made, name="net"), tmp_path / "net.onnx")
        assert str(caught.value) == (
            f"net: cannot be written as ONNX: ONNX has no operation for {operation}; save it as"
            " .keras or as a SavedModel folder"
        )
    assert list(tmp_path.iterdir()) == []
    assert [one for one in caplog.records if one.name.startswith("tf2onnx")] == []


@pytest.mark.skipif(find_spec("tf2onnx") is None, reason="the extra onnx is not installed")
def test_an_onnx_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    right = proving.try_run
    monkeypatch.setattr(
        proving,
        "try_run",
        lambda *given: {name: values + 1 for name, values in right(*given).items()},
    )
    model = build_model()
    with pytest.raises(OutputError) as caught:
        write_model(model, tmp_path / "net.onnx")
    assert str(caught.value) == (
        f"{tmp_path}/net.onnx: not written: in the ONNX form, the output {model.output_names[0]!r}"
        " differs from the model's; save it as .keras"
    )
    assert list(tmp_path.iterdir()) == []


def test_onnx_without_its_packages_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "_ONNX_PACKAGES", ("a_package_that_is_missing",))
    with pytest.raises(OutputError) as caught:
        write_model(build_model(), tmp_path / "net.onnx")
    assert str(caught.value) == (
        "an .onnx file needs the package a_package_that_is_missing, which is not installed; pip"
        " install 'graphprune[onnx]'"
    )


def test_another_batch_size_than_the_inputs_have_is_refused():
    a, b = layers.Input((2,), name="a"), layers.Input((2,), batch_size=5, name="b")
    model = tf_keras.Model([a, b], layers.Add()([a, b]), name="net")
    with pytest.raises(OutputError) as caught:
        export.to_tflite(model, TfliteRequest(batch=3))
    assert str(caught.value) == (
        "net: cannot have the batch size 3: the inputs of the model have 5; leave out --batch, or"
        " build the model with an open batch size"
    )
    request = TfliteRequest(batch=5)
    assert request.with_batch(5, 1, "net") == TfliteRequest().with_batch(5, 1, "net") == request
