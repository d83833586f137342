"""A model file is whole or not there, holds what Keras writes, and a full disk is one line."""

import io
import resource
import zipfile
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
import tf_keras

from graphprune import ConstantSparsity, UpdatePruningStep, prune_low_magnitude, prune_scope
from graphprune.archive import read_archive
from graphprune.errors import OutputError
from graphprune.graph import locate_weights, read_graph
from graphprune.tf.models.saving import save_model

pytestmark = pytest.mark.tf


@contextmanager
def files_of_at_most(size):
    """Let no file of this process grow beyond a size, as `ulimit -f` does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_file_that_cannot_grow_is_one_line_and_nothing_is_left(tmp_path, name):
    model = tf_keras.Sequential([tf_keras.layers.Dense(100, input_shape=(100,))], name="net")
    with files_of_at_most(20_000), pytest.raises(OutputError) as caught:
        save_model(model, tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path}/{name}: cannot be written: File too large; raise the limit on the size of"
        " files (ulimit -f), or give another place"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_h5_file_holds_model_and_optimizer(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(2,), name="fc")], name="net")
    model.compile("adam", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)
    save_model(model, tmp_path / "model.h5")
    assert read_archive(tmp_path / "model.h5").training_config is not None
    again = tf_keras.models.load_model(tmp_path / "model.h5")
    for one, other in zip(
        [*model.weights, *model.optimizer.variables],
        [*again.weights, *again.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_masks_are_stored_as_bits_and_keras_reads_them(tmp_path, suffix):
    model = tf_keras.Sequential(
        [tf_keras.layers.Dense(90, input_shape=(100,), name="fc"), tf_keras.layers.Dense(2)]
    )
    pruned = prune_low_magnitude(model, pruning_schedule=ConstantSparsity(0.7, 0))
    pruned.compile("sgd", "mse")
    pruned.fit(np.ones((4, 100)), np.ones((4, 2)), verbose=0, callbacks=[UpdatePruningStep()])
    path = tmp_path / f"model{suffix}"
    save_model(pruned, path)
    sizes = {}

    def note(name, found):
        if isinstance(found, h5py.Dataset) and found.dtype.kind in "bu":
            sizes[found.size] = found.id.get_storage_size()

    content = io.BytesIO(
        path.read_bytes() if suffix == ".h5" else zipfile.ZipFile(path).read("model.weights.h5")
    )
    with h5py.File(content) as file:
        file.visititems(note)
    assert 9_000 // 8 in sizes.values(), sizes
    with prune_scope():
        again = tf_keras.models.load_model(path)
    for one, other in zip(pruned.weights, again.weights, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    archive = read_archive(path)
    mask = locate_weights(archive, read_graph(archive)).read_state("fc", "mask_kernel")
    np.testing.assert_array_equal(mask, pruned.layers[0].layer.kernel.numpy() != 0)


class Nest(tf_keras.layers.Layer):
    """Layers in every kind of attribute that Keras looks at, and one that hides a method."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.listed = [tf_keras.layers.Dense(2), tf_keras.layers.Dense(2)]
        self.named = {"a": tf_keras.layers.Dense(2), "b": tf_keras.layers.LayerNormalization()}
        self.made = tf_keras.layers.Dense(2)
        self.first = tf_keras.layers.Dense(2)

    def made(self):
        raise AssertionError

    @property
    def again(self):
        return self.first

    @property
    def broken(self):
        raise ValueError

    def call(self, inputs):
        for layer in (*self.listed, *self.named.values(), self.made, self.first):
            inputs = layer(inputs)
        return inputs


class Telling(tf_keras.layers.Dense):
    """A layer that tells what it has."""

    def __dir__(self):
        return [*super().__dir__(), "hidden"]

    def __getattr__(self, name):
        if name != "hidden":
            raise AttributeError(name)
        self.__dict__["_found"] = found = self.__dict__.get("_found") or tf_keras.layers.Dense(2)
        found.build((None, 2))
        return found


def held(path):
    """Return the tensors of a `.keras` file by the paths in its HDF5 file."""
    found = {}
    with (
        zipfile.ZipFile(path) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        file.visititems(
            lambda name, item: found.update({name: item[()] if hasattr(item, "dtype") else None})
        )
    return found


def test_a_file_holds_what_keras_writes_at_the_same_places(tmp_path):
    inputs = tf_keras.Input((4, 3))
    cell = tf_keras.layers.StackedRNNCells([tf_keras.layers.LSTMCell(2) for _ in range(2)])
    x = tf_keras.layers.Bidirectional(tf_keras.layers.GRU(2, return_sequences=True))(inputs)
    x = tf_keras.layers.TimeDistributed(tf_keras.layers.Dense(3))(x)
    x = tf_keras.layers.RNN(cell)(x)
    x = Telling(2)(Nest()(x))
    inner = tf_keras.Sequential([tf_keras.layers.Dense(2), tf_keras.layers.BatchNormalization()])
    model = tf_keras.Model(inputs, tf_keras.layers.Dropout(0.5, seed=1)(inner(inner(x))))
    metrics = ["accuracy", tf_keras.metrics.AUC(num_thresholds=3)]
    model.compile("adam", tf_keras.losses.BinaryCrossentropy(), metrics=metrics)
    model.fit(np.ones((4, 4, 3)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "theirs.keras")
    save_model(model, tmp_path / "ours.keras")
    theirs, ours = held(tmp_path / "theirs.keras"), held(tmp_path / "ours.keras")
    assert list(ours) == list(theirs)
    assert len(theirs) > 100
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, name)


def test_arrays_that_are_read_after_saving_can_be_changed(tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(2,))])
    save_model(model, tmp_path / "model.keras")
    (kernel, _) = model.weights
    for found in (kernel.numpy(), kernel.value().numpy()):
        found += 1
        assert not np.array_equal(kernel, found)
