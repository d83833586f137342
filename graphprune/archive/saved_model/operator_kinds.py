"""Operators that operations of TensorFlow become, by their kinds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphprune.archive.saved_model.lowering import Lowered, Lowering, Rule, View
from graphprune.archive.saved_model.products import (
    convolution,
    convolution_of_volumes,
    einsum,
    matrix,
    normalization,
    pooling,
    product,
    transposed_convolution,
)

_MASKS = {
    "begin_mask": "beginMask",
    "end_mask": "endMask",
    "ellipsis_mask": "ellipsisMask",
    "new_axis_mask": "newAxisMask",
    "shrink_axis_mask": "shrinkAxisMask",
}


def _named(kind: str) -> Rule:
    return lambda one: one.to(kind)


def _first(kind: str) -> Rule:
    """Return the rule of an operation that has one input, and settings of no interest."""
    return lambda one: one.to(kind, one.inputs[0])


def _arithmetic(kind: str, neutral: float) -> Rule:
    """Return the rule of an operation of two; with a neutral number it gives what it takes."""

    def rule(one: Lowering) -> list[Lowered] | None:
        places = [0, 1] if kind in ("ADD", "MUL") else [1]
        for place in places:
            values = one.values[place]
            if values is not None and values.ndim == 0 and values[()] == neutral:
                return one.to("CAST", one.inputs[1 - place])
        return one.to(kind)

    return rule


def _quotient(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a quotient that is 0 where a divisor is, for one that is not 0."""
    divisor = one.values[1]
    if divisor is None or divisor.ndim or not divisor[()]:
        return None
    return one.to("DIV", one.inputs[0], View((), values=divisor))


def _both(one: Lowering) -> list[Lowered]:
    """Return the operator of two truths; beside what is true everywhere it gives the other."""
    for place in (0, 1):
        values = one.values[place]
        if values is not None and values.ndim == 0 and values[()]:
            return one.to("CAST", one.inputs[1 - place])
    return one.to("LOGICAL_AND")


def _limit(kind: str) -> Rule:
    """Return the rule of a maximum or minimum; that with zero is a ReLU."""

    def rule(one: Lowering) -> list[Lowered] | None:
        for place in (0, 1):
            values = one.values[place]
            if values is not None and values.ndim == 0 and values[()] == 0 and kind == "MAXIMUM":
                return one.to("RELU", one.inputs[1 - place])
        return one.to(kind)

    return rule


def _padded(one: Lowering) -> list[Lowered] | None:
    return None if one.numbers(1) is None else one.to("PAD")


def _joined(one: Lowering) -> list[Lowered] | None:
    axis = one.numbers(len(one.inputs) - 1)
    is_known = axis is not None and len(axis) == 1 and one.shapes[0] is not None
    return one.to("CONCATENATION", *one.inputs[:-1], axis=axis[0]) if is_known and axis else None


def _looked_up(one: Lowering) -> list[Lowered] | None:
    table = one.shapes[0]
    axis = one.numbers(2) if len(one.inputs) > 2 else [0]
    if one.is_made[0] or axis != [0] or table is None or len(table) != 2:
        return None
    return one.to("GATHER", one.inputs[0], one.inputs[1])


def _reduced(kind: str) -> Rule:
    def rule(one: Lowering) -> list[Lowered] | None:
        is_known = one.numbers(1) is not None and one.shapes[0] is not None
        return one.to(kind) if is_known else None

    return rule


def _sliced(one: Lowering) -> list[Lowered] | None:
    settings = {written: one.node.number(name) for name, written in _MASKS.items()}
    told = {name: number for name, number in settings.items() if number}
    is_known = one.shapes[0] is not None and not any(one.is_made[1:])
    if not is_known:
        return None
    if _is_whole(one, told):
        return one.to("EXPAND_DIMS", one.inputs[0])
    return one.to("STRIDED_SLICE", **told)


def _is_whole(one: Lowering, masks: Mapping[str, int]) -> bool:
    """Return whether a slice has all that it is of, perhaps with new axes."""
    strides = one.numbers(3)
    if strides is None or "ellipsisMask" in masks or "shrinkAxisMask" in masks:
        return False
    fresh = masks.get("newAxisMask", 0)
    whole = masks.get("beginMask", 0) & masks.get("endMask", 0)
    is_each = fresh | whole | ((1 << len(strides)) - 1) == fresh | whole
    return is_each and all(fresh >> axis & 1 or step == 1 for axis, step in enumerate(strides))


def _to_batch(one: Lowering) -> list[Lowered] | None:
    """Return the operator of an operation of space and batch; its ends of padding may be open."""
    values = one.values[2]
    if one.numbers(1) is None or values is None:
        return None
    starts = values.reshape(-1, 2)[:, 0].tolist()
    if None in starts:
        return None
    widths = np.array([0 if each is None else each for each in values.reshape(-1)], object)
    view = View((len(widths),), values=widths)
    kind = "SPACE_TO_BATCH_ND" if one.node.kind == "SpaceToBatchND" else "BATCH_TO_SPACE_ND"
    return one.to(kind, one.inputs[0], one.inputs[1], view)


def _resized(kind: str) -> Rule:
    def rule(one: Lowering) -> list[Lowered] | None:
        is_such = one.node.number("half_pixel_centers") and not one.node.number("align_corners")
        is_known = one.whole(1) is not None and one.shapes[0] is not None
        return one.to(kind, halfPixelCenters=1) if is_such and is_known else None

    return rule


LOWERED: Mapping[str, Rule] = {
    "Abs": _named("ABS"),
    "Add": _arithmetic("ADD", 0),
    "AddN": _named("ADD_N"),
    "AddV2": _arithmetic("ADD", 0),
    "All": _reduced("REDUCE_ALL"),
    "Any": _reduced("REDUCE_ANY"),
    "AvgPool": pooling("AVERAGE_POOL_2D"),
    "BatchMatMul": product,
    "BatchMatMulV2": product,
    "BatchMatMulV3": product,
    "BatchToSpaceND": _to_batch,
    "BiasAdd": _named("ADD"),
    "BroadcastTo": _first("BROADCAST_TO"),
    "Cast": _named("CAST"),
    "ConcatV2": _joined,
    "Conv2D": convolution,
    "Conv2DBackpropInput": transposed_convolution,
    "Conv3D": convolution_of_volumes("CONV_3D"),
    "Conv3DBackpropInputV2": convolution_of_volumes("CONV_3D_TRANSPOSE"),
    "DepthwiseConv2dNative": convolution,
    "Div": _arithmetic("DIV", 1),
    "DivNoNan": _quotient,
    "Einsum": einsum,
    "Elu": _named("ELU"),
    "Equal": _named("EQUAL"),
    "Exp": _named("EXP"),
    "ExpandDims": _first("EXPAND_DIMS"),
    "FusedBatchNorm": normalization,
    "FusedBatchNormV2": normalization,
    "FusedBatchNormV3": normalization,
    "GatherV2": _looked_up,
    "Greater": _named("GREATER"),
    "LeakyRelu": lambda one: one.to("LEAKY_RELU", alpha=one.node.real("alpha", 0.2)),
    "Less": _named("LESS"),
    "Log": _named("LOG"),
    "LogSoftmax": _named("LOG_SOFTMAX"),
    "LogicalAnd": _both,
    "LogicalNot": _named("LOGICAL_NOT"),
    "LogicalOr": _named("LOGICAL_OR"),
    "MatMul": matrix,
    "Max": _reduced("REDUCE_MAX"),
    "MaxPool": pooling("MAX_POOL_2D"),
    "Maximum": _limit("MAXIMUM"),
    "Mean": _reduced("MEAN"),
    "Minimum": _limit("MINIMUM"),
    "Mul": _arithmetic("MUL", 1),
    "Neg": _named("NEG"),
    "NotEqual": _named("NOT_EQUAL"),
    "Pack": lambda one: one.to("PACK", axis=one.node.number("axis")),
    "Pad": _padded,
    "RealDiv": _arithmetic("DIV", 1),
    "Relu": _named("RELU"),
    "Relu6": _named("RELU6"),
    "Reshape": _first("RESHAPE"),
    "ResizeBilinear": _resized("RESIZE_BILINEAR"),
    "ResizeNearestNeighbor": _resized("RESIZE_NEAREST_NEIGHBOR"),
    "ResourceGather": _looked_up,
    "ReverseV2": _named("REVERSE_V2"),
    "Rsqrt": _named("RSQRT"),
    "Select": _named("SELECT"),
    "SelectV2": _named("SELECT_V2"),
    "Selu": _named("SELU"),
    "Sigmoid": _named("LOGISTIC"),
    "Softmax": _named("SOFTMAX"),
    "Softplus": _named("SOFTPLUS"),
    "Softsign": _named("SOFTSIGN"),
    "SpaceToBatchND": _to_batch,
    "Split": _named("SPLIT"),
    "SplitV": _named("SPLIT_V"),
    "Square": _named("SQUARE"),
    "SquaredDifference": _named("SQUARED_DIFFERENCE"),
    "Squeeze": _first("SQUEEZE"),
    "StridedSlice": _sliced,
    "Sub": _arithmetic("SUB", 0),
    "Sum": _reduced("SUM"),
    "Tanh": _named("TANH"),
    "TensorListFromTensor": _first("CAST"),
    "Tile": _named("TILE"),
    "Transpose": _named("TRANSPOSE"),
    "Unpack": _named("UNPACK"),
    "ZerosLike": _named("ZEROS_LIKE"),
}
