"""Operators that operations of TensorFlow become, by their kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from graphprune.archive.operators import FOREIGN
from graphprune.archive.saved_model.folding import Values
from graphprune.archive.saved_model.graph_def import Lengths, Node

_MASKS = {
    "begin_mask": "beginMask",
    "end_mask": "endMask",
    "ellipsis_mask": "ellipsisMask",
    "new_axis_mask": "newAxisMask",
    "shrink_axis_mask": "shrinkAxisMask",
}


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tensor as an operator takes it.

    Attributes:
        shape: Its shape there.
        of: What it is made of; None for a new constant.
        is_made: Whether that depends on the inputs of the signature.
        values: Those of a new constant.
    """

    shape: Lengths
    of: int | None = None
    is_made: bool = False
    values: Values | None = None


@dataclass(frozen=True, slots=True)
class Lowered:
    """An operator: see `graphprune.archive.operators.FileOperator`."""

    kind: str
    inputs: tuple[int | View, ...]
    outputs: tuple[int, ...]
    settings: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lowering:
    """An operation.

    Attributes:
        node: Its kind and settings.
        inputs, outputs: What it takes and gives.
        is_made: Whether each input depends on those of the signature.
        shapes: The shapes of its inputs.
        values: Those of its inputs that are constants.
    """

    node: Node
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_made: tuple[bool, ...]
    shapes: tuple[Lengths | None, ...]
    values: tuple[Values | None, ...]

    def foreign(self) -> Lowered:
        """Return the operator of an operation that TensorFlow Lite does not have."""
        return Lowered(FOREIGN + self.node.kind, self.inputs, self.outputs)

    def whole(self, place: int) -> tuple[int, ...] | None:
        """Return the shape of an input without open lengths; None for another one."""
        shape = self.shapes[place] if place < len(self.shapes) else None
        if shape is None:
            return None
        lengths = tuple(length for length in shape if length is not None)
        return lengths if len(lengths) == len(shape) else None

    def numbers(self, place: int) -> list[int] | None:
        """Return the whole numbers of a constant input; None where they are not known."""
        values = self.values[place] if place < len(self.values) else None
        listed = [] if values is None else values.reshape(-1).tolist()
        is_known = values is not None and all(isinstance(each, int) for each in listed)
        return listed if is_known else None

    def to(self, kind: str, *inputs: int | View, **settings: int | float) -> list[Lowered]:
        """Return one operator in the place of the operation."""
        return [Lowered(kind, inputs or self.inputs, self.outputs, settings)]


Rule = Callable[[Lowering], list[Lowered] | None]
"""From an operation to its operators; None for one that has none."""


def _named(kind: str) -> Rule:
    return lambda one: one.to(kind)


def _first(kind: str) -> Rule:
    """Return the rule of an operation that has one input, and settings of no interest."""
    return lambda one: one.to(kind, one.inputs[0])


def _is_plain(one: Lowering) -> bool:
    """Return whether axes are in the order of Keras, and the number of them is known."""
    is_last = one.node.text("data_format", "NHWC") == "NHWC"
    shape = one.shapes[0]
    return is_last and one.node.text("padding") in ("SAME", "VALID") and shape is not None


def _window(one: Lowering, names: Mapping[str, str]) -> dict[str, int | float] | None:
    """Return settings along height and width, by the names that they have, and the padding."""
    found: dict[str, int | float] = {"padding": int(one.node.text("padding") == "VALID")}
    for name, written in names.items():
        numbers = one.node.numbers(name, (1, 1, 1, 1))
        if len(numbers) != 4 or numbers[0] != 1 or numbers[3] != 1:
            return None
        found[written.format("H", "Height")] = numbers[1]
        found[written.format("W", "Width")] = numbers[2]
    return found


def _convolution(one: Lowering) -> list[Lowered] | None:
    kernel, shape = one.whole(1), one.shapes[0]
    settings = _window(one, {"strides": "stride{0}", "dilations": "dilation{0}Factor"})
    is_kernel = kernel is not None and len(kernel) == 4 and not one.is_made[1]
    is_such = _is_plain(one) and shape is not None and len(shape) == 4
    if not is_kernel or not is_such or settings is None:
        return None
    assert kernel is not None
    height, width, taken, made = kernel
    if one.node.kind == "DepthwiseConv2dNative":
        view = View((1, height, width, taken * made), one.inputs[1])
        return one.to("DEPTHWISE_CONV_2D", one.inputs[0], view, **settings)
    view = View((made, height, width, taken), one.inputs[1])
    return one.to("CONV_2D", one.inputs[0], view, **settings)


def _transposed_convolution(one: Lowering) -> list[Lowered] | None:
    kernel = one.whole(1)
    settings = _window(one, {"strides": "stride{0}", "dilations": "dilation{0}Factor"})
    is_plain = one.node.text("data_format", "NHWC") == "NHWC"
    is_known = one.node.text("padding") in ("SAME", "VALID") and is_plain
    is_kernel = kernel is not None and len(kernel) == 4 and not one.is_made[1]
    if not is_kernel or not is_known or settings is None or one.is_made[0]:
        return None
    assert kernel is not None
    height, width, made, taken = kernel
    view = View((made, height, width, taken), one.inputs[1])
    return one.to("TRANSPOSE_CONV", one.inputs[0], view, one.inputs[2], **settings)


def _pooling(kind: str) -> Rule:
    def rule(one: Lowering) -> list[Lowered] | None:
        settings = _window(one, {"strides": "stride{0}", "ksize": "filter{1}"})
        return one.to(kind, **settings) if _is_plain(one) and settings is not None else None

    return rule


def _matrix(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a product with a matrix."""
    kernel = one.whole(1)
    if one.is_made[1] or kernel is None or len(kernel) != 2 or one.node.number("transpose_a"):
        return None
    shape = kernel if one.node.number("transpose_b") else kernel[::-1]
    return one.to("FULLY_CONNECTED", one.inputs[0], View(shape, one.inputs[1]))


def _product(one: Lowering) -> list[Lowered] | None:
    if any(shape is None for shape in one.shapes):
        return None
    adjoints = {"adjX": one.node.number("adj_x"), "adjY": one.node.number("adj_y")}
    return one.to("BATCH_MATMUL", *one.inputs, **adjoints)


def _einsum(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a product with a kernel, or of products of two tensors' matrices."""
    taken, _, made = one.node.text("equation").partition("->")
    terms = taken.split(",")
    is_plain = len(terms) == 2 and made.isalpha() and all(term.isalpha() for term in terms)
    if not is_plain or len(one.inputs) != 2 or not one.is_made[0]:
        return None
    if any(len(set(term)) != len(term) for term in (*terms, made)):
        return None
    if one.is_made[1]:
        return _einsum_of_two(one, terms, made)
    kernel, lengths = terms[1], one.whole(1)
    rest = [label for label in made if label in terms[0]]
    is_kernel = lengths is not None and len(lengths) == len(kernel)
    if not is_kernel or set(rest) & set(kernel) or not rest:
        return None
    assert lengths is not None
    sizes = dict(zip(kernel, lengths, strict=True))
    rows = math.prod(size for label, size in sizes.items() if label in terms[0])
    view = View((math.prod(lengths) // max(rows, 1), rows), one.inputs[1])
    return one.to("FULLY_CONNECTED", one.inputs[0], view)


def _einsum_of_two(one: Lowering, terms: Sequence[str], made: str) -> list[Lowered] | None:
    """Return the operator of products of matrices, one for each example and head."""
    shape = one.shapes[0]
    shared = [label for label in terms[0] if label in terms[1] and label in made]
    if shape is None or len(shape) != len(terms[0]) or not 1 <= len(shared) <= 2:
        return None
    if len(terms[0]) != len(terms[1]) or len(made) != len(terms[0]) or shared[0] != made[0]:
        return None
    sizes = dict(zip(terms[0], shape, strict=True))
    lengths = (*(sizes[label] for label in shared), None, None)
    first, second = (View(lengths, index, is_made=True) for index in one.inputs)
    return one.to("BATCH_MATMUL", first, second)


def _normalization(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a batch normalization, or of one over what a batch is made of.

    tf_keras normalizes layers as batches: what is normalized together is one channel.
    """
    shape = one.shapes[0]
    if not one.node.number("is_training", 1):
        return one.to("MUL", one.inputs[0], one.inputs[1]) if not any(one.is_made[1:]) else None
    if shape is None or len(shape) != 4 or one.is_made[1] or one.is_made[2]:
        return None
    is_last = one.node.text("data_format", "NHWC") == "NHWC"
    lengths = shape[:3] if is_last else (shape[0], *shape[2:])
    return one.to(
        "NORMALIZE", one.inputs[0], View(tuple(lengths)), epsilon=one.node.real("epsilon", 1e-4)
    )


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
    "AvgPool": _pooling("AVERAGE_POOL_2D"),
    "BatchMatMul": _product,
    "BatchMatMulV2": _product,
    "BatchMatMulV3": _product,
    "BatchToSpaceND": _to_batch,
    "BiasAdd": _named("ADD"),
    "BroadcastTo": _first("BROADCAST_TO"),
    "Cast": _named("CAST"),
    "ConcatV2": _joined,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "DepthwiseConv2dNative": _convolution,
    "Div": _arithmetic("DIV", 1),
    "DivNoNan": _quotient,
    "Einsum": _einsum,
    "Elu": _named("ELU"),
    "Equal": _named("EQUAL"),
    "Exp": _named("EXP"),
    "ExpandDims": _first("EXPAND_DIMS"),
    "FusedBatchNorm": _normalization,
    "FusedBatchNormV2": _normalization,
    "FusedBatchNormV3": _normalization,
    "GatherV2": _looked_up,
    "Greater": _named("GREATER"),
    "LeakyRelu": lambda one: one.to("LEAKY_RELU", alpha=one.node.real("alpha", 0.2)),
    "Less": _named("LESS"),
    "Log": _named("LOG"),
    "LogSoftmax": _named("LOG_SOFTMAX"),
    "LogicalAnd": _both,
    "LogicalNot": _named("LOGICAL_NOT"),
    "LogicalOr": _named("LOGICAL_OR"),
    "MatMul": _matrix,
    "Max": _reduced("REDUCE_MAX"),
    "MaxPool": _pooling("MAX_POOL_2D"),
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
    "Square": _named("SQUARE"),
    "SquaredDifference": _named("SQUARED_DIFFERENCE"),
    "Squeeze": _first("SQUEEZE"),
    "StridedSlice": _sliced,
    "Sub": _arithmetic("SUB", 0),
    "Sum": _reduced("SUM"),
    "Tanh": _named("TANH"),
    "Tile": _named("TILE"),
    "Transpose": _named("TRANSPOSE"),
    "Unpack": _named("UNPACK"),
    "ZerosLike": _named("ZEROS_LIKE"),
}
