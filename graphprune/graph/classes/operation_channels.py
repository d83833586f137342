"""Channel rules of operations: layers that Keras makes of calls of functions, as in `x + y`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphprune.archive.operations import by_function
from graphprune.graph.classes.channel_rules import join, merge, permute
from graphprune.graph.classes.channels import ChannelCall, Channels, along_last
from graphprune.graph.classes.constants import FUNCTIONS, Function, Values, leaky_rectifier
from graphprune.graph.shapes.axis_lengths import size_of
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
_BY_NUMBER: Mapping[str, tuple[str, Callable[[Values, float], Values], Callable[[float], bool]]] = {
    "TrueDivide": (
        "divides by them, or by something else than a number",
        np.divide,
        lambda number: number != 0,
    ),
    "Power": (
        "raises them to a power that is not a number, or a number to them",
        np.power,
        lambda number: number > 0,
    ),
}
"""Operations whose second operand must be a number: why channels stay if it is not, the function,
and whether it is zero for zero and this number.
"""
_COMBINED: Mapping[str, Callable[[Any, Any], Values]] = {
    "Add": np.add,
    "Subtract": np.subtract,
    "Multiply": np.multiply,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
}
_FUNCTIONS: Mapping[str, Function] = {
    "Relu": FUNCTIONS["relu"],
    "Relu6": FUNCTIONS["relu6"],
    "Silu": FUNCTIONS["silu"],
    "Gelu": FUNCTIONS["gelu"],
    "Elu": FUNCTIONS["elu"],
    "Selu": FUNCTIONS["selu"],
    "Tanh": FUNCTIONS["tanh"],
    "Softsign": FUNCTIONS["softsign"],
    "Sigmoid": FUNCTIONS["sigmoid"],
    "Softplus": FUNCTIONS["softplus"],
    "Exp": np.exp,
    "Negative": np.negative,
    "Absolute": np.abs,
    "Square": np.square,
    "Sqrt": np.sqrt,
    "Sin": np.sin,
    "Cos": np.cos,
    "StopGradient": FUNCTIONS["linear"],
    "ZerosLike": np.zeros_like,
    "OnesLike": np.ones_like,
}
"""The functions of operations of one operand, without settings. Those with steps (Floor, Sign) are
left out: rounding would decide on which side a constant is.
"""
_REDUCTIONS = frozenset(("Mean", "Sum", "Max", "Min"))


def operation_channels(call: ChannelCall) -> Result:
    """Apply the rule of the operation that a layer calls."""
    operation = by_function().get(str(call.config.get("function")).removeprefix("compat.v1."))
    details, name = call.operation, "" if operation is None else operation.name
    rule = _RULES.get(name)
    if rule is None or details is None or details.mixed:
        return call.keep_all("is an operation whose effect on channels is not known")
    return [rule(call, details, name)]


def _each_value(call: ChannelCall, details: OperationCall, name: str) -> Channels | None:
    return _changed(call, _function_of(name, details), keeps_zero=name in _KEEP_ZERO.split())


def _function_of(name: str, details: OperationCall) -> Function | None:
    """Return the function of an operation of one operand; None where a setting is not known."""
    given = _settings(details)
    if details.constants:
        return None
    if name == "LeakyRelu":
        return leaky_rectifier({"alpha": given.get("alpha", 0.2)})
    if name == "Cast":
        return FUNCTIONS["linear"] if given.get("dtype") in ("float32", "float64") else None
    return None if any(given.values()) else _FUNCTIONS.get(name)


def _settings(details: OperationCall) -> dict[str, Any]:
    """Return the settings of a call that say what it computes."""
    return {
        key: value for key, value in details.settings.items() if key != "name" and value is not None
    }


def _changed(call: ChannelCall, function: Function | None, *, keeps_zero: bool) -> Channels | None:
    """Return the channels behind a function of each value; None for one that is not known."""
    channels = call.first
    return None if channels is None else call.applied(channels, function, keeps_zero=keeps_zero)


def _pair(call: ChannelCall, details: OperationCall, name: str) -> Channels | None:
    """Return the channels of an operation on two tensors, or on a tensor and a number."""
    combined = _COMBINED[name]
    if len(call.taken) > 1:
        is_product = name == "Multiply"
        return merge(call, lambda values: combined(*values), absorbs_zero=is_product)
    numbers = [*_settings(details).values(), *details.constants]
    if len(numbers) != 1 or not isinstance(numbers[0], int | float):
        call.keep_all("calculates with constants that may be one for each of them")
        return None
    number = float(numbers[0])
    is_second = "y" in call.arguments
    is_told = is_second or not details.constants or name != "Subtract"

    def function(values: Values) -> Values:
        return combined(number, values) if is_second else combined(values, number)

    return _changed(call, function if is_told else None, keeps_zero=_WITH_NUMBER[name](number))


def _by_number(call: ChannelCall, details: OperationCall, name: str) -> Channels | None:
    """Return the channels of a division or a power; its second operand must be a number."""
    number, (text, combined, keeps_zero) = details.settings.get("y"), _BY_NUMBER[name]
    if len(call.taken) > 1 or details.constants or not isinstance(number, int | float):
        call.keep_all(text)
        return None
    return _changed(
        call, lambda values: combined(values, float(number)), keeps_zero=keeps_zero(number)
    )


def _clipped(call: ChannelCall, details: OperationCall, _name: str) -> Channels | None:
    ends = [details.settings.get(f"clip_value_{end}") for end in ("min", "max")]
    if not all(isinstance(end, int | float) for end in ends):
        call.keep_all("clips them to bounds that are not numbers")
        return None
    low, high = (float(end) for end in ends if end is not None)
    return _changed(call, lambda values: np.clip(values, low, high), keeps_zero=low <= 0 <= high)


def _joined(call: ChannelCall, details: OperationCall, _name: str) -> Channels | None:
    if details.constants or details.named:
        call.keep_all("joins them with constants")
        return None
    return join(call, details.settings.get("axis", 0))


def _reduced(call: ChannelCall, details: OperationCall, name: str) -> Channels | None:
    channels, axis = call.first, details.settings.get("axis")
    shape = call.shapes[0]
    if channels is None or shape is None:
        return None
    axes = [_one(each, call) for each in (axis if isinstance(axis, list | tuple) else [axis])]
    gone = {each for each in axes if each is not None}
    if None in axes or channels.axis in gone:
        call.keep(channels, "sums over them, or over axes that are not known")
        return None
    places = size_of([shape[each] for each in gone])
    times = places if name == "Sum" else 1
    channels = replace(channels, value=None if times is None else times * channels.constants)
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
    **dict.fromkeys(_BY_NUMBER, _by_number),
    "Clip": _clipped,
    "Concatenate": _joined,
    "Transpose": _transposed,
}
