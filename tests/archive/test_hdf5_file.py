"""Data sets that are read without the HDF5 library hold what the library reads."""

import json

import h5py
import numpy as np
import pytest
from builders import build_config

from graphprune.archive import read_archive
from graphprune.archive.hdf5.file import open_hdf5
from graphprune.archive.hdf5.index import index_keras_groups
from graphprune.errors import ArchiveError

PLAIN = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
OTHERS = ["bool", ">f4", ">i8", "c8"]


def write(path, data):
    with h5py.File(path, "w") as file:
        for name, (values, settings) in data.items():
            file.create_dataset(f"layers/dense/vars/{name}", data=values, **settings)
    return str(path)


def index(path):
    with open_hdf5(path, path) as file:
        return index_keras_groups(file, path)["layers/dense"]


def stored_model(tmp_path, values):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(build_config("in > fc"))
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"fc"]
        group.create_group("fc").attrs["weight_names"] = [b"fc/kernel:0"]
        group["fc/fc/kernel:0"] = values
    return path


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)], ids=str)
def test_plain_data_sets_are_known_by_their_headers(shape, tmp_path):
    data = {str(number): (np.full(shape, 3, kind), {}) for number, kind in enumerate(PLAIN)}
    found = index(write(tmp_path / "a.h5", data))
    assert [(tensor.shape, tensor.dtype) for tensor in found] == [
        (shape, np.dtype(kind).name) for kind in PLAIN
    ]
    # what has no values lies nowhere
    assert [tensor.stretch is not None for tensor in found] == [shape != (0,)] * len(PLAIN)


def test_other_types_and_layouts_are_left_to_the_library(tmp_path):
    data = {str(number): (np.ones(3, kind), {}) for number, kind in enumerate(OTHERS)}
    data |= {
        "7": (np.ones((4, 4), "f4"), {"chunks": (2, 2)}),
        "8": (np.ones(4, "f4"), {"compression": "gzip"}),
    }
    found = index(write(tmp_path / "a.h5", data))
    assert [tensor.stretch for tensor in found] == [None] * 6
    assert [tensor.dtype for tensor in found] == [
        "bool",
        "float32",
        "int64",
        "complex64",
        "float32",
        "float32",
    ]


def test_the_values_are_those_that_the_library_reads(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 7)).astype("f4")
    archive = read_archive(stored_model(tmp_path, values))
    (tensor,) = archive.stored["fc"]
    assert tensor.stretch is not None
    np.testing.assert_array_equal(archive.read(tensor), values)


def test_a_file_that_was_cut_since_it_was_indexed_is_named(tmp_path):
    path = stored_model(tmp_path, np.ones((300, 300), "f4"))
    archive = read_archive(path)
    (tensor,) = archive.stored["fc"]
    path.write_bytes(path.read_bytes()[: tensor.stretch.start + 1000])
    with pytest.raises(
        ArchiveError, match=r"a\.h5: damaged HDF5 data \(.*\); save or copy the model again$"
    ):
        archive.read(tensor)
