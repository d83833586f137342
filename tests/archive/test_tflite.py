"""TensorFlow Lite files are read as data: dense, sparse, in 16 bits and quantized."""

import numpy as np
import pytest
from tflite_files import Part, level, options, sparse_matrix, sparsity, tflite_bytes

from graphprune.archive.tflite.file import TfliteFile, read_tflite
from graphprune.archive.tflite.sparse import Encoding, Level, to_dense
from graphprune.errors import ArchiveError

RANDOM = np.random.default_rng(0)
DENSE = RANDOM.normal(size=(8, 12)).astype("float32")


def read_part(part):
    """Return the values of the one constant tensor of a file."""
    file = TfliteFile(tflite_bytes([part]))
    (tensor,) = file.constants
    return file.read(tensor)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "float64"])
def test_a_dense_tensor_is_read_as_it_is(dtype):
    values = (DENSE * 10).astype(dtype)
    got = read_part(Part("w", values=values))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_sparse_tensor_is_read_dense(block, dtype):
    values = (DENSE * 30).astype(dtype)
    values[:, 4:8] = 0
    values[3] = 0
    stored, how = sparse_matrix(values, block)
    part = Part("w", values.shape, stored, sparsity=how)
    np.testing.assert_array_equal(read_part(part), values)
    file = TfliteFile(tflite_bytes([part]))
    (tensor,) = file.tensors
    assert (tensor.is_sparse, tensor.stored) == (True, stored.nbytes)
    assert file.find_sparsity(tensor).blocks == ({1: 4} if block == 4 else {})


def test_quantized_zeros_are_exactly_zero():
    values = np.array([[0, 5, -7], [3, 3, 4]], "int8")
    one = read_part(Part("w", values=values, scales=[0.5], zero_points=[0]))
    np.testing.assert_array_equal(one, values * np.float32(0.5))
    many = read_part(Part("w", values=values, scales=[0.5, 2.0], zero_points=[0, 3]))
    np.testing.assert_array_equal(many, [[0, 2.5, -3.5], [0, 0, 2]])
    columns = read_part(
        Part("w", values=values, scales=[1.0, 2.0, 3.0], zero_points=[0, 0, 0], axis=1)
    )
    np.testing.assert_array_equal(columns, [[0, 10, -21], [3, 6, 12]])


def test_small_integers_are_unpacked():
    part = Part("w", (1, 5), np.array([0xF1, 0x70, 0x08], "uint8"), type="INT4")
    np.testing.assert_array_equal(read_part(part), [[1, -1, 0, 7, -8]])


def test_operators_name_their_tensors():
    parts = [Part("x", (1, 12)), Part("w", values=DENSE), Part("net/fc/MatMul", (1, 8))]
    file = TfliteFile(tflite_bytes(parts, [("FULLY_CONNECTED", ["x", "w"], ["net/fc/MatMul"])]))
    (operator,) = file.operators
    assert (operator.kind, operator.inputs, operator.outputs) == ("FULLY_CONNECTED", (0, 1), (2,))
    assert [tensor.name for tensor in file.constants] == ["w"]
    assert [tensor.stored for tensor in file.tensors] == [0, 384, 0]


def test_a_compressed_axis_outside_of_a_dense_one():
    rows = Level(0, np.array([0, 2]), np.array([0, 2]))
    got = to_dense(np.arange(1, 7), Encoding((0, 1), (), (rows, Level(3))), (3, 3))
    np.testing.assert_array_equal(got, [[1, 2, 3], [0, 0, 0], [4, 5, 6]])


def test_axes_are_stored_in_any_order():
    values = (RANDOM.normal(size=(6, 4)) * (RANDOM.random((6, 4)) < 0.4)).astype("float32")
    turned = values.T
    segments = np.concatenate([[0], np.cumsum((turned != 0).sum(axis=1))])
    levels = (Level(4), Level(0, segments, np.nonzero(turned)[1]))
    got = to_dense(turned[turned != 0], Encoding((1, 0), (), levels), (6, 4))
    np.testing.assert_array_equal(got, values)


WRONG = {
    "places": sparsity([0, 1], [], [level(2), level(0, [0, 1, 2], [0, 9])]),
    "segments": sparsity([0, 1], [], [level(2), level(0, [0, 2, 1], [0, 1])]),
    "values": sparsity([0, 1], [], [level(2), level(0, [0, 1, 1], [0])]),
    "axes": sparsity([0, 0], [], [level(2), level(0, [0, 1, 2], [0, 1])]),
    "block": sparsity([0, 1, 2], [5], [level(2), level(0, [0, 1, 2], [0, 1]), level(1)]),
    "much": sparsity([0, 1], [], [level(2**31 - 1), level(2**31 - 1)]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_sparse_tensor_that_contradicts_itself_is_refused(name):
    part = Part("w", (2, 3), np.ones(2, "float32"), sparsity=WRONG[name])
    with pytest.raises(ArchiveError, match="damaged TensorFlow Lite file"):
        read_part(part)


def test_what_is_no_such_file_is_refused(tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(b"PK\x03\x04 not one")
    with pytest.raises(ArchiveError, match="is not a TensorFlow Lite file"):
        read_tflite(path)


def test_a_damaged_file_ends_in_an_archive_error_or_is_read():
    stored, how = sparse_matrix(np.eye(8, dtype="float32"), 4)
    parts = [Part("x", (1, 8)), Part("w", (8, 8), stored, sparsity=how), Part("y", (1, 8))]
    whole = tflite_bytes(parts, [("FULLY_CONNECTED", ["x", "w"], ["y"])])
    refused = 0
    for at in range(0, len(whole)):
        for value in (0xFF, 0x7F):
            content = bytearray(whole)
            content[at] = value
            try:
                file = TfliteFile(bytes(content))
                assert len(file.operators) < 100
                for tensor in file.constants:
                    file.read(tensor)
            except ArchiveError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("length", [0, 7, 8, 40, 200])
def test_a_file_that_is_cut_off_is_refused(length):
    whole = tflite_bytes([Part("w", values=DENSE)])
    with pytest.raises(ArchiveError):
        TfliteFile(whole[:length]).read(TfliteFile(whole).constants[0])


def test_settings_that_are_lists_are_left_out():
    parts = [Part("x", (1, 4)), Part("y", (1, 4))]
    settings = options("BucketizeOptions", boundaries=[0.0, 1.0])
    file = TfliteFile(tflite_bytes(parts, [("BUCKETIZE", ["x"], ["y"], settings)]))
    assert [(one.kind, one.settings) for one in file.operators] == [("BUCKETIZE", {})]
