"""Exports of Keras 3 models for serving: each form is written, run and compared."""

import functools
import os
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
from keras import layers
from keras3.child import Cases, refusal
from keras3.models import MODELS, VERSION, Scaled, array, sequential
from lenet import rules

import graphprune
from graphprune.archive.saved_model.exported import find_exported
from graphprune.errors import GraphError, OutputError
from graphprune.keras3 import export, named_outputs, torch_onnx
from graphprune.plan import make_plan
from graphprune.plan.exported import verify_exported
from graphprune.serving import convert, proving
from graphprune.serving.outputs import run_saved_model
from graphprune.serving.predicting import open_predictor
from graphprune.serving.running import try_run
from graphprune.serving.runtimes import RunnerSpec
from graphprune.serving.tflite_forms import TfliteRequest

CASES = Cases()
BACKEND = keras.config.backend()
ONNX = "onnxruntime" if BACKEND == "torch" else "tf2onnx"
FORMS = ["tflite", "folder", *(["onnx"] if find_spec(ONNX) else [])]
ONLY_BY_THE_NEWER_EXPORTER = {"attention as onnx"} if BACKEND == "torch" else set()
BY_TENSORFLOW = {"tensorflow": (), "jax": ("onnx",), "torch": ("tflite", "folder")}[BACKEND]
"""The forms that another backend needs a process with TensorFlow for."""
RULES = rules(
    "version: 1\nrules: [{id: all, match: '*', prune: {sparsity: 50%, schedule: {curve: step}}}]"
)
KINDS = [name for name in MODELS if name not in ("unbuilt", "custom layers")]


def new_folder():
    return Path(tempfile.mkdtemp())


def several():
    """Two inputs in a dict, two outputs in a dict, one of whole numbers."""
    a, b = keras.Input((3,), name="a"), keras.Input((4, 4, 2), name="b")
    x = layers.Concatenate()([a, layers.Flatten()(layers.Conv2D(2, 3)(b))])
    y = layers.Dropout(0.5)(layers.Dense(2)(x))
    model = keras.Model(
        {"first": b, "second": a}, {"sum": y, "label": keras.ops.cast(y > 0, "int32")}
    )
    rng = np.random.default_rng(0)
    inputs = {"a": rng.normal(size=(1, 3)), "b": rng.normal(size=(1, 4, 4, 2))}
    return model, {name: values.astype("float32") for name, values in inputs.items()}


def run(form, path, inputs):
    if form == "folder":
        return run_saved_model(path, inputs)
    return try_run(RunnerSpec.of_file(path), inputs)


@CASES
def batches_are_computed_with_the_states_of_a_stateful_model_which_has_them_back():
    given = keras.Input((4, 2), batch_size=1, name="x")
    model = keras.Model(given, layers.LSTM(3, stateful=True, name="memory")(given))
    x = np.ones((1, 4, 2), "float32")
    model(x)
    states = [array(state) for state in model.get_layer("memory").states]
    assert all(state.all() for state in states)
    found = export._compute(model, [{"x": x}, {"x": 2 * x}])["memory"]
    for before, after in zip(states, model.get_layer("memory").states, strict=True):
        np.testing.assert_array_equal(array(after), before)
    wanted = [array(model(x)), array(model(2 * x))]
    np.testing.assert_allclose(found, np.concatenate(wanted), rtol=1e-6)


@CASES.each(
    [f"{name} as {form}" for name in KINDS for form in FORMS],
    {"LSTM as tflite", "subclassed as folder", "subclassed as onnx", *ONLY_BY_THE_NEWER_EXPORTER},
)
def a_stripped_model_is_written(name):
    kind, _, form = name.partition(" as ")
    model, _ = MODELS[kind]()
    pruned = graphprune.prune_low_magnitude(model)
    path = new_folder() / ("net" if form == "folder" else f"net.{form}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing was trained
        stripped = graphprune.strip_pruning(pruned)
    if kind == "subclassed" and form in BY_TENSORFLOW:
        text = refusal(lambda: export.write_model(stripped, path), OutputError)
        assert "has its own classes or functions" in text
        return
    export.write_model(stripped, path)
    assert path.exists()


@CASES.each(FORMS, set(FORMS))
def several_inputs_and_outputs_keep_their_names(form):
    model, inputs = several()
    path = new_folder() / "deep" / ("net" if form == "folder" else f"net.{form}")
    for _ in range(2 if form == "folder" else 1):  # the second replaces the first
        export.write_model(model, path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    found = run(form, path, inputs)
    wanted = model({"first": inputs["b"], "second": inputs["a"]}, training=False)
    assert set(found) == {"sum", "label"}
    np.testing.assert_allclose(
        found["sum"], keras.ops.convert_to_numpy(wanted["sum"]), atol=1e-5, rtol=0
    )


@CASES.each(FORMS, set(FORMS))
def outputs_in_a_list_have_the_names_of_their_layers(form):
    inputs = keras.Input((3,), name="x")
    kinds = [layers.Dense(2, name="size"), layers.Dense(2, name="digit")]
    model = keras.Model(inputs, [kind(inputs) for kind in kinds], name="net")
    path, x = new_folder() / ("net" if form == "folder" else f"net.{form}"), np.ones((1, 3), "f")
    export.write_model(model, path)
    found = run(form, path, {"x": x})
    assert set(found) == {"size", "digit"}
    for kind in kinds:
        wanted = keras.ops.convert_to_numpy(kind(x))
        np.testing.assert_allclose(found[kind.name], wanted, atol=1e-5, rtol=0)


@CASES.each(FORMS, {"tflite"})
def special_characters_of_an_input_are_replaced(form):
    given = [keras.Input((3,), name="my-image"), keras.Input((2,), name="b")]
    model = keras.Model(given, layers.Dense(2, name="d")(layers.Concatenate()(given)), name="net")
    path = new_folder() / ("net" if form == "folder" else f"net.{form}")
    export.write_model(model, path)
    inputs = {"my_image": np.ones((1, 3), "f"), "b": np.ones((1, 2), "f")}
    wanted = keras.ops.convert_to_numpy(model([inputs["my_image"], inputs["b"]]))
    with open_predictor(path) as compute:
        np.testing.assert_allclose(compute(inputs)["d"], wanted, atol=1e-5, rtol=0)


@CASES
def another_batch_size_than_the_inputs_have_is_refused():
    given = keras.Input((3,), batch_size=5, name="x")
    model = keras.Model(given, layers.Dense(2)(given), name="net")
    assert refusal(lambda: export.to_tflite(model, TfliteRequest(batch=3)), OutputError) == (
        "net: cannot have the batch size 3: the inputs of the model have 5; leave out --batch, or"
        " build the model with an open batch size"
    )


@CASES.fast_on("tensorflow")
def an_exported_sequential_model_is_called_with_its_input():
    model = keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2, name="d")], name="net")
    path, x = new_folder() / "net", np.ones((1, 3), "f")
    export.write_model(model, path)
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    found = loaded.serve(x)
    wanted = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(found["d"].numpy(), wanted, atol=1e-5, rtol=0)


@CASES
def outputs_that_layers_do_not_name_are_numbered():
    inputs = keras.Input((3, 2), name="x")
    states = keras.Model(inputs, layers.LSTM(2, return_state=True)(inputs))
    assert named_outputs.output_names(states) == ()
    assert named_outputs.with_named_outputs(states) is states
    assert list(export._outputs(states, {"x": np.ones((1, 3, 2), "f")})) == [
        "output_0",
        "output_1",
        "output_2",
    ]


def convolutional(units=6, activation="relu"):
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, strides=2, padding="same", activation=activation)(x)
    y = layers.DepthwiseConv2D(3)(layers.BatchNormalization()(y))
    y = layers.GlobalAveragePooling2D()(layers.Activation("gelu")(y))
    return keras.Model(x, layers.Dense(3, "softmax")(layers.Dense(units, "elu")(y)))


def recurrent(cell=layers.LSTM, *, masked=False, **settings):
    first = layers.GRU(3, return_sequences=True)
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(20, 8, mask_zero=masked),
            first if masked else layers.Bidirectional(first),
            cell(5, **settings),
            layers.Dense(2),
        ]
    )


def attentive(causal=True, heads=2):
    x = keras.Input((5, 8))
    y = layers.MultiHeadAttention(heads, 4)(x, x, use_causal_mask=causal)
    return keras.Model(x, layers.Dense(2)(layers.LayerNormalization()(layers.Add()([x, y]))))


def for_each_part(units=4, activation="relu"):
    return keras.Sequential(
        [
            keras.Input((5, 6)),
            layers.TimeDistributed(layers.Dense(units, activation)),
            layers.Dense(2),
        ]
    )


def with_constants(*, factor=2.5, use_scale=True):
    i = keras.Input((5, 4))
    x = layers.Attention(use_scale=use_scale)([i, layers.Dense(4)(i) * factor])
    return keras.Model(i, layers.Dense(3)(x))


COMPARED = {
    "parts of a sequence": (for_each_part, {}, [{"activation": "tanh"}, {"units": 3}]),
    "convolutions": (convolutional, {}, [{"activation": "relu6"}, {"units": 5}]),
    "loops": (recurrent, {}, [{"activation": "relu"}, {"go_backwards": True}]),
    "loops behind a mask": (
        lambda **more: recurrent(masked=True, **more),
        {},
        [{"recurrent_activation": "hard_sigmoid"}, {"cell": layers.GRU}],
    ),
    "attention": (attentive, {}, [{"causal": False}, {"heads": 4}]),
    "weights and constants": (with_constants, {}, [{"factor": 3.5}, {"use_scale": False}]),
}


@CASES.each(
    COMPARED if BACKEND != "torch" else (),
    {"convolutions", "loops behind a mask"}
    if BACKEND == "jax"
    else {"parts of a sequence", "weights and constants"},
)
def an_exported_folder_is_compared_with_the_plan(name):
    build, settings, others = COMPARED[name]
    folder = new_folder()
    keras.utils.clear_session()  # for the same names in each model
    model = build(**settings)
    model.export(folder / "net", verbose=False)
    keras.utils.clear_session()
    plans = [plan_of(build(**each), folder) for each in (settings, *others)]
    every = [verify_exported(plan, find_exported(folder / "net")) for plan in plans]
    found = [each.architecture for each in every]
    assert [each.status for each in found] == ["same", "differs", "differs"], found
    assert found[0].unchecked == ""
    verified = every[0]
    assert {(check.address, check.tensor): check.unchecked for check in verified.checks} == {
        (check.address, check.tensor): "" for check in verified.checks
    }
    assert len(verified.checks) > 1


@CASES.fast_on("jax")
def an_exported_folder_has_its_weights_once():
    folder = new_folder() / "net"
    model = keras.Sequential([keras.Input((256,)), layers.Dense(256)])
    export.write_model(model, folder)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert 4 * 256 * 257 < sum(sizes) < 1.5 * 4 * 256 * 257, sizes


def plan_of(model, folder):
    model.save(folder / "net.keras")
    plan = make_plan(graphprune.read_graph(folder / "net.keras"), RULES)
    keras.utils.clear_session()
    return plan


@CASES.fast_on("tensorflow")
def keras_without_signatures_writes_the_same():
    there, export.takes_signature = export.takes_signature, lambda model: False
    try:
        for form in FORMS:
            several_inputs_and_outputs_keep_their_names(form)
        a_stripped_model_is_written("LSTM as tflite")  # for one sample at a time
    finally:
        export.takes_signature = there


@CASES
def a_form_that_computes_something_else_is_not_written():
    form = FORMS[-1] if BACKEND == "torch" else "folder"
    model, _ = sequential()
    last = model.layers[-1].name
    place, runner = (proving, "try_run") if BACKEND == "torch" else (export, "run_saved_model")
    right = getattr(place, runner)
    setattr(
        place, runner, lambda *args: {name: values + 0.01 for name, values in right(*args).items()}
    )
    path = new_folder() / ("net" if form == "folder" else "net.onnx")
    try:
        text = refusal(lambda: export.write_model(model, path), OutputError)
    finally:
        setattr(place, runner, right)
    name = "SavedModel" if form == "folder" else "ONNX"
    assert text == (
        f"{path}: not written: in the {name} form, the output {last!r} differs from the model's;"
        " save it as .keras"
    )
    assert list(path.parent.iterdir()) == []


if BACKEND != "torch" and "onnx" in FORMS and VERSION >= (3, 9):  # its argmax tells zeros apart

    @CASES
    def operations_that_a_form_lacks_are_named():
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.ops.argmax(layers.Dense(2)(inputs), -1), name="net")
        folder = new_folder()
        assert refusal(lambda: export.write_model(model, folder / "n.tflite"), OutputError) == (
            "net: cannot be written for TensorFlow Lite: it has no operation for BitwiseAnd; save"
            " it as .keras or as a SavedModel folder"
        )
        assert refusal(lambda: export.write_model(model, folder / "n.onnx"), OutputError) == (
            "net: cannot be written as ONNX: ONNX has no operation for Bitcast; save it as .keras"
            " or as a SavedModel folder"
        )
        assert list(folder.iterdir()) == []


if BACKEND == "torch" and "onnx" in FORMS:

    @CASES
    def open_lengths_stay_open():
        inputs = keras.Input((None, 3))
        x = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3)(inputs))
        path = new_folder() / "net.onnx"
        model = keras.Model(inputs, layers.Dense(2)(x), name="net")
        export.write_model(model, path)
        for shape in ((1, 5, 3), (4, 40, 3)):
            values = np.random.default_rng(0).normal(size=shape).astype("float32")
            (found,) = run("onnx", path, {inputs.name: values}).values()
            np.testing.assert_allclose(found, array(model(values)), atol=1e-5)

    @CASES
    def what_only_fits_one_length_is_not_written():
        inputs = keras.Input((None, 3))
        model = keras.Model(inputs, layers.LSTM(2)(inputs), name="net")
        folder = new_folder()
        text = refusal(lambda: export.write_model(model, folder / "net.onnx"), OutputError)
        assert text.startswith(f"{folder}/net.onnx: not written: in the ONNX form, the output")
        assert list(folder.iterdir()) == []

    @CASES
    def operations_that_onnx_lacks_are_named():
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.ops.erfinv(layers.Dense(2)(inputs)), name="net")
        folder, there = new_folder(), torch_onnx.find_spec
        for has_script in (True, False):
            torch_onnx.find_spec = lambda name, has=has_script: there(name) if has else None
            try:
                text = refusal(lambda: export.write_model(model, folder / "net.onnx"), OutputError)
            finally:
                torch_onnx.find_spec = there
            assert text.startswith("net: cannot be written as ONNX: "), text
            assert ("install the package onnxscript, with" in text) is not has_script, text
            assert text.endswith(
                "save it as .keras, and export that file with KERAS_BACKEND=tensorflow"
            )
        assert list(folder.iterdir()) == []


@CASES
def what_cannot_be_exported_is_refused():
    folder = new_folder()
    model, _ = sequential()
    pruned = graphprune.prune_low_magnitude(model)
    assert refusal(lambda: export.write_model(pruned, folder / "net.tflite"), GraphError) == (
        f"{folder}/net.tflite: {pruned.name} is pruned, and an exported file has no masks; export"
        " what strip_pruning(model) returns"
    )
    unbuilt, _ = MODELS["unbuilt"]()
    assert refusal(lambda: export.write_model(unbuilt, folder / "net"), GraphError) == (
        f"{folder}/net: {unbuilt.name} is not built, so its inputs are not known; call it on a"
        " batch first"
    )
    assert refusal(lambda: export.write_model(model, folder / "net.pb"), OutputError) == (
        f"{folder}/net.pb: no model format has the suffix .pb; use .keras, .h5, .tflite, .onnx, or"
        " no suffix for a SavedModel folder"
    )
    (folder / "notes.txt").write_text("mine")
    assert refusal(lambda: export.write_model(model, folder), OutputError) == (
        f"{folder}: exists and is not a SavedModel; give another path"
    )


@CASES
def another_backend_refuses_own_classes_where_it_needs_tensorflow():
    if BACKEND == "tensorflow":
        return
    inputs = keras.Input((4,))
    model = keras.Model(inputs, Scaled()(inputs), name="net")
    path = new_folder() / "net"
    call = functools.partial(export.export_folder, model, path, needs_tensorflow=True)
    assert refusal(call, OutputError) == (
        "net has its own classes or functions, so it cannot be exported this way with the backend"
        f" {BACKEND}; save it as .keras, and export that file with KERAS_BACKEND=tensorflow"
    )


@CASES.slowly
def the_process_with_tensorflow_imports_nothing_from_the_current_folder():
    model, _ = sequential()
    here, folder = Path.cwd(), new_folder()
    (folder / "json.py").write_text("open('it-ran', 'w').close()\nraise SystemExit(1)\n")
    os.chdir(folder)
    try:
        export.export_folder(model, Path("net"), needs_tensorflow=True)
    finally:
        os.chdir(here)
    assert sorted(found.name for found in folder.iterdir()) == ["json.py", "net"]


@CASES
def packages_that_are_missing_are_named():
    model, _ = sequential()
    needed, convert.find_spec = convert.find_spec, lambda name: None
    try:
        text = refusal(lambda: export.write_model(model, new_folder() / "net.onnx"), OutputError)
    finally:
        convert.find_spec = needed
    assert text == (
        f"an .onnx file needs the package {ONNX}, which is not installed; pip install"
        " 'graphprune[onnx]'"
    )


if __name__ == "__main__":
    CASES.run()
