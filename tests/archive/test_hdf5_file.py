"""Data sets that are read without the HDF5 library hold what the library reads."""

import json

import h5py
import numpy as np
import pytest
from builders import build_config
from h5py import h5d, h5p, h5s, h5t, h5z

from graphprune.archive import read_archive
from graphprune.archive.hdf5.file import open_hdf5
from graphprune.archive.hdf5.index import index_keras_groups
from graphprune.archive.hdf5_datasets import write_bits
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


def bits_model(tmp_path, mask):
    path = stored_model(tmp_path, np.ones(3, "f4"))
    with h5py.File(path, "r+") as file:
        del file["model_weights/fc/fc/kernel:0"]
        write_bits(file["model_weights/fc"], "fc/kernel:0", mask)
    return path


def test_bits_are_read_as_bool(tmp_path):
    mask = np.random.default_rng(0).random((11, 13)) < 0.5
    archive = read_archive(bits_model(tmp_path, mask))
    (tensor,) = archive.stored["fc"]
    assert (tensor.dtype, tensor.shape) == ("bool", (11, 13))
    np.testing.assert_array_equal(archive.read(tensor), mask, strict=True)


def test_another_packing_than_that_of_masks_is_refused(tmp_path):
    path = stored_model(tmp_path, np.ones(3, "f4"))
    with h5py.File(path, "r+") as file:
        group = file["model_weights/fc/fc"]
        del group["kernel:0"]
        kind = h5t.STD_U8LE.copy()
        kind.set_precision(3)
        settings = h5p.create(h5p.DATASET_CREATE)
        settings.set_chunk((4,))
        settings.set_filter(h5z.FILTER_NBIT, 0, ())
        made = h5d.create(group.id, b"kernel:0", kind, h5s.create_simple((4,)), dcpl=settings)
        made.write(h5s.ALL, h5s.ALL, np.ones(4, np.uint8))
    with pytest.raises(ArchiveError) as raised:
        read_archive(path).read(read_archive(path).stored["fc"][0])
    assert str(raised.value) == (
        f"{path}: model_weights/fc/fc/kernel:0: damaged HDF5 data (its n-bit filter is not that of"
        " a mask); save or copy the model again"
    )


def test_bits_of_a_damaged_file_are_read_or_refused(tmp_path):
    path = bits_model(tmp_path, np.random.default_rng(0).random((11, 13)) < 0.5)
    whole = path.read_bytes()
    refused = 0
    for place in range(whole.index(b"nbit") - 200, whole.index(b"nbit") + 200):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            archive = read_archive(path)
            assert archive.read(archive.stored["fc"][0]).shape
        except ArchiveError:
            refused += 1
    assert refused > 40
