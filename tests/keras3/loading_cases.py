"""Loading of Keras 3 files with `graphprune.load_model`, harmless and hostile, on one backend."""

import json
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from unittest import mock

import h5py
import hostile_files
import keras
import numpy as np
from hostile_configs import BOMBS, CODE
from keras3 import models
from keras3.child import Cases, refusal
from keras3.models import MODELS, array, assert_same, operations
from one_file import RECORD, write_one_file

import graphprune.graph
from graphprune import ConstantSparsity, UpdatePruningStep
from graphprune.archive import formats
from graphprune.errors import ArchiveError, GraphpruneError

CASES = Cases()
FOLDER = Path(tempfile.mkdtemp())
OWN = {
    "Block": models.Block,
    "Scaled": models.Scaled,
    "Net": models.Net,
    "own_function": models.own_function,
}
READABLE = [name for name in MODELS if name not in ("unbuilt", "subclassed")]


@CASES.each(READABLE, fast=("operations", "custom layers"))
def files_load_as_they_were(name):
    model, x = MODELS[name]()
    model.compile("adam", keras.losses.MeanSquaredError())  # Keras cannot load "mse" from .h5
    unreadable = ("custom layers", "operations", "attention")  # Keras itself cannot load them
    for suffix in ("keras",) if name in unreadable else ("keras", "h5"):
        path = FOLDER / f"model.{suffix}"
        model.save(path)
        loaded = graphprune.load_model(path, OWN, unsafe_lambda=name == "custom layers")
        assert loaded.compiled
        assert graphprune.diff_models(loaded, model).is_empty
        np.testing.assert_array_equal(array(loaded(x)), array(model(x)))


@CASES.fast_on("jax")
def an_h5_file_trains_on_with_its_optimizer():
    """Keras builds the optimizer of such a file without the variables of layers."""
    for steps in (0, 2):
        keras.utils.set_random_seed(8)
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(3, name="fc")(inputs))
        model.compile("adam", keras.losses.MeanSquaredError())
        x, y = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")
        if steps:
            model.fit(x, y, batch_size=4, verbose=0)
        model.save(FOLDER / "net.h5")
        loaded = graphprune.load_model(FOLDER / "net.h5")
        assert int(array(loaded.optimizer.iterations)) == steps
        for one in (model, loaded):
            one.fit(x, y, batch_size=4, verbose=0)
        for one, other in zip(model.weights, loaded.weights, strict=True):
            np.testing.assert_array_equal(array(one), array(other))


@CASES.fast_on("tensorflow")
def a_format_that_keras_cannot_read():
    model, x = operations()
    model.save(FOLDER / "known.keras")
    write_one_file(FOLDER / "other.one", FOLDER / "known.keras")
    with mock.patch.object(formats, "FORMATS", (*formats.FORMATS, RECORD)):
        loaded = graphprune.load_model(FOLDER / "other.one")
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))


def trained():
    keras.utils.set_random_seed(8)
    model, x = operations()
    model.compile("adam", "mse")
    pruned = graphprune.prune_low_magnitude(model, ConstantSparsity(0.5, 0, frequency=1))
    targets = np.random.default_rng(4).normal(size=(len(x), 4)).astype("float32")
    pruned.fit(x, targets, epochs=2, verbose=0, callbacks=[UpdatePruningStep()])
    return pruned, (x, targets)


@CASES
def pruned_files_are_pruned_again_and_train_on():
    pruned, data = trained()
    pruned.save(FOLDER / "pruned.keras")
    keras.utils.set_random_seed(3)
    loaded = graphprune.load_model(FOLDER / "pruned.keras")
    for one, other in zip(*map(graphprune.collect_prunable_layers, (pruned, loaded)), strict=True):
        assert (one.pruning, one.read_step()) == (other.pruning, other.read_step())
        for tensor, same in zip(one.tensors, other.tensors, strict=True):
            np.testing.assert_array_equal(tensor.read_mask(), same.read_mask())
    for model in (pruned, loaded):
        model.fit(*data, epochs=1, verbose=0, shuffle=False, callbacks=[UpdatePruningStep()])
    assert_same(*([array(one) for one in model.weights] for model in (pruned, loaded)))


TORCH = "keras.src.backend.torch.optimizers.torch_"


@CASES
def files_of_pytorch_are_compiled_on_every_backend():
    pruned, _ = trained()
    pruned.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.25)), "mse")
    path, saved = FOLDER / "pytorch.keras", FOLDER / "saved.keras"
    pruned.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    inner = config["compile_config"]["optimizer"]["config"]["inner_optimizer"]
    inner |= {"module": f"{TORCH}adam", "registered_name": "Adam"}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    loaded = graphprune.load_model(path)
    assert isinstance(loaded.optimizer.inner_optimizer, keras.optimizers.Adam)
    assert float(array(loaded.optimizer.learning_rate)) == 0.25
    graphprune.save_model(loaded, saved)
    assert TORCH not in zipfile.ZipFile(saved).read("config.json").decode()
    assert keras.models.load_model(saved).compiled


@CASES
def a_damaged_state_is_refused():
    pruned, _ = trained()
    pruned.save(FOLDER / "pruned.keras")
    with zipfile.ZipFile(FOLDER / "pruned.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (FOLDER / "weights.h5").write_bytes(members["model.weights.h5"])
    with h5py.File(FOLDER / "weights.h5") as file:
        settings = json.loads(file["graphprune/vars/settings"][:].tobytes())
    frozen = [
        json.dumps({**settings, "frozen": {place: {"is_layer": False, "weights": [weight]}}})
        for place, weight in (("z", 0), ("a", 2), ("a", -1))
    ]
    settings["layers"]["a"]["own_schedule"] = {
        "class_name": "function",
        "config": "system",
        "module": "os",
        "registered_name": None,
    }
    for name, value, fault in (
        ("settings", json.dumps(settings), "schedule 'system' of 'os' is not one that"),
        ("settings", frozen[0], "the file has a frozen part 'z' that is not in the model"),
        ("settings", frozen[1], "the file has a frozen part 'a' that is not in the model"),
        ("settings", frozen[2], "of the weights file is damaged (-1 is not a position)"),
        ("mask_0", bytes(3), "the mask of 'kernel' in layer 'a' does not fit the weight"),
        ("settings", b'{"version": 1, "layers": {"a": {}}}', "layer 'a': KeyError: 'pruning'"),
        ("settings", b'{"version": 2, "layers": {}}', "has version 2, this graphprune reads"),
        ("settings", b"{", "the group 'graphprune' of the weights file is damaged"),
    ):
        value = np.frombuffer(value if isinstance(value, bytes) else value.encode(), np.uint8)
        with h5py.File(FOLDER / "weights.h5", "r+") as file:
            del file[f"graphprune/vars/{name}"]
            file[f"graphprune/vars/{name}"] = value
        members["model.weights.h5"] = (FOLDER / "weights.h5").read_bytes()
        with zipfile.ZipFile(FOLDER / "damaged.keras", "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        text = refusal(lambda: graphprune.load_model(FOLDER / "damaged.keras"), ArchiveError)
        assert text.startswith(f"{FOLDER}/damaged.keras: ")
        assert fault in text, text


def write_keras(path, config):
    """Write a hostile model as one of Keras 3."""
    hostile_files.write_keras(path, config)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": keras.__version__}).encode()
    members["config.json"] = json.dumps(as_keras_3(json.loads(members["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_h5(path, config):
    """Write a hostile model as one of Keras 3."""
    hostile_files.write_h5(path, as_keras_3(config))
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = keras.__version__
    return path


def as_keras_3(value):
    """Return a config with the inputs and calls that Keras 3 writes."""
    if isinstance(value, list):
        return [as_keras_3(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: as_keras_3(item) for key, item in value.items() if key != "inbound_nodes"}
    if value.get("class_name") == "InputLayer":
        made["config"]["batch_shape"] = made["config"].pop("batch_input_shape")
    if str(value.get("module", "")).startswith("tf_keras.src.engine"):
        made["module"] = "keras.src.models.functional"
    if "inbound_nodes" in value:
        made["inbound_nodes"] = [node(calls) for calls in value["inbound_nodes"]]
    return made


def node(calls):
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None, 4], "dtype": "float32", "keras_history": call[:3]},
        }
        if call[0] != "_CONSTANT_VALUE"
        else call[2]
        for call in calls
    ]
    return {"args": tensors, "kwargs": dict(calls[0][3]) if len(calls[0]) > 3 else {}}


@CASES.fast_on("tensorflow")
def nothing_in_a_file_runs():
    was_imported = "tf_keras" in sys.modules  # by cases that ran before in this process
    for write, name in ((write_keras, "m.keras"), (write_h5, "m.h5")):
        for what, make in CODE.items():
            marker = FOLDER / "marker"
            marker.with_suffix(".py").write_text(f"open({str(marker)!r}, 'w').close()\n")
            path = write(FOLDER / name, make(marker))
            text = refusal(lambda path=path: graphprune.load_model(path), GraphpruneError)
            assert text.startswith(f"{path}: "), (what, text)
            assert "\n" not in text, (what, text)
            assert not marker.exists(), what
            assert "this" not in sys.modules, what
            assert ("tf_keras" in sys.modules) == was_imported, what


@CASES.fast_on("tensorflow")
def bytecode_needs_its_option():
    for write, name in ((write_keras, "m.keras"), (write_h5, "m.h5")):
        for what, config in hostile_files.lambda_models().items():
            path = write(FOLDER / name, config)
            text = refusal(lambda path=path: graphprune.load_model(path), ArchiveError)
            assert "holds Python bytecode, which loading would run" in text, (what, text)


BOMBS_SAY = {
    "cells": "asks for a tensor of",
    "steps": "do not fit its config",  # Keras 3 does not unroll while it builds
    **dict.fromkeys(
        ("local-masks", "local-places"),  # layers of tf_keras
        f"Keras {keras.__version__} has no 'LocallyConnected1D'; load the file with ",
    ),
}


@CASES.fast_on("tensorflow")
def bombs_are_refused():
    for what, (_, config) in BOMBS.items():
        path = write_keras(FOLDER / "m.keras", config)
        text = refusal(lambda path=path: graphprune.load_model(path), GraphpruneError)
        assert text.startswith(f"{path}: "), (what, text)
        assert BOMBS_SAY.get(what, BOMBS[what][0]) in text, (what, text)


@CASES.fast_on("tensorflow")
def classes_of_the_other_keras_are_refused():
    model, _ = models.custom_layers()
    model.save(FOLDER / "model.keras")
    kind = type("Layer", (), {"__module__": "tf_keras.src.engine.base_layer"})
    objects = {**OWN, "Block": type("Block", (kind,), {})}
    text = refusal(
        lambda: graphprune.load_model(FOLDER / "model.keras", objects, unsafe_lambda=True),
        ArchiveError,
    )
    assert "the class that was given as 'Block' is built on tf_keras, and this model is one" in text


@CASES.fast_on("tensorflow")
def names_of_operations_are_kept():
    inputs = keras.Input((4, 4))
    inner = keras.Model(inputs, keras.ops.mean(inputs, 1), name="inner")
    x = keras.ops.mean(keras.ops.expand_dims(inner(inputs), 1), 1)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.ops.tanh(x)))
    model.save(FOLDER / "model.keras")
    pruned = graphprune.prune_low_magnitude(model)
    for other in (graphprune.load_model(FOLDER / "model.keras"), pruned):
        assert names_of(other) == names_of(model)


def names_of(model):
    """Return the names of all layers and operations in a model, and of those in models in it."""
    return [(one.name, names_of(one)) for one in getattr(model, "operations", ())]


@CASES.fast_on("tensorflow")
def an_h5_file_with_operations_is_refused_in_words():
    model, _ = operations()
    model.save(FOLDER / "model.h5")
    (name,) = [layer.name for layer in model.operations if layer.name.startswith("tanh")]
    assert refusal(lambda: graphprune.load_model(FOLDER / "model.h5"), ArchiveError) == (
        f"{FOLDER}/model.h5: Keras cannot load the operation 'Tanh' (layer {name!r}) from an .h5"
        " file; save the model as .keras"
    )


@CASES
def a_file_of_tf_keras_is_converted():
    path = Path(__file__).parents[2] / "fixtures" / "digits-cnn.keras"
    was_imported = "tf_keras" in sys.modules
    model = graphprune.load_model(path, keras=3)
    assert isinstance(model, keras.Model)
    assert ("tf_keras" in sys.modules) == was_imported
    layer = next(layer for layer in model.layers if hasattr(layer, "kernel"))
    with graphprune.graph.open_model_file(path).opened() as weights:
        kernel = weights.read(layer.name, "kernel")
    np.testing.assert_array_equal(array(layer.kernel), kernel)


@CASES.fast_on("tensorflow")
def settings_that_cannot_be_restored_are_told():
    model, x = operations()
    model.compile("adam", models.own_function)
    model.save(FOLDER / "model.keras")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = graphprune.load_model(FOLDER / "model.keras")
    assert not loaded.compiled
    assert ["own_function" in str(one.message) for one in caught] == [True]
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))


if __name__ == "__main__":
    CASES.run()
