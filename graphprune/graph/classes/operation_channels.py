"""Channel rules of operations: layers that Keras makes of calls of functions, as in `x + y`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.archive.operations import by_function
from graphprune.graph.classes.channel_rules import join, merge, permute
from graphprune.graph.classes.channels import ChannelCall, Channels, along_last
from graphprune.graph.shapes.operation_calls import OperationCall

Result = Sequence[Channels | None]

_KEEP_ZERO = (
    "Relu Relu6 Silu Gelu Elu Selu LeakyRelu Tanh Softsign Negative Absolute Square Sqrt Sin Sign"
    " Floor Ceil Cast StopGradient ZerosLike"
)
_FILL = "Sigmoid Softplus Exp Cos OnesLike"

_WITH_NUMBER: Mapping[str, Callable[[float], bool]] = {
    "Add": lambda number: number == 0,
    "Subtract": lambda number: number == 0,
    "Multiply": lambda _number: True,
    "Maximum": lambda number: number <= 0,
    "Minimum": lambda number: number >= 0,
}
"""Operations of two operands: whether they are zero for zero and a number."""
_REDUCTIONS = frozenset(("Mean", "Sum", "Max", "Min"))


def operation_channels(call: ChannelCall) -> Result:
    """Apply the rule of the operation that a layer calls."""
    operation = by_function().get(str(call.config.get("function")).removeprefix("compat.v1."))
    details, name = call.operation, "" if operation is None else operation.name
    rule = _RULES.get(name)
    if rule is None or details is None or details.mixed:
        return call.keep_all("is an operation whose effect on channels is not known")
    return [rule(call, details, name)]


def _each_value(call: ChannelCall, _details: OperationCall, name: str) -> Channels | None:
    return _changed(call, keeps_zero=name in _KEEP_ZERO.split())


def _changed(call: ChannelCall, *, keeps_zero: bool) -> Channels | None:
    """Return the channels behind a function of each value."""
    channels = call.first
    return None if channels is None else call.applied(channels, None, keeps_zero=keeps_zero)


def _pair(call: ChannelCall, details: OperationCall, name: str) -> Channels | None:
    """Return the channels of an operation on two tensors, or on a tensor and a number."""
    if len(call.taken) > 1:
        return merge(call, absorbs_zero=name == "Multiply")
    numbers = [
        value for key, value in details.settings.items() if key != "name" and value is not None
    ] + list(details.constants)
    if len(numbers) != 1 or not isinstance(numbers[0], int | float):
        call.keep_all("calculates with constants that may be one for each of them")
        return None
    return _changed(call, keeps_zero=_WITH_NUMBER[name](numbers[0]))


def _divided(call: ChannelCall, details: OperationCall, _name: str) -> Channels | None:
    """Return the channels of a division; only by a number other than 0 zeros stay zeros."""
    number = details.settings.get("y")
    if len(call.taken) > 1 or details.constants or not isinstance(number, int | float):
        call.keep_all("divides by them, or by something else than a number")
        return None
    return _changed(call, keeps_zero=number != 0)


def _clipped(call: ChannelCall, details: OperationCall, _name: str) -> Channels | None:
    ends = [details.settings.get(f"clip_value_{end}") for end in ("min", "max")]
    if not all(isinstance(end, int | float) for end in ends):
        call.keep_all("clips them to bounds that are not numbers")
        return None
    low, high = (float(end) for end in ends if end is not None)
    return _changed(call, keeps_zero=low <= 0 <= high)


def _joined(call: ChannelCall, details: OperationCall, _name: str) -> Channels | None:
    if details.constants or details.named:
        call.keep_all("joins them with constants")
        return None
    return join(call, details.settings.get("axis", 0))


def _reduced(call: ChannelCall, details: OperationCall, _name: str) -> Channels | None:
    channels, axis = call.first, details.settings.get("axis")
    if channels is None:
        return None
    axes = [_one(each, call) for each in (axis if isinstance(axis, list | tuple) else [axis])]
    gone = {each for each in axes if each is not None}
    if None in axes or channels.axis in gone:
        call.keep(channels, "sums over them, or over axes that are not known")
        return None
    channels = replace(channels, value=None)
    if details.settings.get("keepdims"):
        return channels
    return replace(channels, axis=channels.axis + sum(each > channels.axis for each in gone))


def _one(axis: Any, call: ChannelCall) -> int | None:
    return along_last(axis, call.shapes[0])


def _transposed(call: ChannelCall, details: OperationCall, _name: str) -> Channels | None:
    order = details.settings.get("perm")
    if not isinstance(order, list | tuple):
        call.keep_all("puts axes in an order that is not known")
        return None
    return permute(call, order)


_RULES: Mapping[str, Callable[[ChannelCall, OperationCall, str], Channels | None]] = {
    **dict.fromkeys(f"{_KEEP_ZERO} {_FILL}".split(), _each_value),
    **dict.fromkeys(_WITH_NUMBER, _pair),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    "TrueDivide": _divided,
    "Clip": _clipped,
    "Concatenate": _joined,
    "Transpose": _transposed,
}
