"""Models that turn texts into numbers: vocabularies come along, or a clear line says why not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers
from tf_zoo import wrap_all

from graphprune.archive import read_archive
from graphprune.errors import ArchiveError
from graphprune.graph import locate_weights, measure_zeros, read_graph
from graphprune.tf.models.loading import load_model
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.surgery import strip_model

pytestmark = pytest.mark.tf
TEXTS = tf.constant(["a b c d", "d e f", "a a b q", ""])
WORDS = tf.constant([["a"], ["d"], ["zz"], ["b"]])


def vectorized(**settings):
    layer = layers.TextVectorization(max_tokens=20, output_sequence_length=5, **settings)
    if "vocabulary" not in settings:
        layer.adapt(TEXTS[:3])
    text = tf_keras.Input((), dtype="string")
    x = layers.Embedding(20, 4)(layer(text))
    return tf_keras.Model(text, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))), TEXTS


def weighted():
    layer = layers.TextVectorization(max_tokens=20, output_mode="tf_idf")
    layer.adapt(TEXTS[:3])
    text = tf_keras.Input((), dtype="string")
    return tf_keras.Model(text, layers.Dense(2)(layer(text))), TEXTS


def looked_up(**settings):
    layer = layers.StringLookup(**settings)
    if not settings:
        layer.adapt(WORDS)
    word = tf_keras.Input((1,), dtype="string")
    return (
        tf_keras.Model(
            word, layers.Dense(2)(layers.Flatten()(layers.Embedding(20, 4)(layer(word))))
        ),
        WORDS,
    )


def nested():
    model, samples = vectorized()
    return (
        tf_keras.Sequential([tf_keras.Input((), dtype="string"), model, layers.Dense(3)]),
        samples,
    )


def learned():
    """Return a model whose first layers learned from data, which they put into constants when they
    are loaded.
    """
    bins, scale = layers.Discretization(num_bins=3), layers.Normalization()
    bins.adapt(np.array([1.0, 2.0, 3.0, 4.0]))
    scale.adapt(np.arange(10.0).reshape(-1, 1))
    number = tf_keras.Input((1,))
    x = layers.Concatenate()(
        [scale(number), layers.Embedding(5, 2, input_length=1, name="e")(bins(number))[:, 0]]
    )
    return tf_keras.Model(number, layers.Dense(2)(x)), np.array([[1.5], [3.5], [9.0]], "float32")


MODELS = {
    "text": vectorized,
    "text-given": lambda: vectorized(vocabulary=["a", "b", "c", "d"]),
    "tf-idf": weighted,
    "words": looked_up,
    "words-given": lambda: looked_up(vocabulary=["a", "b"]),
    "nested": nested,
}


def assert_survives(model, samples, path):
    """Save, read, load, wrap, save, load, strip and save the model; its answers stay the same."""
    answers = model(samples).numpy()
    model.save(path)
    archive = read_archive(path)
    assert sum(measure_zeros(locate_weights(archive, read_graph(archive))).values()) >= 0
    loaded = load_model(path)
    np.testing.assert_array_equal(loaded(samples), answers)
    save_model(wrap_all(loaded), path.with_stem("wrapped"))
    stripped = strip_model(load_model(path.with_stem("wrapped")))
    np.testing.assert_array_equal(stripped(samples), answers)
    save_model(stripped, path.with_stem("stripped"))
    np.testing.assert_array_equal(load_model(path.with_stem("stripped"))(samples), answers)


@pytest.mark.parametrize("name", MODELS)
def test_vocabularies_come_along_in_keras_files(tmp_path, name):
    assert_survives(*MODELS[name](), tmp_path / "m.keras")


@pytest.mark.parametrize("name", ["text-given", "words-given"])
def test_vocabularies_that_the_config_holds_come_along_in_h5_files(tmp_path, name):
    assert_survives(*MODELS[name](), tmp_path / "m.h5")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_a_layer_derives_from_what_it_learned_comes_along(tmp_path, suffix):
    assert_survives(*learned(), tmp_path / f"m{suffix}")


@pytest.mark.parametrize("name", ["text", "tf-idf", "words", "nested"])
def test_a_learned_vocabulary_in_a_saved_model_is_told(tmp_path, name):
    model, _ = MODELS[name]()
    model.save(tmp_path / "m")
    read_graph(tmp_path / "m")
    with pytest.raises(
        ArchiveError,
        match=(
            r"^.*/m: the vocabulary of layer '.*' is in the SavedModel's graph, which graphprune"
            r" does not run; load it with"
        ),
    ):
        load_model(tmp_path / "m")


def test_a_table_of_texts_is_refused_with_its_place(tmp_path):
    layer = layers.experimental.DynamicEmbedding(
        4, 3, tf.constant(["a", "b", "c", "d"]), "LFU", input_length=2, name="words"
    )
    text = tf_keras.Input((2,), dtype="string")
    tf_keras.Model(text, layers.Dense(2)(layers.Flatten()(layer(text)))).save(tmp_path / "m.keras")
    with pytest.raises(ArchiveError) as caught:
        read_graph(tmp_path / "m.keras")
    path = "layers/dynamic_embedding/dynamic_lookup_layer/vars/0"
    assert (
        str(caught.value)
        == f"{tmp_path}/m.keras: {path} has a non-numeric dtype (strings or references);"
        " keep such a table outside the model"
    )


def test_a_model_file_of_any_name_loads(tmp_path):
    model, samples = vectorized()
    model.save(tmp_path / "m.keras")
    (tmp_path / "m.keras").rename(tmp_path / "model.bin")
    np.testing.assert_array_equal(load_model(tmp_path / "model.bin")(samples), model(samples))
    number = tf_keras.Input((3,))
    dense = tf_keras.Model(number, layers.Dense(2)(number))
    dense.save(tmp_path / "m.h5")
    (tmp_path / "m.h5").rename(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.keras")(tf.ones((1, 3))), dense(tf.ones((1, 3)))
    )


def test_a_graph_without_weights_is_told(tmp_path):
    (tmp_path / "g").write_text(json.dumps({"kind": "graphprune.graph"}))
    with pytest.raises(ArchiveError) as caught:
        load_model(tmp_path / "g")
    assert (
        str(caught.value)
        == f"{tmp_path}/g: is JSON, which holds no weights; give the saved model that it was"
        " exported from"
    )
