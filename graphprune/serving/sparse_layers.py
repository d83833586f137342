"""Which layers of a TensorFlow Lite file run sparse, and why others do not.

LiteRT has two ways. Its own kernels of a fully connected layer skip blocks of 4 inputs (of 16 in
int8) that the file leaves out (tensorflow/lite/kernels/fully_connected.cc). XNNPACK runs 1x1
convolutions of float32 sparse where more than two thirds of their weights are zero and the layers
around them fit (`xnn_subgraph_rewrite_for_nchw` in its subgraph.c), in files that leave out zeros
of a tensor which DENSIFY reads (`static_sparse_weights_` in LiteRT's xnnpack_delegate.cc); on x86
with AVX it has no such kernels in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphprune.archive.operators import FileOperator, FileTensor
from graphprune.archive.tflite.file import TfliteFile, read_tflite
from graphprune.serving.processor import Processor
from graphprune.serving.xnnpack_region import CARRIED, Region, find_region

WEIGHTS = {
    "FULLY_CONNECTED": 1,
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "TRANSPOSE_CONV": 1,
    "CONV_3D": 1,
}
"""The input of each operator that holds its weights."""
KERNEL_BLOCKS = {("float32", "float32"): 4, ("int8", "int8"): 16}
"""Inputs in a block of LiteRT's sparse kernels, by the types of weights and inputs."""
FEWEST_ZEROS = 0.3
"""The share of zeros from which the converter stores a tensor without them (its `dense_to_sparse`
pass)."""
_BEGINNING = "what XNNPACK runs sparse begins at a 3x3 convolution with strides 2, padded by 1"
XNNPACK_ZEROS = 2 / 3
"""XNNPACK's sparse kernels need more zeros than this in the 1x1 convolutions of a region."""


@dataclass(frozen=True, slots=True)
class LayerRun:
    """How one operator with constant weights runs.

    Attributes:
        name: The name of its weights in the file.
        operator: Its kind: `FULLY_CONNECTED`.
        zeros: The share of zeros among its weights.
        is_stored_sparse: Whether the file leaves the zeros out.
        is_sparse: Whether it runs sparse.
        reason: Why.
    """

    name: str
    operator: str
    zeros: float
    is_stored_sparse: bool
    is_sparse: bool
    reason: str


def find_layer_runs(path: str | Path, processor: Processor) -> tuple[LayerRun, ...]:
    """Return how each operator of a file that has constant weights runs on a processor.

    Raises:
        ArchiveError: the file is damaged.
    """
    file = read_tflite(path)
    uses = tuple(weights_of(file))
    shares = {id(use): share_of_zeros(file, use[1]) for use in uses}
    pointwise = [use for use in uses if _is_pointwise(*use)]
    size = sum(tensor.size for _, tensor in pointwise)
    zeros = sum(shares[id(use)] * use[1].size for use in pointwise)
    convolutions = _Convolutions(
        zeros / size if size else 0.0, _hints_at_zeros(file), find_region(file), processor
    )
    runs = []
    for use in uses:
        operator, tensor = use
        is_sparse, reason = _explain(file, use, shares[id(use)], convolutions)
        runs.append(
            LayerRun(
                tensor.name, operator.kind, shares[id(use)], tensor.is_sparse, is_sparse, reason
            )
        )
    return tuple(runs)


def find_misfit(path: str | Path, processor: Processor) -> str | None:
    """Return the operator with which a file may compute something else on another processor.

    On x86 with AVX nothing shows what a file computes where XNNPACK has its sparse convolutions in
    use: None on other processors, where it can be run, and for files that none of them runs sparse.

    Raises:
        ArchiveError: the file is damaged.
    """
    if not processor.is_x86 or processor.has_avx is False:
        return None
    file = read_tflite(path)
    has_zeros = any(
        _is_pointwise(*use) and share_of_zeros(file, use[1]) > XNNPACK_ZEROS
        for use in weights_of(file)
    )
    return find_region(file).misfit if has_zeros and _hints_at_zeros(file) else None


Use = tuple[FileOperator, FileTensor]


def weights_of(file: TfliteFile) -> Iterator[Use]:
    """Yield each operator that has constant weights, with the tensor that the file stores."""
    tensors = {(tensor.subgraph, tensor.index): tensor for tensor in file.tensors}
    sources = {
        (carried.subgraph, carried.outputs[0]): (carried.subgraph, carried.inputs[0])
        for carried in file.operators
        if carried.kind in CARRIED and carried.inputs and carried.outputs
    }
    for operator in file.operators:
        place = WEIGHTS.get(operator.kind)
        if place is None or place >= len(operator.inputs):
            continue
        key = (operator.subgraph, operator.inputs[place])
        for _ in CARRIED:
            key = sources.get(key, key)
        tensor = tensors.get(key)
        if tensor is not None and tensor.stored and tensor.dtype:
            yield operator, tensor


def share_of_zeros(file: TfliteFile, tensor: FileTensor) -> float:
    """Return the share of zeros among the values of a constant."""
    return float(np.mean(file.read(tensor) == 0)) if tensor.size else 0.0


def _is_pointwise(operator: FileOperator, tensor: FileTensor) -> bool:
    return operator.kind == "CONV_2D" and tensor.shape[1:3] == (1, 1)


def _hints_at_zeros(file: TfliteFile) -> bool:
    """Return whether the file leaves out zeros of a tensor that DENSIFY reads."""
    sparse = {(tensor.subgraph, tensor.index) for tensor in file.tensors if tensor.is_sparse}
    return any(
        (operator.subgraph, operator.inputs[0]) in sparse
        for operator in file.operators
        if operator.kind == "DENSIFY" and operator.inputs
    )


@dataclass(frozen=True, slots=True)
class _Convolutions:
    """What decides for all 1x1 convolutions of a file whether they may run sparse.

    Attributes:
        zeros: The share of zeros among all their weights.
        is_hinted: Whether the file asks XNNPACK for sparse kernels.
        region: Where it may use them.
        processor: Where they run.
    """

    zeros: float
    is_hinted: bool
    region: Region
    processor: Processor

    def explain(self, operator: FileOperator) -> tuple[bool, str]:
        """Return whether one of them runs sparse, and why."""
        if self.processor.is_x86 and self.processor.has_avx is not False:
            return False, "XNNPACK has no sparse convolutions in use on x86 with AVX"
        if self.zeros <= XNNPACK_ZEROS:
            share = f"{self.zeros:.1%}"
            return False, f"XNNPACK needs two thirds of zeros in the 1x1 convolutions, got {share}"
        if not self.is_hinted:
            return False, "XNNPACK has sparse convolutions for files with sparse encoding alone"
        if not self.region.operators:
            return False, f"{_BEGINNING}, and the file has none"
        if self.region.misfit is not None:
            return False, f"{self.region.misfit} does not fit where XNNPACK could run it sparse"
        if not self.region.has(operator):
            return False, f"{_BEGINNING}, and ends at an average over height and width"
        return True, "XNNPACK skips its zeros"


def _explain(
    file: TfliteFile, use: Use, zeros: float, convolutions: _Convolutions
) -> tuple[bool, str]:
    """Return whether an operator runs sparse, and why."""
    operator, tensor = use
    if operator.kind == "FULLY_CONNECTED":
        return _explain_dense(file, use, zeros)
    if not _is_pointwise(operator, tensor):
        return False, "no runtime has a sparse kernel for this operator"
    if tensor.dtype not in ("float32", "float16"):
        return False, "XNNPACK has sparse convolutions for float32 alone"
    return convolutions.explain(operator)


def _explain_dense(file: TfliteFile, use: Use, zeros: float) -> tuple[bool, str]:
    """Return whether a fully connected layer runs sparse, and why."""
    operator, tensor = use
    encoding = file.find_sparsity(tensor)
    if encoding is None and zeros < FEWEST_ZEROS:
        return False, f"fewer than {FEWEST_ZEROS:.0%} zeros"
    if encoding is None:
        return False, "stored dense, and LiteRT computes with the zeros"
    given = next(
        each.dtype
        for each in file.tensors
        if (each.subgraph, each.index) == (operator.subgraph, operator.inputs[0])
    )
    kind, blocks = (tensor.dtype, given), encoding.blocks
    if kind in KERNEL_BLOCKS and blocks == {1: KERNEL_BLOCKS[kind]}:
        return True, f"LiteRT skips its blocks of {KERNEL_BLOCKS[kind]} inputs that are zero"
    if not blocks and tensor.dtype == "float32":
        return False, "stored by single weights, which LiteRT makes dense again at each run"
    return False, f"LiteRT has no kernel for such {tensor.dtype} weights and {given} inputs"
