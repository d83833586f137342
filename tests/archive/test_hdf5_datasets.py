"""Datasets that are written quickly have the bytes that h5py writes."""

import io

import h5py
import numpy as np
import pytest

from graphprune.archive.hdf5_datasets import ArrayGroup

VALUES = (
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.arange(12, dtype=np.float64).reshape(3, 4).T,  # not in C order
    np.zeros((0, 5), np.float16),
    np.array([True, False]),
    np.int64(7),
    np.array(3, np.uint8),
    np.array([1, 2], ">i4"),
    np.array([b"ab", b"c"]),
    np.array([1 + 2j]),
    [1.5, 2.5],
    4,
    "text",
)


def written(kind):
    """Return the bytes of a file whose groups are of a class."""
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        for place in ("layers/a", "layers/b"):
            group = kind(file.create_group(place).create_group("vars").id)
            for number, value in enumerate(VALUES):
                group[f"{number}"] = value
            group["ü"] = VALUES[0]
            group["inner/0"] = VALUES[0]
    return made.getvalue()


def test_the_bytes_are_those_of_h5py():
    assert written(ArrayGroup) == written(h5py.Group)


def test_what_is_written_is_read_back():
    with h5py.File(io.BytesIO(written(ArrayGroup))) as file:
        group = file["layers/b/vars"]
        for number, value in enumerate(VALUES[:9]):
            found = group[str(number)]
            assert found.dtype == np.asarray(value).dtype
            np.testing.assert_array_equal(found[()], value)
        assert group["inner/0"].shape == (3, 4)


def test_a_name_that_is_taken_is_refused():
    with h5py.File(io.BytesIO(), "w") as file:
        group = ArrayGroup(file.create_group("vars").id)
        group["0"] = VALUES[0]
        with pytest.raises(OSError, match="exists"):
            group["0"] = VALUES[1]
