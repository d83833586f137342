"""What single operations of StableHLO become, by their kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from graphprune.archive.saved_model.graph_def import Lengths
from graphprune.archive.saved_model.hlo_functions import DIRECTION, SPREAD, Activation
from graphprune.archive.saved_model.hlo_parts import PARTS, item_of
from graphprune.archive.saved_model.hlo_products import convolution, product, window
from graphprune.archive.saved_model.hlo_writing import DTYPES, HloWriter, Writing
from graphprune.archive.saved_model.stable_hlo import HloOperation

_COMPARED = {
    "EQ": "Equal",
    "GE": "GreaterEqual",
    "GT": "Greater",
    "LE": "LessEqual",
    "LT": "Less",
    "NE": "NotEqual",
}
_REAL = frozenset(DTYPES[name] for name in ("bf16", "f16", "f32", "f64"))
_REDUCED = {"add": "Sum", "and": "All", "maximum": "Max", "minimum": "Min", "or": "Any"}


def _on_each(kind: str) -> Writing:
    return lambda one, operation: one.on_each(operation, kind)


def _multiplied(one: HloWriter, operation: HloOperation) -> int:
    first, second = operation.inputs
    return one.on_each(operation, "Square" if first == second else "Mul")


def _powered(one: HloWriter, operation: HloOperation) -> int:
    base, exponent = operation.inputs
    if one.numbers.get(exponent) == 2:
        return one.like(operation, "Square", one.take(base))
    return one.on_each(operation, "Pow")


def _lowered(one: HloWriter, operation: HloOperation) -> int:
    """Add a minimum; one with a number behind a ReLU is a ReLU of that."""
    numbers = [index for index in operation.inputs if index in one.numbers]
    others = [one.makers.get(index) for index in operation.inputs if index not in one.numbers]
    if len(numbers) == 1 and (before := others[0]) is not None and before.kind == "maximum":
        limit = one.numbers[numbers[0]]
        zeros = [index for index in before.inputs if one.numbers.get(index) == 0]
        below = [index for index in before.inputs if index not in one.numbers]
        if len(zeros) == 1 and len(below) == 1 and limit > 0:
            least = one.add(
                "Minimum", one.take(below[0]), one.constant(limit, 1), shape=one.shape(below[0])
            )
            return one.like(operation, "Relu", least)
    return one.on_each(operation, "Minimum")


def _compared(one: HloWriter, operation: HloOperation) -> int:
    return one.on_each(operation, _COMPARED[operation.settings[DIRECTION]])


def _limited(one: HloWriter, operation: HloOperation) -> int:
    low, x, high = (one.narrow.get(index, one.take(index)) for index in operation.inputs)
    return one.like(operation, "Minimum", one.like(operation, "Maximum", x, low), high)


def _selected(one: HloWriter, operation: HloOperation) -> int:
    """Add a choice; one between something and no number is that, as in a lookup of JAX."""
    test, first, second = operation.inputs
    number = one.numbers.get(second)
    if (truth := one.numbers.get(test)) is not None:
        return one.take(first if truth else second)
    if isinstance(number, float) and math.isnan(number):
        return one.take(first)
    mask = _negated(one, test)
    if mask is not None:  # JAX chooses the state before where a mask does not hold
        choices = [one.narrow.get(index, one.take(index)) for index in (second, first)]
        return one.like(operation, "SelectV2", mask, *choices)
    return one.on_each(operation, "SelectV2")


def _negated(one: HloWriter, test: int) -> int | None:
    """Return the truths that others are the opposite of, repeated along axes; None for others."""
    maker = one.makers.get(test)
    while maker is not None and (maker.kind in SPREAD or _is_of_ones(one, maker)):
        maker = one.makers.get(maker.inputs[0])
    if maker is None or maker.kind != "not" or not one.is_made(maker.inputs[0]):
        return None
    rank, mask = len(one.shape(test)), one.take(maker.inputs[0])
    return mask if len(one.lengths(mask)) == rank and one.lengths(mask)[-1:] == (1,) else None


def _is_of_ones(one: HloWriter, operation: HloOperation) -> bool:
    """Return whether an operation reduces a tensor along axes of length 1 alone."""
    if operation.kind != "reduce" or len(operation.inputs) != 2:
        return False
    lengths = one.shape(operation.inputs[0])
    return all(lengths[axis] == 1 for axis in operation.settings["dimensions"])


def _constant(one: HloWriter, operation: HloOperation) -> int:
    (made,) = operation.outputs
    shape, dtype, values = one.shape(made), one.dtype(made), operation.settings.get("value")
    if values is not None and len(values) == 1 and shape:
        return _filled(one, made, one.constant(values[0], dtype))
    if one.has_weights_inside and shape and dtype in _REAL:
        one.weights.add(made)
        one.name = ""  # as variables have none: what takes it tells the layer
        return one.add("VarHandleOp", shape=shape, dtype=dtype, number=made)
    if values is None:
        return one.add("Const", shape=shape, dtype=dtype)
    return one.constant(_nested(values, shape), dtype)


def _nested(values: Sequence[object], shape: Lengths) -> object:
    found = [*values]
    made = np.empty(len(found), object)
    made[:] = found
    return made.reshape([length or 0 for length in shape])


def _filled(one: HloWriter, made: int, number: int) -> int:
    lengths = one.constant([*one.shape(made)])
    whole = one.add("Fill", lengths, number, shape=one.shape(made), dtype=one.dtype(made))
    one.narrow[made] = number
    return whole


def _length(one: HloWriter, operation: HloOperation) -> int:
    length = one.shape(operation.inputs[0])[operation.settings["dimension"]]
    return one.constant(length)


def _repeated(one: HloWriter, operation: HloOperation) -> int:
    """Add a tensor that is repeated along new axes or along those of length 1."""
    (made,), source = operation.outputs, operation.inputs[0]
    if source in one.numbers:
        return _filled(one, made, one.constant(one.numbers[source], one.dtype(made)))
    axes, after = operation.settings["broadcast_dimensions"], one.shape(made)
    index = one.narrow.get(source, one.take(source))
    before = one.lengths(index)
    before = (1,) * (len(axes) - len(before)) + before
    placed = dict(zip(axes, before, strict=True))
    lengths = tuple(placed.get(axis, 1) for axis in range(len(after)))
    if [*axes] != [*range(len(after) - len(axes), len(after))]:
        index = one.reshaped(index, lengths, one.dtype(made))
    if lengths == after:
        is_short = len(one.lengths(index)) < len(after)
        return one.like(operation, "ExpandDims", index, one.constant([0])) if is_short else index
    return one.repeated(made, index)


def _reshaped(one: HloWriter, operation: HloOperation) -> int:
    (made,), source = operation.outputs, operation.inputs[0]
    before, after = one.shape(source), one.shape(made)
    if source in one.numbers:
        return _filled(one, made, one.constant(one.numbers[source], one.dtype(made)))
    if (item := item_of(one, operation)) is not None:
        return item
    if _without_ones(before) == _without_ones(after):
        kind = "Squeeze" if len(after) < len(before) else "ExpandDims"
        if not one.is_constant(source):
            return one.like(operation, kind, one.take(source), one.constant([0]))
    return one.reshaped(one.take(source), after, one.dtype(made))


def _without_ones(lengths: Lengths) -> list[int | None]:
    return [length for length in lengths if length != 1]


def _transposed(one: HloWriter, operation: HloOperation) -> int:
    (made,), source = operation.outputs, operation.inputs[0]
    order = operation.settings["permutation"]
    turn = one.constant(order)
    narrow = one.narrow.get(source)
    if narrow is None or len(before := one.lengths(narrow)) != len(order):
        return one.like(operation, "Transpose", one.take(source), turn)
    lengths = tuple(before[axis] for axis in order)
    turned = one.add("Transpose", narrow, turn, shape=lengths, dtype=one.dtype(made))
    return one.repeated(made, turned)


def _stacked(one: HloWriter, operation: HloOperation) -> list[int] | None:
    """Return the tensors that a concatenation stacks along a new axis; None for another one."""
    axis = operation.settings["dimension"]
    sources = []
    for number in operation.inputs:
        maker, lengths = one.makers.get(number), one.shape(number)
        is_such = maker is not None and maker.kind in SPREAD and one.is_made(number)
        if maker is None or not is_such or lengths[axis] != 1:
            return None
        if one.shape(maker.inputs[0]) != (*lengths[:axis], *lengths[axis + 1 :]):
            return None
        sources.append(one.take(maker.inputs[0]))
    return sources


def _joined(one: HloWriter, operation: HloOperation) -> int:
    if (stacked := _stacked(one, operation)) is not None:
        return one.like(operation, "Pack", *stacked, axis=operation.settings["dimension"])
    taken = [one.take(index) for index in operation.inputs]
    return one.like(operation, "ConcatV2", *taken, one.constant(operation.settings["dimension"]))


def _reduced(one: HloWriter, operation: HloOperation) -> int | None:
    """Add a reduction of one tensor, whose body is one operation."""
    (body,) = operation.blocks
    kinds = [each.kind for each in body.operations]
    if len(operation.inputs) != 2 or len(kinds) != 1 or kinds[0] not in _REDUCED:
        return None
    lengths, axes = one.shape(operation.inputs[0]), operation.settings["dimensions"]
    if all(lengths[axis] == 1 for axis in axes):
        return one.like(operation, "Squeeze", one.take(operation.inputs[0]))
    axes = one.constant(axes)
    return one.like(operation, _REDUCED[kinds[0]], one.take(operation.inputs[0]), axes)


def _counted(one: HloWriter, operation: HloOperation) -> int:
    (made,) = operation.outputs
    axis, shape = operation.settings["iota_dimension"], one.shape(made)
    if None in shape or math.prod(length or 0 for length in shape) > 2**18:
        return one.like(operation, "Range")
    counted = np.indices([length or 0 for length in shape])[axis]
    return one.constant(counted.tolist(), one.dtype(made))


WRITTEN: Mapping[str, Writing] = {
    "abs": _on_each("Abs"),
    "add": _on_each("AddV2"),
    "and": _on_each("LogicalAnd"),
    "broadcast_in_dim": _repeated,
    "clamp": _limited,
    "compare": _compared,
    "concatenate": _joined,
    "constant": _constant,
    "convert": _on_each("Cast"),
    "convolution": convolution,
    "cosine": _on_each("Cos"),
    "divide": _on_each("RealDiv"),
    "dot_general": product,
    "dynamic_broadcast_in_dim": _repeated,
    "dynamic_reshape": _reshaped,
    "exponential": _on_each("Exp"),
    "get_dimension_size": _length,
    "iota": _counted,
    "log": _on_each("Log"),
    "logistic": _on_each("Sigmoid"),
    "maximum": _on_each("Maximum"),
    "minimum": _lowered,
    "multiply": _multiplied,
    "negate": _on_each("Neg"),
    "not": _on_each("LogicalNot"),
    "or": _on_each("LogicalOr"),
    "power": _powered,
    "reduce": _reduced,
    "reduce_window": window,
    "reshape": _reshaped,
    "rsqrt": _on_each("Rsqrt"),
    "select": _selected,
    "sine": _on_each("Sin"),
    "sqrt": _on_each("Sqrt"),
    "subtract": _on_each("Sub"),
    "tanh": _on_each("Tanh"),
    "transpose": _transposed,
    **PARTS,
}
_PLAIN = {
    "elu": "Elu",
    "relu": "Relu",
    "relu6": "Relu6",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
}


def write_activation(one: HloWriter, operation: HloOperation, found: Activation) -> int:
    """Add an activation as TensorFlow has it, and return its result."""
    x = one.take(found.of)

    def add(kind: str, *inputs: int, **settings: float) -> int:
        return one.like(operation, kind, *inputs, **settings)

    def number(value: float) -> int:
        return one.constant(value, 1)

    if found.kind in _PLAIN:
        return add(_PLAIN[found.kind], x)
    if found.kind == "leaky":
        return add("LeakyRelu", x, alpha=found.figure)
    if found.kind == "clip":
        return add("Relu", add("Minimum", x, number(found.figure)))
    if found.kind == "gelu":
        curve = add("Erfc", add("Mul", x, number(-math.sqrt(0.5))))
        return add("Mul", add("Mul", x, number(0.5)), curve)
    if found.kind == "mish":
        return add("Mul", x, add("Tanh", add("Softplus", x)))
    if found.kind == "swish":
        return add("Mul", x, add("Sigmoid", x))
    if found.kind == "scaled elu":
        curve = add("Elu", x)
        is_above = one.add("Greater", x, number(0.0), shape=one.shape(found.of), dtype=10)
        return add("SelectV2", is_above, curve, add("Mul", curve, number(found.figure)))
    curve = add("Mul", add("Relu6", add("AddV2", x, number(3.0))), number(1 / 6))
    return add("Mul", x, curve) if found.kind == "hard swish" else curve
