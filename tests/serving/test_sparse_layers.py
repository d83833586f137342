import numpy as np
import pytest
from tflite_files import Part, sparse_matrix, tflite_bytes

from graphprune.serving.processor import Processor, processor_of
from graphprune.serving.sparse_layers import find_layer_runs

AVX = Processor("x86_64", "EPYC", True)
ARM = Processor("aarch64")


def weights(outputs, inputs, zeros, dtype="float32"):
    """A matrix whose last blocks of 16 inputs are zero."""
    values = np.ones((outputs, inputs), dtype)
    values[:, round(inputs * (1 - zeros)) :] = 0
    return values


def runs(tmp_path, parts, operators, processor=AVX):
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_bytes(parts, operators))
    return [
        (run.name, run.zeros, run.is_stored_sparse, run.is_sparse, run.reason)
        for run in find_layer_runs(path, processor)
    ]


def dense(values, block=None, given="FLOAT32"):
    """A file with one fully connected layer."""
    kind = {"int8": {"scales": [0.1], "zero_points": [0]}}.get(values.dtype.name, {})
    stored, encoding = (values, None) if block is None else sparse_matrix(values, block)
    part = Part("w", values.shape, stored, sparsity=encoding, **kind)
    parts = [Part("x", (1, values.shape[1]), type=given), part, Part("y", (1, values.shape[0]))]
    return parts, [("FULLY_CONNECTED", ["x", "w"], ["y"])]


@pytest.mark.parametrize(
    ("made", "is_sparse", "reason"),
    [
        (dense(weights(4, 64, 0.5), 4), True, "LiteRT skips its blocks of 4 inputs that are zero"),
        (
            dense(weights(4, 64, 0.5, "int8"), 16, "INT8"),
            True,
            "LiteRT skips its blocks of 16 inputs that are zero",
        ),
        (
            dense(weights(4, 64, 0.5, "int8"), 16),
            False,
            "LiteRT has no kernel for such int8 weights and float32 inputs",
        ),
        (
            dense(weights(4, 64, 0.5), 1),
            False,
            "stored by single weights, which LiteRT makes dense again at each run",
        ),
        (dense(weights(4, 64, 0.5)), False, "stored dense, and LiteRT computes with the zeros"),
        (dense(weights(4, 64, 0.25)), False, "fewer than 30% zeros"),
    ],
)
def test_a_fully_connected_layer_runs_sparse_in_the_blocks_of_a_kernel(
    tmp_path, made, is_sparse, reason
):
    for processor in (AVX, ARM):
        (found,) = runs(tmp_path, *made, processor)
        assert found[3:] == (is_sparse, reason)


def convolutions(zeros, size=(1, 1), dtype="float32", is_sparse=True):
    """A file with two convolutions, of which the second has its weights behind DENSIFY.

    A matrix is stored without its zeros, unless `is_sparse` is false.
    """
    values = weights(8, 16, zeros, dtype).reshape(8, 1, 1, 16)
    values = np.broadcast_to(values, (8, *size, 16)).copy()
    extra = {"scales": [0.1], "zero_points": [0]} if dtype == "int8" else {}
    parts = [
        *(Part(name, (1, 4, 4, 16)) for name in ("x", "y", "z")),
        Part("w1", values=values, **extra),
        Part("w2", values=values, **extra),
        Part("wide", values.shape),
    ]
    if is_sparse:
        matrix = weights(4, 16, 0.5)
        stored, encoding = sparse_matrix(matrix, 1)
        parts += [Part("m", matrix.shape, stored, sparsity=encoding), Part("m_wide", matrix.shape)]
    operators = [
        ("CONV_2D", ["x", "w1"], ["y"]),
        ("DENSIFY", ["w2"], ["wide"]),
        ("CONV_2D", ["y", "wide"], ["z"]),
        *([("DENSIFY", ["m"], ["m_wide"])] if is_sparse else []),
    ]
    return parts, operators


@pytest.mark.parametrize(
    ("made", "processor", "is_sparse", "reason"),
    [
        (
            convolutions(0.75),
            AVX,
            False,
            "XNNPACK has no sparse convolutions in use on x86 with AVX",
        ),
        (
            convolutions(0.75),
            ARM,
            False,
            "what XNNPACK runs sparse begins at a 3x3 convolution with strides 2, padded by 1, and"
            " the file has none",
        ),
        (
            convolutions(0.75, is_sparse=False),
            ARM,
            False,
            "XNNPACK has sparse convolutions for files with sparse encoding alone",
        ),
        (
            convolutions(0.5),
            ARM,
            False,
            "XNNPACK needs two thirds of zeros in the 1x1 convolutions, got 50.0%",
        ),
        (
            convolutions(0.75, dtype="int8"),
            ARM,
            False,
            "XNNPACK has sparse convolutions for float32 alone",
        ),
        (
            convolutions(0.75, (3, 3)),
            ARM,
            False,
            "no runtime has a sparse kernel for this operator",
        ),
    ],
)
def test_a_convolution_runs_sparse_only_where_xnnpack_may(
    tmp_path, made, processor, is_sparse, reason
):
    found = runs(tmp_path, *made, processor)
    assert [run[0] for run in found] == ["w1", "w2"]
    assert {run[3:] for run in found} == {(is_sparse, reason)}


def test_a_processor_is_read_from_what_the_system_says():
    assert processor_of("x86_64", "flags : sse4_1\n") == Processor("x86_64", "", False)
    assert (AVX.is_x86, AVX.is_arm, ARM.is_arm) == (True, False, True)
