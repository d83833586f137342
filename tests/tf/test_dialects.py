"""Models of other Keras versions, and SavedModel folders, against live models."""

from __future__ import annotations

import json
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hostile_files import lambda_models, write_h5, write_keras
from tensorflow.core.protobuf import saved_model_pb2
from tf_keras import layers
from tf_keras.protobuf import saved_metadata_pb2
from tf_zoo import build, sample, wrap_all

from graphprune.archive import read_archive
from graphprune.errors import ArchiveError
from graphprune.graph import locate_weights, read_graph
from graphprune.tf.models.loading import load_model
from graphprune.tf.pruning.live_graph import graph_of_model

pytestmark = pytest.mark.tf
KERAS_3 = """
import os, sys
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras, numpy as np
from keras import layers
keras.utils.set_random_seed(3)
query, value = keras.Input((5, 4), name="query"), keras.Input((6, 4), name="value")
inside = keras.Input((4,))
tower = keras.Model(inside, layers.Dense(4, name="fc")(inside), name="tower")
first, last = layers.Dense(3, name="s1"), layers.Dense(2, name="s2")
tail = keras.Sequential([keras.Input((4,)), first, layers.Dropout(0.5), last], name="tail")
x = layers.MultiHeadAttention(2, 3, name="mh")(query, value=value)
x = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="bi")(x)
x = layers.BatchNormalization(name="bn")(layers.GRU(4, name="gru")(x))
y = tower(x) - tower(tower(x)) * 2.0
outputs = [tail(y), layers.Concatenate(name="cat")([x, y])]
model = keras.Model({"q": query, "v": value}, outputs, name="three")
model.save(sys.argv[1] + "/m.keras")
model.save(sys.argv[1] + "/m.h5")
np.savez(sys.argv[1] + "/weights.npz", **{w.path: w.numpy() for w in model.weights})
"""


@pytest.fixture(scope="module")
def keras_3(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras3")
    done = server.run_program(KERAS_3, folder)
    assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_keras_3_model_reads_into_the_same_graph(keras_3, name):
    archive = read_archive(keras_3 / name)
    graph = read_graph(archive)
    assert (archive.dialect, archive.keras_version.split(".")[0], graph.inputs, graph.outputs) == (
        "keras3",
        "3",
        ("query", "value"),
        ("tail", "cat"),
    )
    assert [
        graph.layer(address).calls for address in ("tower", "tower::fc", "tail", "tail::s2", "mh")
    ] == [3, 3, 1, 1, 1]
    uses = {
        (source, facts["source_call"], target, facts["argument"])
        for source, target, facts in graph.network.edges(data=True)
    }
    assert {
        ("value", 0, "mh", "value"),
        ("query", 0, "mh", "0"),
        ("tower", 0, "subtract", "0"),
        ("multiply", 0, "subtract", "y"),
        ("bn", 0, "cat", "0"),
    } <= uses
    with np.load(keras_3 / "weights.npz") as stored:
        live = {path: stored[path] for path in stored.files if "seed" not in path}
    weights = locate_weights(archive, graph)
    found = {
        f"{address}.{name}": weights.read(address, name)
        for address, layer in graph.layers.items()
        for name in (t.name for t in layer.tensors)
    }
    assert sorted(value.tobytes() for value in found.values()) == sorted(
        value.tobytes() for value in live.values()
    )
    for path, value in {
        "mh.query.kernel": "mh/query/kernel",
        "tail.s1": "tail/s1/kernel",
        "gru.kernel": "gru/gru_cell/kernel",
        "bn.moving_mean": "bn/moving_mean",
    }.items():
        address, _, rest = path.partition(".")
        key = (f"tail::{rest}", "kernel") if address == "tail" else (address, rest)
        np.testing.assert_array_equal(weights.read(*key), live[value])


def test_a_keras_3_model_equals_the_same_model_of_tf_keras(keras_3):
    theirs = read_graph(keras_3 / "m.keras")
    inside = tf_keras.Input((4,))
    tower = tf_keras.Model(inside, layers.Dense(4, name="fc")(inside), name="tower")
    ours = read_graph(tower.get_config())
    assert [layer.type for layer in ours.layers.values()] == [
        layer.type for layer in theirs.layers.values() if layer.container == "tower"
    ]
    assert theirs.layer("tower::fc").config["dtype"] == "float32"


def test_tf_keras_refuses_a_keras_3_model(keras_3):
    with pytest.raises(
        ArchiveError,
        match=(
            r"written by Keras 3\.\d+\.\d+, which tf_keras cannot read; load it with"
            r" graphprune.load_model, or write it for tf_keras with graphprune convert"
        ),
    ):
        load_model(keras_3 / "m.keras")


WITH_TRACES = ("sequential", "siamese")
"""Models that are saved with the functions that TensorFlow would run, which takes longest; readers
pass over them.
"""


def saved(model, folder, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(folder, save_format="tf", **kwargs)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "residual",
        pytest.param("sequential", marks=pytest.mark.slow),
        "deferred_sequential",
        pytest.param("siamese", marks=pytest.mark.slow),
        "deep",
        pytest.param("separable", marks=pytest.mark.slow),
        "gated",
        "frozen",
    ],
)
def test_a_saved_model_reads_and_loads_like_the_live_model(tmp_path, name):
    model = build(name)
    folder = saved(model, tmp_path / "m", save_traces=name in WITH_TRACES)
    archive = read_archive(folder)
    graph = read_graph(archive)
    assert graph.to_config() == archive.config
    assert graph.sha256 == graph_of_model(model).sha256
    assert graph.parameters == model.count_params()
    loaded = load_model(folder)
    assert graph_of_model(loaded) == graph
    inputs = sample(model)
    for wanted, got in zip(
        tf.nest.flatten(model(inputs)), tf.nest.flatten(loaded(inputs)), strict=True
    ):
        np.testing.assert_array_equal(wanted, got)


def test_a_wrapped_saved_model_keeps_masks(tmp_path):
    model = wrap_all(build("sequential"))
    model.layers[0].pruning_vars[0][1].assign(
        tf.cast(tf.random.uniform(model.layers[0].layer.kernel.shape) > 0.5, tf.bool)
    )
    loaded = load_model(saved(model, tmp_path / "m"))
    for wanted, got in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(wanted, got)


def test_a_saved_model_keeps_its_optimizer_and_says_which_settings_it_lacks(tmp_path):
    model = build("sequential")
    model.compile(tf_keras.optimizers.Adam(0.25), "mse")
    model.fit(np.zeros((4, 5)), np.zeros((4, 2)), verbose=0)
    folder = saved(model, tmp_path / "m")
    with pytest.warns(
        UserWarning,
        match=(
            "a SavedModel does not hold steps_per_execution, jit_compile and run_eagerly; save as"
            " .keras to keep them"
        ),
    ) as told:
        loaded = load_model(folder)
    assert [warning.filename for warning in told] == [__file__]
    assert loaded.optimizer.learning_rate.numpy() == 0.25
    assert loaded.optimizer.iterations.numpy() == 1


def test_a_learned_vocabulary_in_a_saved_model_is_refused(tmp_path):
    with pytest.raises(
        ArchiveError,
        match=(
            "the vocabulary of layer 'lookup' is in the SavedModel's graph, which graphprune does"
            " not run"
        ),
    ):
        load_model(saved(build("text"), tmp_path / "m"))


def test_metadata_where_tensorflow_2_4_put_it(tmp_path):
    folder = saved(build("siamese"), tmp_path / "m")
    new = read_graph(folder)
    metadata = saved_metadata_pb2.SavedMetadata.FromString(
        (folder / "keras_metadata.pb").read_bytes()
    )
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for node in metadata.nodes:
        user = model.meta_graphs[0].object_graph_def.nodes[node.node_id].user_object
        user.identifier, user.metadata = node.identifier, node.metadata
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    (folder / "keras_metadata.pb").unlink()
    assert read_graph(folder) == new


def rewrite(path, change):
    """Edit the config of an `.h5` file, and write its texts as bytes, as Keras 2.0 did."""
    with h5py.File(path, "a") as file:
        config = change(json.loads(file.attrs["model_config"]))
        for name, text in {"model_config": json.dumps(config), "keras_version": "2.0.8"}.items():
            del file.attrs[name]
            file.attrs[name] = np.bytes_(text)
    return path


def as_keras_2_0(value):
    """Return a config as Keras 2.0.8 wrote it: no InputLayer in Sequential models, which are bare
    lists; class Model; an Embedding with the type of its input; no newer keys.
    """
    if isinstance(value, list):
        return [as_keras_2_0(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {
        key: as_keras_2_0(item)
        for key, item in value.items()
        if key not in ("reset_after", "ragged", "time_major", "groups", "sparse", "optional")
    }
    if value.get("class_name") == "Sequential":
        inner = value["config"]["layers"]
        if inner[0]["class_name"] == "InputLayer":
            inner[1]["config"]["batch_input_shape"] = inner[0]["config"]["batch_input_shape"]
            inner = inner[1:]
        value["config"] = inner
    if value.get("class_name") == "Embedding":
        value["config"]["dtype"] = "int32"
    if value.get("class_name") == "Functional":
        value["class_name"] = "Model"
    return value


def old_models():
    words = tf_keras.Sequential(
        [
            tf_keras.Input((7,)),
            layers.Embedding(11, 6),
            layers.GRU(3, reset_after=False),
            layers.Dense(2),
        ]
    )
    shaped = tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            layers.Reshape((2, 3)),
            layers.Conv1D(4, 2),
            layers.Bidirectional(layers.GRU(3, reset_after=False)),
        ]
    )
    image = tf_keras.Input((4,))
    tower = tf_keras.Sequential(
        [tf_keras.Input((4,)), layers.Dense(4, activation="tanh")], name="tower"
    )
    nested = tf_keras.Model(image, layers.Add()([tower(image), tower(tower(image))]))
    return {"words": words, "shaped": shaped, "nested": nested}


@pytest.mark.parametrize("name", ["words", "shaped", "nested"])
def test_a_file_of_keras_2_0_gives_the_same_outputs(tmp_path, name):
    tf_keras.utils.set_random_seed(1)
    model = old_models()[name]
    path = tmp_path / "m.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    before = rewrite(path, as_keras_2_0).read_bytes()
    graph = read_graph(path)
    assert graph.parameters == model.count_params()
    inputs = np.random.default_rng(0).integers(0, 11, (3, *model.input_shape[1:])).astype("float32")
    loaded = load_model(path)
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert path.read_bytes() == before
    live = graph_of_model(loaded)
    assert {address: layer.tensors for address, layer in graph.layers.items() if layer.tensors} == {
        a: x.tensors for a, x in live.layers.items() if x.tensors
    }


def test_a_module_in_a_config_is_not_imported(tmp_path, monkeypatch):
    x = layers.Input((4,))
    path = tmp_path / "m.keras"
    tf_keras.Model(x, layers.Dense(2, name="fc")(x)).save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    for change in (
        {"module": "evil_module", "class_name": "Dense", "registered_name": "x>Dense"},
        {"module": "os", "class_name": "system", "registered_name": None},
    ):
        config = json.loads(parts["config.json"])
        config["config"]["layers"][1] |= change
        with zipfile.ZipFile(tmp_path / "evil.keras", "w") as archive:
            for name, data in (parts | {"config.json": json.dumps(config)}).items():
                archive.writestr(name, data)
        text = f"layer 'fc': the class '{change['class_name']}' of '{change['module']}' is not "
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ArchiveError, match=text):
            load_model(tmp_path / "evil.keras")
        assert "evil_module" not in sys.modules


@pytest.mark.parametrize("write", [write_keras, write_h5])
@pytest.mark.parametrize("place", lambda_models())
def test_bytecode_is_refused_wherever_it_hides(tmp_path, write, place):
    path = write(tmp_path / ("m.keras" if write is write_keras else "m.h5"), lambda_models()[place])
    with pytest.raises(
        ArchiveError,
        match=(
            "a Lambda layer holds Python bytecode, which loading would run; if you trust where the"
            " file comes from, pass --unsafe"
        ),
    ):
        load_model(path)
