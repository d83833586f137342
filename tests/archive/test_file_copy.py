import io
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphprune.archive.file_copy import FileCopy, HDF5Bytes

WRITES = st.lists(st.tuples(st.integers(0, 9000), st.binary(min_size=1, max_size=40)), max_size=8)


def write_all(file, writes, size):
    for at, data in writes:
        file.seek(at)
        file.write(data)
    file.seek(0, io.SEEK_END)
    if size > file.tell():
        file.truncate(size)


@given(WRITES, WRITES, st.integers(0, 12_000))
def test_it_holds_what_a_file_would_and_nothing_of_the_file_before(before, writes, size):
    made, wanted = HDF5Bytes(), io.BytesIO(bytes(size))
    write_all(made, [(at, b"\xff" * 9000) for at, _ in before], 0)
    made.clear(0)
    write_all(made, writes, size)
    write_all(wanted, writes, size)
    assert bytes(made.view()) == wanted.getvalue()
    buffer, other = bytearray(50), bytearray(50)
    made.seek(3)
    wanted.seek(3)
    assert (made.readinto(buffer), buffer) == (wanted.readinto(other), other)


def fill(stream, count=40):
    with h5py.File(stream, "w") as file:
        file.attrs["model_config"] = "a" * 30_000
        file.attrs["model_config"] = b"b" * 31_000
        for index in range(count):
            group = file.create_group(f"layers/dense_{index}/vars")
            group["0"] = np.full((300, 500 + index), index, np.float32)
            group["1"] = np.arange(10 + index)
            group.attrs["name"] = "x" * index
        del file["layers/dense_3"]


@pytest.mark.parametrize("expected", [0, 10, 50_000_000])
def test_hdf5_writes_the_same_bytes_as_into_a_file(expected):
    made, wanted = HDF5Bytes(), io.BytesIO()
    made.clear(expected)
    fill(made)
    fill(wanted)
    assert bytes(made.view()) == wanted.getvalue()
    made.clear(expected)
    wanted = io.BytesIO()
    fill(made, 5)  # a smaller one after a larger one
    fill(wanted, 5)
    assert bytes(made.view()) == wanted.getvalue()


def test_a_copy_is_written_as_a_zip_or_as_it_is(tmp_path):
    weights = HDF5Bytes()
    weights.write(bytes(3_000_000) + b"end")
    copy = FileCopy((("config.json", b"{}"), ("model.weights.h5", weights)))
    for name in ("a.keras", "b.keras"):
        copy.write(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["config.json", "model.weights.h5"]
        assert archive.read("model.weights.h5") == bytes(weights.view())
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    FileCopy((("", weights),)).write(tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == bytes(weights.view())
