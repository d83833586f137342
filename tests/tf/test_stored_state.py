"""Masks in `.keras` files of tf_keras: a bit a weight; files with a byte a weight are read too."""

import io
import zipfile

import h5py
import numpy as np
import pytest
import tf_keras

import graphprune
from graphprune import ConstantSparsity, prune_low_magnitude
from graphprune.archive import read_archive
from graphprune.graph import read_graph
from graphprune.graph.weights import locate_weights

pytestmark = pytest.mark.tf
WEIGHTS = "model.weights.h5"


def write_pruned(path):
    """Write a model whose mask has 15 weights, which fill no whole number of bytes."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(5, input_shape=(3,), name="fc")])
    pruned = prune_low_magnitude(model, ConstantSparsity(0.6, 0, frequency=1))
    pruned.compile("sgd", "mse", run_eagerly=True)
    callbacks = [graphprune.UpdatePruningStep()]
    pruned.fit(np.ones((2, 3)), np.ones((2, 5)), verbose=0, callbacks=callbacks)
    pruned.save(path)
    return pruned.layers[0].pruning_vars[0][1].numpy()


def masks_of(content):
    """Return the datasets of a weights file that hold bytes, by name."""
    with h5py.File(io.BytesIO(content)) as file:
        found = {}
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset) and item.dtype == np.uint8
                else None
            )
        )
        return found


def rewritten(path, change):
    """Rewrite the weights file in a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO(parts[WEIGHTS])
    with h5py.File(stream, "r+") as file:
        change(file)
    parts[WEIGHTS] = stream.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def assert_read(path, mask):
    with graphprune.prune_scope():
        loaded = tf_keras.models.load_model(path)
    np.testing.assert_array_equal(loaded.layers[0].pruning_vars[0][1].numpy(), mask)
    archive = read_archive(path)
    weights = locate_weights(archive, read_graph(archive))
    np.testing.assert_array_equal(weights.state["fc", "mask_kernel"].read(), mask)


def test_a_mask_is_a_bit_a_weight_and_bytes_of_earlier_files_are_read(tmp_path):
    path = tmp_path / "pruned.keras"
    mask = write_pruned(path)
    assert mask.sum() == 6
    with zipfile.ZipFile(path) as archive:
        ((name, stored),) = masks_of(archive.read(WEIGHTS)).items()
    np.testing.assert_array_equal(stored, np.packbits(mask))
    assert_read(path, mask)

    def as_bytes(file):
        del file[name]
        file[name] = mask

    rewritten(path, as_bytes)
    with graphprune.prune_scope():
        loaded = tf_keras.models.load_model(path)
    np.testing.assert_array_equal(loaded.layers[0].pruning_vars[0][1].numpy(), mask)


def test_a_mask_of_another_size_is_refused(tmp_path):
    path = tmp_path / "pruned.keras"
    write_pruned(path)

    def cut(file):
        for name, value in masks_of(stream_of(path)).items():
            del file[name]
            file[name] = value[:1]

    rewritten(path, cut)
    with pytest.raises(graphprune.ArchiveError) as caught:
        graphprune.read_graph(path)
    assert str(caught.value) == (
        f"{path}: the mask of 'kernel' in layer 'fc' has shape [1], the weight [3, 5]; save the"
        " model again"
    )
    with pytest.raises(graphprune.ArchiveError, match="do not fit each other"):
        graphprune.load_model(path)


def stream_of(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read(WEIGHTS)
