"""What several operations of a StableHLO module are together: means, poolings and softmaxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from graphprune.archive.saved_model.hlo_functions import SPREAD
from graphprune.archive.saved_model.hlo_products import window
from graphprune.archive.saved_model.hlo_writing import HloWriter
from graphprune.archive.saved_model.stable_hlo import HloOperation

_PASSED = SPREAD | {"convert", "transpose"}


def _back(one: HloWriter, number: int) -> HloOperation | None:
    """Return what makes a value, behind operations that repeat, reshape or limit it."""
    maker = one.makers.get(number)
    while maker is not None:
        if maker.kind in _PASSED:
            maker = one.makers.get(maker.inputs[0])
        elif maker.kind == "maximum" and len(_taken(one, maker)) == 1:
            maker = one.makers.get(_taken(one, maker)[0])
        else:
            return maker
    return None


def _taken(one: HloWriter, operation: HloOperation) -> list[int]:
    return [index for index in operation.inputs if index not in one.numbers]


def _reduction(one: HloWriter, number: int, kind: str) -> HloOperation | None:
    """Return the reduction that a value is, if it is one of a kind."""
    maker = _back(one, number)
    if maker is None or maker.kind not in ("reduce", "reduce_window") or len(maker.inputs) != 2:
        return None
    kinds = [each.kind for block in maker.blocks for each in block.operations]
    return maker if kinds == [kind] else None


def _mean(one: HloWriter, operation: HloOperation) -> int | None:
    """Add the mean that a sum is when divided by how many values it is of."""
    summed = _reduction(one, operation.inputs[0], "add")
    if summed is None or one.is_made(operation.inputs[1]):
        return None
    source, number = summed.inputs[0], one.numbers.get(operation.inputs[1])
    if summed.kind == "reduce_window":
        size = math.prod(summed.settings["window_dimensions"])
        is_counted = _reduction(one, operation.inputs[1], "add") is not None
        return window(one, summed) if number == size or is_counted else None
    lengths = [one.shape(source)[axis] for axis in summed.settings["dimensions"]]
    known = [length for length in lengths if length is not None]
    if number is None and len(known) == len(lengths):
        return None
    if number is not None and not math.isclose(number, math.prod(known), rel_tol=1e-5):
        return None
    axes = one.constant(summed.settings["dimensions"])
    (made,), (whole,) = summed.outputs, operation.outputs
    mean = one.add("Mean", one.take(source), axes, shape=one.shape(made))
    if len(one.shape(made)) == len(one.shape(whole)):
        return mean
    return one.like(operation, "ExpandDims", mean, one.constant([0]))


def _divided(one: HloWriter, operation: HloOperation) -> int | None:
    found = _mean(one, operation)
    return _softmax(one, operation) if found is None else found


def _softmax(one: HloWriter, operation: HloOperation) -> int | None:
    """Add a softmax: exp(x - max(x)) / sum(exp(x - max(x)))."""
    curve, total = operation.inputs
    summed, maker = _reduction(one, total, "add"), one.makers.get(curve)
    if summed is None or maker is None or maker.kind != "exponential":
        return None
    if _source(one, summed.inputs[0]) != curve:
        return None
    return _along(one, operation, "Softmax", maker.inputs[0], summed)


def _log_softmax(one: HloWriter, operation: HloOperation) -> int | None:
    """Add the logarithm of a softmax: y - log(sum(exp(y))), y = x - max(x)."""
    moved, shift = operation.inputs
    log = _back(one, shift)
    if log is None or log.kind != "log":
        return None
    summed = _reduction(one, log.inputs[0], "add")
    if summed is None:
        return None
    curve = one.makers.get(_source(one, summed.inputs[0]))
    if curve is None or curve.kind != "exponential" or curve.inputs != (moved,):
        return None
    return _along(one, operation, "LogSoftmax", moved, summed)


def _along(
    one: HloWriter, operation: HloOperation, kind: str, moved: int, summed: HloOperation
) -> int | None:
    """Add a softmax along the axis that a sum is over, of what less its maximum is `moved`."""
    distance = one.makers.get(moved)
    axes = summed.settings.get("dimensions", [])
    if distance is None or distance.kind != "subtract" or len(axes) != 1:
        return None
    x, limit = distance.inputs
    largest = _reduction(one, limit, "maximum")
    if largest is None or not _is_along(one, largest, x, axes):
        return None
    rank = len(one.shape(x))
    one.shares |= {*operation.outputs}
    if axes[0] == rank - 1:
        return one.like(operation, kind, one.take(x))
    order = [*range(rank)]
    order[axes[0]], order[-1] = order[-1], order[axes[0]]
    lengths = tuple(one.shape(x)[axis] for axis in order)
    turned = one.add("Transpose", one.take(x), one.constant(order), shape=lengths)
    found = one.add(kind, turned, shape=lengths)
    return one.like(operation, "Transpose", found, one.constant(order))


def _is_along(one: HloWriter, largest: HloOperation, x: int, axes: list[int]) -> bool:
    """Return whether a maximum is that of a tensor along axes, perhaps before it was turned."""
    told = largest.settings.get("dimensions")
    turn = one.makers.get(x)
    if largest.inputs[0] == x or turn is None or turn.kind != "transpose":
        return largest.inputs[0] == x and told == axes
    order = turn.settings["permutation"]
    return turn.inputs == largest.inputs[:1] and told == [order[axis] for axis in axes]


def _source(one: HloWriter, number: int) -> int:
    """Return a value before its type was changed."""
    maker = one.makers.get(number)
    return maker.inputs[0] if maker is not None and maker.kind == "convert" else number


WHOLES: Mapping[str, Callable[[HloWriter, HloOperation], int | None]] = {
    "divide": _divided,
    "subtract": _log_softmax,
}
"""By the last operation."""
