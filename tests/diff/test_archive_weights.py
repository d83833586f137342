import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from graphprune.diff.archive_weights import diff_models
from graphprune.graph.read import open_model_file, read_graph

FIXTURE = Path(__file__).parents[2] / "fixtures" / "digits-cnn.keras"


@pytest.fixture
def first_dense():
    """The address of the first Dense layer of the shipped model."""
    return next(
        layer.address for layer in read_graph(FIXTURE).layers.values() if layer.type == "Dense"
    )


@pytest.fixture
def sparser(tmp_path, first_dense):
    """The shipped model with 100 weights of a Dense kernel set to zero."""
    path = open_model_file(FIXTURE).weights.find(first_dense, "kernel").path
    copy = tmp_path / "sparser.keras"
    with zipfile.ZipFile(FIXTURE) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "model.weights.h5":
                (tmp_path / "w.h5").write_bytes(data)
                with h5py.File(tmp_path / "w.h5", "r+") as file:
                    values = file[path][()]
                    values.reshape(-1)[:100] = 0
                    file[path][...] = values
                data = (tmp_path / "w.h5").read_bytes()
            target.writestr(name, data)
    return copy


def test_a_file_does_not_differ_from_its_copy(tmp_path):
    copy = shutil.copy(FIXTURE, tmp_path / "copy.keras")
    diff = diff_models(open_model_file(FIXTURE), open_model_file(copy))
    assert diff.is_empty
    assert diff.is_weights_equal is True
    assert diff.weights_gzip is None


def test_zeros_in_a_file_are_found(sparser, first_dense):
    diff = diff_models(open_model_file(FIXTURE), open_model_file(sparser))
    assert [layer.address for layer in diff.notable_layers] == [first_dense]
    (kernel,) = diff.notable_layers[0].notable_tensors
    assert (kernel.name, kernel.zeros_before, kernel.zeros_after, kernel.values) == (
        "kernel",
        0,
        100,
        "changed",
    )
    assert diff.left.path.endswith("digits-cnn.keras")
    assert diff.weights_gzip is not None
    assert diff.weights_gzip[0] > diff.weights_gzip[1] > 1000


def test_a_layer_without_a_wrapper_has_no_state(first_dense):
    weights = open_model_file(FIXTURE).weights
    assert weights.read_state(first_dense, "pruning_step") is None
    assert weights.read(first_dense, "kernel").dtype == np.float32
