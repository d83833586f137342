"""Which layers of a TensorFlow Lite file run sparse, and why others do not.

LiteRT has two ways. Its own kernels of a fully connected layer skip blocks of 4 inputs (of 16 in
int8) that the file leaves out (tensorflow/lite/kernels/fully_connected.cc). XNNPACK runs 1x1
convolutions of float32 sparse where more than two thirds of their weights are zero and the layers
around them fit (`xnn_subgraph_rewrite_for_nchw` in its subgraph.c), whether the file stores the
zeros or not; on x86 with AVX it has no such kernels in use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphprune.archive.tflite.file import TfliteFile, TfliteOperator, TfliteTensor, read_tflite
from graphprune.serving.processor import Processor

WEIGHTS = {
    "FULLY_CONNECTED": 1,
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "TRANSPOSE_CONV": 1,
    "CONV_3D": 1,
}
"""The input of each operator that holds its weights."""
_CARRIED = ("DENSIFY", "DEQUANTIZE")
"""Operators between a constant and the one that computes with it."""
KERNEL_BLOCKS = {("float32", "float32"): 4, ("int8", "int8"): 16}
"""Inputs in a block of LiteRT's sparse kernels, by the types of weights and inputs."""
FEWEST_ZEROS = 0.3
"""The share of zeros from which the converter stores a tensor without them (its `dense_to_sparse`
pass)."""
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
        is_sparse: Whether it runs sparse; None where the runtime decides by the layers around it.
        reason: Why.
    """

    name: str
    operator: str
    zeros: float
    is_stored_sparse: bool
    is_sparse: bool | None
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
    all_pointwise = zeros / size if size else 0.0
    runs = []
    for use in uses:
        operator, tensor = use
        is_sparse, reason = _explain(file, use, shares[id(use)], all_pointwise, processor)
        runs.append(
            LayerRun(
                tensor.name, operator.kind, shares[id(use)], tensor.is_sparse, is_sparse, reason
            )
        )
    return tuple(runs)


Use = tuple[TfliteOperator, TfliteTensor]


def weights_of(file: TfliteFile) -> Iterator[Use]:
    """Yield each operator that has constant weights, with the tensor that the file stores."""
    tensors = {(tensor.subgraph, tensor.index): tensor for tensor in file.tensors}
    sources = {
        (carried.subgraph, carried.outputs[0]): (carried.subgraph, carried.inputs[0])
        for carried in file.operators
        if carried.kind in _CARRIED and carried.inputs and carried.outputs
    }
    for operator in file.operators:
        place = WEIGHTS.get(operator.kind)
        if place is None or place >= len(operator.inputs):
            continue
        key = (operator.subgraph, operator.inputs[place])
        for _ in _CARRIED:
            key = sources.get(key, key)
        tensor = tensors.get(key)
        if tensor is not None and tensor.stored and tensor.dtype:
            yield operator, tensor


def share_of_zeros(file: TfliteFile, tensor: TfliteTensor) -> float:
    """Return the share of zeros among the values of a constant."""
    return float(np.mean(file.read(tensor) == 0)) if tensor.size else 0.0


def _is_pointwise(operator: TfliteOperator, tensor: TfliteTensor) -> bool:
    return operator.kind == "CONV_2D" and tensor.shape[1:3] == (1, 1)


def _explain(
    file: TfliteFile, use: Use, zeros: float, all_pointwise: float, processor: Processor
) -> tuple[bool | None, str]:
    """Return whether an operator runs sparse, and why."""
    operator, tensor = use
    if operator.kind == "FULLY_CONNECTED":
        return _explain_dense(file, use, zeros)
    if not _is_pointwise(operator, tensor):
        return False, "no runtime has a sparse kernel for this operator"
    if tensor.dtype not in ("float32", "float16"):
        return False, "XNNPACK has sparse convolutions for float32 alone"
    if processor.is_x86 and processor.has_avx is not False:
        return False, "XNNPACK has no sparse convolutions in use on x86 with AVX"
    if all_pointwise <= XNNPACK_ZEROS:
        share = f"{all_pointwise:.1%}"
        return False, f"XNNPACK needs two thirds of zeros in the 1x1 convolutions, got {share}"
    return None, "XNNPACK runs it sparse if the layers around it fit (builtin:xnnpack-latency)"


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
