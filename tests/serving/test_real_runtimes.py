"""Small models in the runtimes that are installed, in processes of their own."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands import run_command

import graphprune
from graphprune.serving.running import open_runner, sample_inputs_of, try_run
from graphprune.serving.runtimes import RunFault, RunnerSpec, Runtime
from graphprune.shipped import shipped_file

pytestmark = pytest.mark.tf
DIGITS = "fixtures/digits-cnn.keras"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A two-input model of tf_keras as TensorFlow Lite, exported SavedModel and `.h5` files."""
    import tensorflow as tf
    import tf_keras

    folder = tmp_path_factory.mktemp("files")
    a, b = tf_keras.Input(4, name="a"), tf_keras.Input(4, name="b")
    model = tf_keras.Model([a, b], tf_keras.layers.Dense(3)(tf_keras.layers.subtract([a, b])))
    model.save(folder / "model.h5", include_optimizer=False)
    model.export(str(folder / "exported"))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (folder / "model.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[np.ones((1, 4), np.float32)] * 2] * 4)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())
    (folder / "damaged.tflite").write_bytes(converter.convert()[:500])
    return folder, model


def given(model_input_names=("a", "b")):
    rows = np.array([[0.5, -1, 2, 0]], np.float32), np.array([[1, 0.25, -0.5, 1]], np.float32)
    return dict(zip(model_input_names, rows, strict=True))


def test_all_forms_of_a_model_compute_the_same(files):
    folder, model = files
    wanted = model.predict_on_batch(list(given().values()))
    specs = [RunnerSpec.of_file(folder / name) for name in ("model.tflite", "model.h5")]
    for spec in specs:
        (found,) = try_run(spec, given()).values()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_file_of_integers_takes_and_gives_real_numbers(files):
    folder, model = files
    ones = {name: np.ones((1, 4), np.float32) for name in "ab"}
    (found,) = try_run(RunnerSpec.of_file(folder / "int8.tflite"), ones).values()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict_on_batch(list(ones.values())), atol=0.1)


def test_a_batch_of_another_size_is_computed_where_the_file_leaves_it_open(files):
    folder, _ = files
    with open_runner(RunnerSpec.of_file(folder / "model.tflite")) as runner:
        assert sorted(spec.name for spec in runner.inputs) == ["a", "b"]
        for batch in (3, 1):
            inputs = sample_inputs_of(runner.inputs, batch)
            runner.prepare(inputs)
            assert len(runner.time(2)) == 2
            (found,) = runner.outputs(inputs).values()
            assert found.shape == (batch, 3)


def test_an_exported_model_does_not_run_unless_its_operations_are_allowed(files):
    folder, _ = files
    fault = try_run(RunnerSpec.of_file(folder / "exported"), given())
    assert fault.kind == "not-loaded"
    assert fault.reason.endswith(
        "is a graph of operations without layers, as strip and model.export() write it; to run one"
        " that you trust, give --unsafe-ops"
    )


@pytest.mark.slow
def test_bench_measures_the_accuracy_of_an_exported_model_beside_other_forms(tmp_path):
    digits, data = shipped_file(DIGITS), shipped_file("fixtures/digits.npz")
    (tmp_path / "damaged.h5").write_bytes(b"nothing")
    graphprune.load_model(digits).export(str(tmp_path / "exported"))
    names = [tmp_path / name for name in ("damaged.h5", "exported")]
    options = ("--data", data, "--turns", "2", "--format", "json", "--unsafe-ops")
    done = run_command("bench", *names, digits, *options)
    _, exported, keras = json.loads(done.out)["models"]
    assert 0.9 < exported["accuracy"] == keras["accuracy"] <= 1
    assert keras["difference"] < 1e-5


@pytest.mark.slow
def test_an_exported_model_runs_where_its_operations_are_allowed(files):
    folder, model = files
    spec = RunnerSpec(Runtime.KERAS, folder / "exported", unsafe_ops=True)
    (found,) = try_run(spec, given()).values()
    np.testing.assert_allclose(found, model.predict_on_batch(list(given().values())), atol=1e-5)


def test_a_damaged_file_is_a_fault(files):
    folder, _ = files
    fault = try_run(RunnerSpec.of_file(folder / "damaged.tflite"))
    assert isinstance(fault, RunFault)
    assert fault.kind in ("not-loaded", "crashed")


def test_a_model_of_keras_3_runs_in_keras_3():
    with open_runner(RunnerSpec.of_file(shipped_file("fixtures/digits-cnn-keras3.keras"))) as net:
        assert net.version.startswith("Keras 3.")
        (found,) = net.outputs(sample_inputs_of(net.inputs, 2)).values()
    assert found.shape == (2, 10)


def test_bench_converts_a_keras_model_and_says_which_layers_run_sparse():
    digits, data = shipped_file(DIGITS), shipped_file("fixtures/digits.npz")
    options = ("--data", data, "--turns", "2", "--format", "json")
    done = run_command("bench", digits, digits, "--runtime", "litert", *options)
    assert (done.code, done.err) == (0, "")
    first, same = json.loads(done.out)["models"]
    assert 0.9 < first["accuracy"] == same["accuracy"] <= 1
    assert same["latency"]["ratio"] > 0
    assert (first["runtime"].split()[0], first["raw"]) != ("Keras", digits.stat().st_size)
    assert first["path"] == f"{digits} as .tflite"
    assert first["layers"]
    assert {layer["is_sparse"] for layer in first["layers"]} == {False}


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs onnxruntime")
def test_an_onnx_file_runs(tmp_path):
    from onnx import TensorProto, checker, helper, save

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, Path(tmp_path, "neg.onnx"))
    found = try_run(RunnerSpec.of_file(tmp_path / "neg.onnx"), {"x": np.ones((1, 2), np.float32)})
    assert found["y"].tolist() == [[-1, -1]]
