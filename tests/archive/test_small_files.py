"""Small copies of `.keras` and `.h5` files: the same content, in fewer bytes."""

import shutil
import time
import zipfile

import h5py
import numpy as np
import pytest

import graphprune
from graphprune.archive.hdf5.file import MAX_RATIO, MAX_UNCHECKED
from graphprune.archive.keras_zip import WEIGHTS
from graphprune.archive.small_files import save_small, write_small
from graphprune.diff.sizes import measure_sizes
from graphprune.errors import WriteError
from graphprune.shipped import shipped_file


def sparse(*shape, zeros=0.9, dtype="float32"):
    random = np.random.default_rng(0)
    values = random.normal(size=shape).astype(dtype)
    values[random.random(shape) < zeros] = 0
    return values


def write_hdf5(path, config="{}", **tensors):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config
        file.attrs["keras_version"] = np.bytes_("2.21.0")
        file.attrs["nothing"] = h5py.Empty("f4")
        file.attrs["names"] = [b"kernel:0", b"bias:0"]
        group = file.create_group("model_weights/fc/fc")
        file["model_weights"].attrs["layer_names"] = np.array([b"fc"])
        for name, values in tensors.items():
            group[name] = values
            group[name].attrs["name"] = name


def contents(path):
    """The attributes and values of all objects, with their stored types, by path."""
    found = {}
    with h5py.File(path) as file:

        def visit(name, item):
            types = {key: item.attrs.get_id(key).get_type().encode() for key in item.attrs}
            values = None if isinstance(item, h5py.Group) else (item.dtype, item[()])
            found[name] = dict(item.attrs), types, values

        visit("/", file)
        file.visititems(visit)
    return found


def assert_same_contents(one, other):
    found, wanted = contents(one), contents(other)
    assert list(found) == list(wanted)
    for name in wanted:
        np.testing.assert_equal(found[name], wanted[name])


def test_an_h5_file_keeps_its_content_and_its_sparse_tensors_are_one_chunk_each(tmp_path):
    whole, small = tmp_path / "whole.h5", tmp_path / "small.h5"
    tensors = {"kernel": sparse(300, 100), "bias": sparse(40, zeros=0), "step": np.int64(7)}
    tensors |= {f"more_{number}": np.arange(3) for number in range(20)}
    tensors |= {"half": sparse(64, 64, dtype="float16"), "empty": np.zeros((0, 4), "float32")}
    config = "{}" * 50_000  # longer than an object header holds
    write_hdf5(whole, config, **tensors, texts=np.array(["a", "b"], object))
    write_small(whole, small)
    assert_same_contents(small, whole)
    with h5py.File(small) as file:
        group = file["model_weights/fc/fc"]
        assert {name: item.chunks for name, item in group.items() if item.chunks} == {
            "half": (64, 64),
            "kernel": (300, 100),
        }
        assert (group["kernel"].compression, group["kernel"].shuffle) == ("gzip", False)


def test_at_ninety_percent_zeros_the_raw_size_is_that_of_gzip(tmp_path):
    whole, small = tmp_path / "whole.h5", tmp_path / "small.h5"
    tensors = {f"kernel_{number}": sparse(512, 512) for number in range(8)}
    write_hdf5(whole, **tensors | {f"bias_{number}": sparse(256, zeros=0) for number in range(8)})
    write_small(whole, small)
    sizes = measure_sizes(small)
    assert sizes.raw <= 1.02 * sizes.gzip
    assert sizes.raw < measure_sizes(whole).raw / 4


def test_a_keras_file_keeps_its_members_deflated_and_reads_the_same(tmp_path):
    whole, small = shipped_file("fixtures/digits-cnn.keras"), tmp_path / "small.keras"
    write_small(whole, small)
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(small) as after:
        assert after.namelist() == before.namelist()
        assert {info.compress_type for info in after.infolist()} == {zipfile.ZIP_DEFLATED}
        for name in set(before.namelist()) - {WEIGHTS}:
            assert after.read(name) == before.read(name)
        assert after.infolist()[0].date_time == before.infolist()[0].date_time
        tensors = [tmp_path / name for name in ("before.h5", "after.h5")]
        for path, source in zip(tensors, (before, after), strict=True):
            path.write_bytes(source.read(WEIGHTS))
    assert_same_contents(*tensors[::-1])
    with h5py.File(tensors[1]) as file:  # tf_keras reads a zip from its beginning for each tensor
        assert file["layers/dense/vars/0"].compression == "gzip"
    assert graphprune.diff_models(whole, small).is_empty
    sizes = measure_sizes(small)
    assert sizes.raw <= 1.02 * sizes.gzip


def test_the_same_content_makes_the_same_bytes_at_another_time(tmp_path):
    whole = tmp_path / "whole.h5"
    write_hdf5(whole, kernel=sparse(30, 30))
    made = []
    for _ in range(2):
        write_small(whole, tmp_path / "small.h5")
        made.append((tmp_path / "small.h5").read_bytes())
        time.sleep(1.1)  # HDF5 counts seconds
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["zeros.keras", "zeros.h5"])
def test_what_would_be_refused_as_a_bomb_is_not_compressed(tmp_path, name):
    whole, small = tmp_path / f"whole-{name}", tmp_path / name
    zeros = np.zeros(MAX_UNCHECKED // 4 + 1, "float32")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["layers/dense/vars/0"] = zeros
    if name.endswith(".h5"):
        shutil.move(tmp_path / "weights.h5", whole)
    else:
        with zipfile.ZipFile(whole, "w") as members:
            members.writestr("config.json", "{}")
            members.write(tmp_path / "weights.h5", "model.weights.h5")
    write_small(whole, small)
    assert small.stat().st_size > zeros.nbytes / MAX_RATIO
    if name.endswith(".keras"):
        with zipfile.ZipFile(small) as members:
            assert [info.compress_type for info in members.infolist()] == [
                zipfile.ZIP_DEFLATED,
                zipfile.ZIP_STORED,
            ]
            assert members.testzip() is None


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, suffix):
    target = tmp_path / f"net.{suffix}"
    target.mkdir()
    whole = shipped_file("fixtures/digits-cnn.keras")
    if suffix == "h5":
        whole = tmp_path / "whole.h5"
        write_hdf5(whole, kernel=sparse(30, 30))
    with pytest.raises(WriteError, match="Is a directory"):
        save_small(lambda path: shutil.copy(whole, path), target)
    assert list(target.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "whole.h5"] == [target.name]
