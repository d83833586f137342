"""What single operators of a TensorFlow Lite file compute, in the steps of layer classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from graphprune.archive.operators import FileOperator
from graphprune.graph.classes.activation_steps import clipped, leaky, softmax
from graphprune.graph.classes.attention_steps import product
from graphprune.graph.classes.composite_steps import CAUSAL, LAST, REVERSE, repeat, resize
from graphprune.graph.classes.normalization_steps import normalize, to_unit_length
from graphprune.graph.classes.steps import (
    AFFINE,
    ANY,
    PADDINGS,
    RECURRENT,
    UNEQUAL,
    along_lengths,
    convolution,
    cropped,
    joined,
    lookup,
    matrix,
    padded,
    pooling,
    reduced,
)
from graphprune.plan.operator_masked_scores import is_lower_band
from graphprune.plan.operator_masks import is_causal
from graphprune.plan.operator_recurrent import describe_fused
from graphprune.plan.operator_sequences import item

if TYPE_CHECKING:
    from graphprune.plan.operator_steps import OperatorSteps

PASSED_ON = frozenset(
    {
        "BATCH_TO_SPACE_ND",
        "CAST",
        "DENSIFY",
        "DEQUANTIZE",
        "EXPAND_DIMS",
        "FlexTensorListStack",
        "QUANTIZE",
        "RESHAPE",
        "SPACE_TO_BATCH_ND",
        "SQUEEZE",
        "TRANSPOSE",
    }
)
"""Operators that only move values or change their type; those of space and batch stand around a
dilated convolution, a stack of tensors behind a loop."""
_MOST_BETWEEN = 8
"""Such operators between one of space and batch and its convolution."""
THEN = " then "
"""Between the steps of one operator."""
_ALIKE = {
    "ABS": "abs",
    "ADD_N": "add",
    "ELU": "elu",
    "EXP": "exp",
    "GELU": "gelu",
    "HARD_SWISH": "hard swish",
    "LOG": "log",
    "LOG_SOFTMAX": "log softmax",
    "LOGISTIC": "sigmoid",
    "NEG": AFFINE,
    "PRELU": "prelu",
    "RELU": "relu",
    "RELU6": "relu6",
    "RELU_0_TO_1": clipped(0, 1),
    "SELU": "selu",
    "SOFTSIGN": "softsign",
    "SQUARE": "square",
    "TANH": "tanh",
}
"""The steps of operators that have no settings of interest."""
BINARY = {
    "ADD": "add",
    "MAXIMUM": "maximum",
    "MINIMUM": "minimum",
    "MUL": "multiply",
    "SUB": "subtract",
    "DIV": "divide",
}
_AFFINE = frozenset({"ADD", "DIV", "MUL", "SUB"})
"""Those that are affine with a constant as one operand."""
_TRANSPOSED = "transposed convolution"
_REDUCED = {"MEAN": "mean", "REDUCE_ANY": ANY, "REDUCE_MAX": "maximum", "SUM": "sum"}
_POOLED = {"AVERAGE_POOL_2D": "average pooling", "MAX_POOL_2D": "max pooling"}


def _matrix(steps: OperatorSteps, operator: FileOperator) -> str | None:
    shape = steps.shape(operator, 1)
    return matrix(shape[::-1]) if steps.is_constant(operator, 1) and len(shape) == 2 else None


def _convolution(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a convolution; kernels have the output's channels first, or last."""
    shape = steps.shape(operator, 1)
    if not steps.is_constant(operator, 1) or len(shape) != 4:
        return None
    settings, kind = operator.settings, "convolution"
    kernel: tuple[int, ...] = (*shape[1:], shape[0])
    if operator.kind == "DEPTHWISE_CONV_2D":
        kind, kernel = "depthwise convolution", shape[1:]
    elif operator.kind == "TRANSPOSE_CONV":
        kind, kernel = _TRANSPOSED, (*shape[1:3], shape[0], shape[3])
    strides, dilation = (
        tuple(int(settings.get(name, 1)) for name in names)
        for names in (("strideH", "strideW"), ("dilationHFactor", "dilationWFactor"))
    )
    padding = _padding(operator)
    if kind != _TRANSPOSED:
        dilation, padding = _dilated(steps, operator) or (dilation, padding)
        read = steps.lengths(operator, 0)[1:3]
        strides, dilation = along_lengths(read, kernel[:2], strides, dilation)
    return convolution(kind, kernel, strides, dilation, padding)


def _convolution_of_volumes(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a Conv3D or its transpose; a dilation is read where it is a setting."""
    shape = steps.shape(operator, 1)
    if not steps.is_constant(operator, 1) or len(shape) != 5:
        return None
    strides, dilation = (
        tuple(int(operator.settings.get(name.format(axis), 1)) for axis in "DHW")
        for name in ("stride{}", "dilation{}Factor")
    )
    if operator.kind == "CONV_3D_TRANSPOSE":
        return convolution(_TRANSPOSED, shape, strides, dilation, _padding(operator))
    maker = steps.maker_of(operator.inputs[0])
    if maker is not None and maker.kind.endswith("SpaceToBatchND"):
        return None
    read = steps.lengths(operator, 0)[1:4]
    strides, dilation = along_lengths(read, shape[:3], strides, dilation)
    return convolution("convolution", shape, strides, dilation, _padding(operator))


def _dilated(steps: OperatorSteps, operator: FileOperator) -> tuple[tuple[int, int], str] | None:
    """Return dilation and padding of a convolution between operators of space and batch."""
    maker = steps.maker_of(operator.inputs[0])
    for _ in range(_MOST_BETWEEN):
        if maker is None or maker.kind not in PASSED_ON - {"SPACE_TO_BATCH_ND"}:
            break
        maker = steps.maker_of(maker.inputs[0])
    if maker is None or maker.kind != "SPACE_TO_BATCH_ND":
        return None
    blocks, widths = steps.values(maker, 1), steps.values(maker, 2)
    if not 1 <= len(blocks) <= 2 or len(widths) != 2 * len(blocks):
        return None
    first, last = (*(1,) * (2 - len(blocks)), *blocks)
    return (first, last), "same" if any(widths[::2]) else "valid"


def _pooling(_steps: OperatorSteps, operator: FileOperator) -> str | None:
    window, strides = (
        tuple(int(operator.settings.get(f"{name}{axis}", 1)) for axis in axes)
        for name, axes in (("filter", ("Height", "Width")), ("stride", ("H", "W")))
    )
    return pooling(_POOLED[operator.kind], window, strides, _padding(operator))


def _padding(operator: FileOperator) -> str:
    return PADDINGS[int(operator.settings.get("padding", 0))]


def _pad(steps: OperatorSteps, operator: FileOperator) -> str | None:
    widths = steps.values(operator, 1)
    pairs = list(zip(widths[::2], widths[1::2], strict=False))
    return padded(pairs[1:]) if pairs and pairs[0] == (0, 0) else None


def _reduced(steps: OperatorSteps, operator: FileOperator) -> str | None:
    axes, rank = steps.values(operator, 1), len(steps.shape(operator, 0))
    return reduced(_REDUCED[operator.kind], axes, rank) if axes and rank else None


def _product(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a product of two tensors, or of one with a matrix."""
    if not steps.is_constant(operator, 1):
        lengths = steps.lengths(operator, 0)
        heads = lengths[1] if len(lengths) == 4 else 1
        if len(lengths) not in (3, 4) or heads is None or steps.is_constant(operator, 0):
            return None
        is_turned = bool(operator.settings.get("adjX"))
        return product(heads, lengths[-2] if is_turned else lengths[-1])
    *batch, rows, columns = steps.shape(operator, 1)
    if math.prod(batch) != 1 or operator.settings.get("adjX"):
        return None
    return matrix((columns, rows) if operator.settings.get("adjY") else (rows, columns))


def _resized(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the steps of a resizing; lengths of 1 in a file may be open ones."""
    sizes, shape = steps.values(operator, 1), steps.shape(operator, 0)[1:3]
    if len(sizes) != 2 or not operator.settings.get("halfPixelCenters") or min(shape) < 2:
        return None
    kind = "bilinear" if operator.kind == "RESIZE_BILINEAR" else "nearest"
    return THEN.join(step for step in resize(kind, shape, sizes) if isinstance(step, str)) or None


def _tiled(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a repetition, which is along an axis that was put in for it."""
    shape, times = steps.shape(operator, 0), steps.values(operator, 1)
    told = [(axis, n) for axis, n in enumerate(times) if n != 1]
    if len(told) != 1 or len(shape) != len(times):
        return None
    ((axis, n),) = told
    return repeat(n, axis - 1) if axis and shape[axis] == 1 else None


def _sliced(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the last of a sequence, as recurrent layers give it, or another part of one."""
    begin, mask = steps.values(operator, 1), int(operator.settings.get("shrinkAxisMask", 0))
    if begin and mask in (1, 2) and begin[mask - 1] >= 0:
        whole = (1 << len(begin)) - 1 - mask
        is_whole = all(operator.settings.get(name, 0) == whole for name in ("beginMask", "endMask"))
        axis = mask - 1
        return item(begin[axis], steps.shape(operator, 0)[axis], axis) if is_whole else None
    if not mask and begin:
        return _cropped(steps, operator, begin)
    if not steps.step_before(operator).startswith(RECURRENT) or mask not in (1, 2):
        return None
    is_sequence = len(steps.shape(operator, 0)) > 2
    return LAST if is_sequence and begin[mask - 1 :][:1] == [-1] else None


def _cropped(steps: OperatorSteps, operator: FileOperator, begin: Sequence[int]) -> str | None:
    """Return the step of a slice that cuts off ends of axes; None for one with a stride."""
    end, lengths = steps.values(operator, 2), steps.lengths(operator, 0)
    is_plain = not {"newAxisMask", "ellipsisMask"} & set(operator.settings)
    if not is_plain or set(steps.values(operator, 3)) != {1} or len(end) != len(lengths):
        return None
    masks = [int(operator.settings.get(name, 0)) for name in ("beginMask", "endMask")]
    pairs: list[tuple[int, int]] = []
    for axis, length in enumerate(lengths):
        first = 0 if masks[0] >> axis & 1 else begin[axis]
        rest = 0 if masks[1] >> axis & 1 else -end[axis]
        rest = rest if rest >= 0 or length is None else length + rest
        if first < 0 or rest < 0:
            return None
        pairs.append((first, rest))
    return cropped(pairs[1:]) if pairs[0] == (0, 0) else None


def _reversed(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step that reverses a sequence, whose axis is the first or the second."""
    return REVERSE if steps.values(operator, 1) in ([0], [1]) else None


def _repeats(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a concatenation of the parts of one tensor, each several times."""
    maker = steps.maker_of(operator.inputs[0])
    if maker is None or maker.kind != "SPLIT":
        return None
    times, rest = divmod(len(operator.inputs), len(maker.outputs))
    parts = tuple(part for part in maker.outputs for _ in range(times))
    axis = int(operator.settings.get("axis", 0))
    is_such = not rest and parts == operator.inputs and steps.values(maker, 0) == [axis]
    return repeat(times, axis) if is_such and times > 1 else None


def _joined(steps: OperatorSteps, operator: FileOperator) -> str | None:
    if (times := _repeats(steps, operator)) is not None:
        return times
    if any(steps.is_constant(operator, place) for place in range(len(operator.inputs))):
        return None
    return joined(int(operator.settings.get("axis", 0)), len(steps.shape(operator, 0)))


def _unequal(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a mask of numbers that are not a certain one, or are it."""
    number = steps.number(operator)
    return None if number is None else f"{UNEQUAL} {number.value:g}"


def _masked(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a causal mask that selects scores, or what they do not reach.

    Keras 3 joins it with a mask of ones, and selects a constant or scores without a large one.
    """
    is_choice = len(operator.inputs) == 3 and steps.is_constant(operator, 0)
    if not is_choice or steps.is_constant(operator, 1):
        return None
    maker = steps.maker_of(operator.inputs[0])
    tables = operator.inputs[:1] if maker is None else maker.inputs
    if maker is not None and maker.kind != "LOGICAL_AND":
        return None
    if steps.is_constant(operator, 2):
        is_table = any(is_causal(~steps.table(index)) for index in tables)
        return CAUSAL if is_table or is_lower_band(steps, operator.inputs[0]) else None
    is_lowered = steps.is_lowered(operator.inputs[1], operator.inputs[2])
    return CAUSAL if is_lowered and any(is_causal(steps.table(at)) for at in tables) else None


def _normalized(steps: OperatorSteps, operator: FileOperator) -> str | None:
    """Return the step of a normalization, whose second input has the shape of what counts."""
    lengths = steps.lengths(operator, 1)
    count = math.prod(length or 0 for length in lengths)
    return normalize(count, float(operator.settings["epsilon"])) if count else None


def _softmax(steps: OperatorSteps, operator: FileOperator) -> str | None:
    return softmax(next(iter(steps.lengths(operator, 0)[-1:]), None))


def _unit_length(steps: OperatorSteps, operator: FileOperator) -> str | None:
    length = steps.lengths(operator, 0)[-1]
    return None if length is None else to_unit_length(length)


def _leaky(_steps: OperatorSteps, operator: FileOperator) -> str | None:
    return leaky(float(operator.settings.get("alpha", 0.0)))


def _lookup(steps: OperatorSteps, operator: FileOperator) -> str | None:
    return lookup(steps.shape(operator, 0)) if steps.is_constant(operator, 0) else None


def find_looked_up(steps: OperatorSteps, operator: FileOperator) -> int | None:
    """Return the indices that a lookup takes, where negative ones are made positive first.

    Keras 3 looks up `where(i < 0, i + rows, i)`.
    """
    if operator.kind not in ("SELECT", "SELECT_V2") or len(operator.inputs) != 3:
        return None
    is_less, moved, indices = (steps.place_of(index) for index in operator.inputs)
    if is_less is None or moved is None or indices is None:
        return None
    is_such = steps.facts.is_of(is_less, "operator LESS", indices)
    return indices if is_such and steps.facts.is_of(moved, AFFINE, indices) else None


READERS: dict[str, Callable[[OperatorSteps, FileOperator], str | None]] = {
    "AVERAGE_POOL_2D": _pooling,
    "BATCH_MATMUL": _product,
    "CONCATENATION": _joined,
    "CONV_2D": _convolution,
    "CONV_3D": _convolution_of_volumes,
    "CONV_3D_TRANSPOSE": _convolution_of_volumes,
    "DEPTHWISE_CONV_2D": _convolution,
    "EQUAL": _unequal,
    "FULLY_CONNECTED": _matrix,
    "GATHER": _lookup,
    "L2_NORMALIZATION": _unit_length,
    "LEAKY_RELU": _leaky,
    "MAX_POOL_2D": _pooling,
    "MEAN": _reduced,
    "NORMALIZE": _normalized,
    "NOT_EQUAL": _unequal,
    "PAD": _pad,
    "REDUCE_ANY": _reduced,
    "REDUCE_MAX": _reduced,
    "RESIZE_BILINEAR": _resized,
    "RESIZE_NEAREST_NEIGHBOR": _resized,
    "REVERSE_V2": _reversed,
    "SELECT": _masked,
    "SELECT_V2": _masked,
    "SOFTMAX": _softmax,
    "SOFTPLUS": lambda _steps, _operator: THEN.join(("exp", AFFINE, "log")),
    "STRIDED_SLICE": _sliced,
    "SUM": _reduced,
    "TILE": _tiled,
    "TRANSPOSE_CONV": _convolution,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lambda steps, operator: describe_fused(
        steps.tensors_of(operator), operator
    ),
}


def describe(steps: OperatorSteps, operator: FileOperator, taken: Sequence[int]) -> str | None:
    """Return the step that an operator is; None for one that no layer class describes."""
    kind = operator.kind
    if kind in BINARY:
        return _describe_binary(steps, operator, taken)
    reader = READERS.get(kind)
    return _ALIKE.get(kind) if reader is None else reader(steps, operator)


def _describe_binary(
    steps: OperatorSteps, operator: FileOperator, taken: Sequence[int]
) -> str | None:
    if len(taken) == 2:
        return BINARY[operator.kind]
    if operator.kind in ("ADD", "SUB") and any(map(steps.is_mask, operator.inputs)):
        return CAUSAL
    is_divisor = operator.kind == "DIV" and steps.is_constant(operator, 0)
    return AFFINE if operator.kind in _AFFINE and not is_divisor else None
