"""Values of operations that do not depend on the inputs of a model, such as shapes and masks.

A length that is open is None, and so is what is computed of it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.saved_model.graph_def import Lengths, Node

Values = NDArray[Any]
"""Numbers, truths and None, in an array of objects."""
MAX_FOLDED = 2**18
"""Values of an array that is computed."""


def fold(
    node: Node, taken: Sequence[Values | None], shapes: Sequence[Lengths | None]
) -> Values | None:
    """Return the values of an operation's first result; None where they are not known.

    Args:
        node: The operation.
        taken: The values that it takes; None where they are not known.
        shapes: The shapes of what it takes.
    """
    if node.kind == "Const":
        values = node.constant()
        return None if values is None or values.size > MAX_FOLDED else values.astype(object)
    if node.kind == "Shape" and shapes and shapes[0] is not None:
        return _array(shapes[0])
    rule = _RULES.get(node.kind)
    if rule is None or not taken or any(each is None for each in taken):
        return None
    try:
        found = rule(node, [each for each in taken if each is not None])
    except (ArithmeticError, LookupError, TypeError, ValueError):  # of open lengths
        return None
    return None if found is None or found.size > MAX_FOLDED else found


def _array(values: Sequence[Any] | Values) -> Values:
    made = np.empty(len(values), object)
    made[:] = list(values)
    return made


def _scalar(value: Any) -> Values:
    made = np.empty((), object)
    made[()] = value
    return made


def _each(function: Callable[..., Any]) -> Callable[[Node, Sequence[Values]], Values]:
    """Return the rule of an operation on each value; None gives None."""

    def known(*values: Any) -> Any:
        return None if None in values else function(*values)

    def rule(_node: Node, taken: Sequence[Values]) -> Values:
        if math.prod(np.broadcast_shapes(*(each.shape for each in taken))) > MAX_FOLDED:
            raise ValueError("too many values")
        made = np.frompyfunc(known, len(taken), 1)(*taken)
        return made if isinstance(made, np.ndarray) else _scalar(made)

    return rule


def _ints(values: Values) -> list[int]:
    return [operator.index(value) for value in values.reshape(-1)]


def _sliced(node: Node, taken: Sequence[Values]) -> Values | None:
    source, *parts = taken
    begin, end, stride = map(_ints, parts)
    if node.number("ellipsis_mask"):
        return None
    masks = {key: node.number(f"{key}_mask") for key in ("begin", "end", "shrink_axis", "new_axis")}
    at: list[Any] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        if masks["new_axis"] >> axis & 1:
            at.append(None)
        elif masks["shrink_axis"] >> axis & 1:
            at.append(first)
        else:
            opened = (masks[key] >> axis & 1 for key in ("begin", "end"))
            first_, last_ = (
                None if is_open else place
                for is_open, place in zip(opened, (first, last), strict=True)
            )
            at.append(slice(first_, last_, step))
    found = source[tuple(at)]
    return found if isinstance(found, np.ndarray) else _scalar(found)


def _packed(node: Node, taken: Sequence[Values]) -> Values:
    return np.stack(taken, node.number("axis"))


def _reduced(function: Callable[[Sequence[Any]], Any]) -> Callable[..., Values | None]:
    """Return the rule of a reduction of a vector to one value."""

    def rule(_node: Node, taken: Sequence[Values]) -> Values | None:
        values = taken[0].reshape(-1)
        is_whole = taken[0].ndim <= 1 and len(taken[1].reshape(-1)) == taken[0].ndim
        if not is_whole:
            return None
        return _scalar(None if None in values.tolist() else function(values.tolist()))

    return rule


def _range(_node: Node, taken: Sequence[Values]) -> Values:
    start, stop, step = (each[()] for each in taken)
    if len(range(start, stop, step)) > MAX_FOLDED:
        raise ValueError("too many values")
    return _array(range(start, stop, step))


def _filled(_node: Node, taken: Sequence[Values]) -> Values:
    lengths = _ints(taken[0])
    if math.prod(lengths) > MAX_FOLDED:
        raise ValueError("too many values")
    return np.full(lengths, taken[1][()], object)


def _reshaped(_node: Node, taken: Sequence[Values]) -> Values:
    return taken[0].reshape(_ints(taken[1]))


def _summed(node: Node, taken: Sequence[Values]) -> Values | None:
    if node.number("exclusive") or node.number("reverse"):
        return None
    return np.cumsum(taken[0], axis=_ints(taken[1])[0], dtype=object)


def _cast(node: Node, taken: Sequence[Values]) -> Values:
    target = {10: bool, 1: float, 2: float, 14: float, 19: float}.get(node.number("DstT"), int)
    return _each(target)(node, taken)


def _tiled(_node: Node, taken: Sequence[Values]) -> Values:
    times = _ints(taken[1])
    if taken[0].size * math.prod(times) > MAX_FOLDED:
        raise ValueError("too many values")
    return np.tile(taken[0], times)


def _banded(_node: Node, taken: Sequence[Values]) -> Values:
    below, above = (each[()] for each in taken[1:3])
    rows, columns = np.indices(taken[0].shape[-2:])
    kept = ((below < 0) | (rows - columns <= below)) & ((above < 0) | (columns - rows <= above))
    zero = False if isinstance(taken[0].reshape(-1)[0], bool) else 0
    return np.where(kept, taken[0], zero).astype(object)


def fold_uniform(node: Node, taken: Sequence[float | None], count: int | None) -> float | None:
    """Return the one value of a tensor of any lengths; None where that is not known.

    Args:
        node: The operation that makes it.
        taken: The one value of each tensor that it takes; None where there are several.
        count: How many of them a sum is over; None where that is not known.

    Example:
        >>> fold_uniform(Node("", "Sum", (), {}), [1.0, None], 6)
        6.0
    """
    kind = node.kind
    if kind in ("OnesLike", "ZerosLike"):
        return float(kind == "OnesLike")
    first = taken[0] if taken else None
    if kind in ("Reshape", "Cast", "BroadcastTo"):
        return first
    if kind == "Sum":
        return None if first is None or count is None else first * count
    if kind not in ("Add", "AddV2", "Mul") or len(taken) != 2:
        return None
    one, two = taken
    if one is None or two is None:
        return None
    return one * two if kind == "Mul" else one + two


_RULES: Mapping[str, Callable[[Node, Sequence[Values]], Values | None]] = {
    "Add": _each(operator.add),
    "AddV2": _each(operator.add),
    "BroadcastTo": lambda _node, taken: (
        np.broadcast_to(taken[0], _ints(taken[1]))
        if math.prod(_ints(taken[1])) <= MAX_FOLDED
        else None
    ),
    "Cast": _cast,
    "ConcatV2": lambda _node, taken: np.concatenate(taken[:-1], taken[-1][()]),
    "Cumsum": _summed,
    "Equal": _each(operator.eq),
    "ExpandDims": lambda _node, taken: np.expand_dims(taken[0], _ints(taken[1])[0]),
    "Fill": _filled,
    "FloorDiv": _each(operator.floordiv),
    "FloorMod": _each(operator.mod),
    "GatherV2": lambda _node, taken: np.asarray(
        np.take(taken[0], np.array(_ints(taken[1])).reshape(taken[1].shape), axis=taken[2][()]),
        object,
    ),
    "Greater": _each(operator.gt),
    "GreaterEqual": _each(operator.ge),
    "Less": _each(operator.lt),
    "LessEqual": _each(operator.le),
    "LogicalAnd": _each(lambda one, two: one and two),
    "LogicalNot": _each(operator.not_),
    "LogicalOr": _each(lambda one, two: one or two),
    "MatrixBandPart": _banded,
    "Max": _reduced(max),
    "Maximum": _each(max),
    "Minimum": _each(min),
    "Mul": _each(operator.mul),
    "Neg": _each(operator.neg),
    "NotEqual": _each(operator.ne),
    "Pack": _packed,
    "Prod": _reduced(math.prod),
    "OnesLike": _each(lambda _value: 1),
    "Range": _range,
    "RealDiv": _each(operator.truediv),
    "Reshape": _reshaped,
    "Rsqrt": _each(lambda value: 1 / math.sqrt(value)),
    "Select": _each(lambda test, one, two: one if test else two),
    "SelectV2": _each(lambda test, one, two: one if test else two),
    "Sqrt": _each(math.sqrt),
    "Squeeze": lambda node, taken: np.squeeze(taken[0], node.numbers("squeeze_dims") or None),
    "StridedSlice": _sliced,
    "Sub": _each(operator.sub),
    "Sum": _reduced(sum),
    "Tile": _tiled,
    "Transpose": lambda _node, taken: np.transpose(taken[0], _ints(taken[1])),
    "ZerosLike": _each(lambda _value: 0),
}
