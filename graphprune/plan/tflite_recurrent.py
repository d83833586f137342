"""The recurrent layers of a TensorFlow Lite file: one operator, or a loop over the sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from graphprune.archive.tflite.file import TfliteFile, TfliteOperator, TfliteTensor
from graphprune.graph.classes.composite_steps import recurrent
from graphprune.plan.tflite_loops import read_loop

FUSED = {1: "relu", 2: "clip -1 1", 3: "relu6", 4: "tanh"}
"""Activations inside another operator (`ActivationFunctionType`)."""
_ACTIVATIONS = {"LOGISTIC": "sigmoid", "TANH": "tanh", "RELU": "relu"}
_OTHERS = frozenset(
    (
        *("ADD", "CAST", "CONCATENATION", "DENSIFY", "DEQUANTIZE", "EXPAND_DIMS", "FILL"),
        *("FULLY_CONNECTED", "FlexTensorListGetItem", "FlexTensorListSetItem", "GATHER", "MUL"),
        *("PACK", "QUANTIZE", "RESHAPE", "SHAPE", "SLICE", "SPLIT", "SPLIT_V", "SQUEEZE"),
        *("STRIDED_SLICE", "SUB", "TRANSPOSE"),
    )
)
"""Other operators of a cell that may be in a loop."""
_KERNELS, _STATES = (2, 3, 4), (6, 7, 8)
"""The inputs of the fused operator that are matrices, without those of the input gate, which may
be left out (UNIDIRECTIONAL_SEQUENCE_LSTM, tensorflow/lite/kernels).
"""
_INPUT_GATE = (1, 5)
_EXTRA = (9, 10, 11, 16, 17, *range(20, 24))
"""Those of peepholes, projections and normalizations."""


def describe_loop(file: TfliteFile, operator: TfliteOperator) -> str | None:
    """Return the step of a loop; None for one that is not a recurrent layer of a known cell."""
    body = int(operator.settings.get("bodySubgraphIndex", 0))
    loop = read_loop(file, body) if body else None
    inside = file.operators_of(body)
    if loop is None or any(each.kind not in _OTHERS | set(_ACTIVATIONS) for each in inside):
        return None
    counts = Counter(_ACTIVATIONS[each.kind] for each in inside if each.kind in _ACTIVATIONS)
    fused = (FUSED.get(int(each.settings.get("fusedActivationFunction", 0))) for each in inside)
    counts.update(name for name in fused if name is not None)
    shapes = {(body, one.index): one.shape for one in file.tensors_of(body)}
    kernel, state = (shapes[loop.kernels[name]] for name in ("kernel", "recurrent_kernel"))
    return recurrent(kernel[::-1], state[::-1], counts)


def describe_fused(tensors: Sequence[TfliteTensor | None], operator: TfliteOperator) -> str | None:
    """Return the step of the operator that is an LSTM; None for a kind that Keras does not have.

    Args:
        tensors: Its inputs; None where one is left out.
        operator: The operator.
    """
    matrices = [tensors[place] for place in (*_INPUT_GATE, *_KERNELS, *_STATES)]
    is_plain = not any(tensors[place] for place in _EXTRA if place < len(tensors))
    inner = FUSED.get(int(operator.settings.get("fusedActivationFunction", 0)))
    if not is_plain or inner is None or any(each is None for each in matrices):
        return None
    first, state = (one.shape if (one := tensors[place]) else () for place in _INPUT_GATE)
    shapes = {each.shape for each in matrices if each is not None}
    if not shapes <= {first, state} or len(first) != 2 or len(state) != 2:
        return None
    counts = Counter({"sigmoid": 3})
    counts[inner] += 2
    return recurrent((first[1], 4 * first[0]), (state[1], 4 * state[0]), counts)


def names_inside(file: TfliteFile, operator: TfliteOperator) -> list[str]:
    """Return the names of the matrices in a loop, and of what they make."""
    body = int(operator.settings.get("bodySubgraphIndex", 0))
    names = {one.index: one.name for one in file.tensors_of(body)}
    return [
        names[output]
        for each in (file.operators_of(body) if body else ())
        if each.kind == "FULLY_CONNECTED"
        for output in each.outputs
    ]
