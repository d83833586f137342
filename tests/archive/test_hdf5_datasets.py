"""Datasets that are written quickly have the bytes that h5py writes; masks are bits."""

import io

import h5py
import numpy as np
import pytest

from graphprune.archive.hdf5_datasets import ArrayGroup, MaskGroup, read_bits, write_bits

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


MASK = np.random.default_rng(0).random((37, 5, 53)) < 0.3


def bits_file(mask, write=write_bits):
    """Return the bytes of a file that holds a mask."""
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        write(file, "fc/mask:0", mask)
    return made.getvalue()


@pytest.mark.parametrize("shape", [(1,), (9,), (3, 4), (37, 5, 53)], ids=str)
def test_a_mask_takes_one_bit_a_value_and_the_library_unpacks_it(shape):
    mask = MASK.reshape(-1)[: np.prod(shape)].reshape(shape)
    with h5py.File(io.BytesIO(bits_file(mask))) as file:
        stored = file["fc/mask:0"]
        assert stored.id.get_storage_size() == -(-mask.size // 8)
        assert (stored.shape, stored.dtype) == (shape, np.uint8)
        np.testing.assert_array_equal(stored[()], mask)
        np.testing.assert_array_equal(read_bits(stored.id), mask)


def test_only_large_arrays_of_bool_become_bits():
    with h5py.File(io.BytesIO(), "w") as file:
        group = MaskGroup(file.id).create_group("fc")
        for name, values in {
            "large": np.ones((90, 100), bool),
            "small": np.ones((9, 10), bool),
            "numbers": np.ones((90, 100), np.uint8),
            "one": np.array(True),
        }.items():
            group.create_dataset(name, values.shape, dtype=values.dtype)[...] = values
        sizes = {name: found.id.get_storage_size() for name, found in file["fc"].items()}
    assert sizes == {"large": 1125, "small": 90, "numbers": 9000, "one": 1}


def test_a_name_that_a_mask_has_is_refused():
    with h5py.File(io.BytesIO(), "w") as file:
        write_bits(file, "m", MASK)
        with pytest.raises(ValueError, match="exists"):
            write_bits(file, "m", MASK)
