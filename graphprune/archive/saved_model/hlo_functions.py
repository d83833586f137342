"""Activations in a StableHLO module, told by their values.

JAX writes an activation as several operations, such as a polynomial for the `erfc` in a GELU. They
are computed for some numbers, and the results compared with those of known activations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.saved_model.stable_hlo import HloModule, HloOperation, wrong_tensors_named

Number = float | int | bool
_Array = NDArray[Any]
_NEAR = 2e-5
_LARGEST = 200.0
_GRID = np.concatenate([np.linspace(-12, 12, 97), [-2.75, -0.6, -1e-3, 1e-3, 0.6, _LARGEST]])
_COMPARED: Mapping[str, Callable[..., _Array]] = {
    "EQ": np.equal,
    "GE": np.greater_equal,
    "GT": np.greater,
    "LE": np.less_equal,
    "LT": np.less,
    "NE": np.not_equal,
}
DIRECTION = "comparison_direction"
_ON_EACH: Mapping[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "and": np.bitwise_and,
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "cosine": np.cos,
    "divide": lambda one, two: _quotient(one, two) if _are_whole(one, two) else one / two,
    "exponential": np.exp,
    "exponential_minus_one": np.expm1,
    "floor": np.floor,
    "log": np.log,
    "log_plus_one": np.log1p,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "negate": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "power": np.power,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "select": np.where,
    "sign": np.sign,
    "sine": np.sin,
    "sqrt": np.sqrt,
    "subtract": np.subtract,
    "tanh": np.tanh,
}
"""Operations on each value, but `compare` and `convert`."""
ON_EACH = frozenset((*_ON_EACH, "compare", "convert"))
SPREAD = frozenset(("broadcast_in_dim", "dynamic_broadcast_in_dim", "dynamic_reshape", "reshape"))
"""Operations whose first input is one number if their result is."""


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation, with its factor or limit.

    Attributes:
        kind: Its name.
        of: What it takes.
        figure: Its factor or limit; 0 for one that has none.
    """

    kind: str
    of: int
    figure: float = 0.0


def _are_whole(*values: Any) -> bool:
    return all(isinstance(each, int | np.integer) for each in values)


def _quotient(one: Any, two: Any) -> Any:
    """Return a quotient of whole numbers, which StableHLO rounds towards 0."""
    return np.sign(one) * np.sign(two) * (np.abs(one) // np.abs(two))


def _sigmoid(x: _Array) -> _Array:
    return 1 / (1 + np.exp(-x))


def _softplus(x: _Array) -> _Array:
    return np.logaddexp(0, x)


def _selu(x: _Array) -> _Array:
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))


_KNOWN: Mapping[str, Callable[[_Array], _Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": _sigmoid,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: x / 2 * np.vectorize(math.erfc)(-x / math.sqrt(2)),
    "hard sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "selu": _selu,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "swish": lambda x: x * _sigmoid(x),
}
_WITH_FIGURE: Mapping[str, tuple[float, float, Callable[[_Array, float], _Array]]] = {
    "clip": (_LARGEST, 1, lambda x, limit: np.clip(x, 0, limit)),
    "leaky": (-1, -1, lambda x, slope: np.where(x > 0, x, slope * x)),
    "scaled elu": (-2, math.expm1(-2), lambda x, factor: np.where(x > 0, x, factor * np.expm1(x))),
}
"""Activations with a figure: their value for one number, for a figure of 1 too, and all values."""


class HloFunctions:
    """What the operations on each value of a module compute.

    Args:
        module: The module.
        operations: Those of the main function or of a body, in their order.
        numbers: The values from outside that are one number everywhere.

    Attributes:
        numbers: The values that are one number everywhere.
    """

    def __init__(
        self,
        module: HloModule,
        operations: Sequence[HloOperation],
        numbers: Mapping[int, Number] | None = None,
    ) -> None:
        self.numbers: dict[int, Number] = dict(numbers or {})
        self._module = module
        self._operations = operations
        self._roots: dict[int, int] = {}
        self._layers = {one.outputs[0]: one.layer for one in operations if one.outputs}
        self._regions: dict[int, list[HloOperation]] = {}
        with np.errstate(all="ignore"):
            for operation in operations:
                if len(operation.outputs) == 1:
                    with wrong_tensors_named(operation):
                        self._add(operation, operation.outputs[0])

    def _add(self, operation: HloOperation, made: int) -> None:
        if operation.kind == "constant":
            values: Sequence[Number] = operation.settings.get("value") or ()
            if len(values) == 1:
                self.numbers[made] = values[0]
        elif operation.kind in SPREAD:
            if operation.inputs[0] in self.numbers:
                self.numbers[made] = self.numbers[operation.inputs[0]]
        elif operation.kind == "get_dimension_size":
            shape = self._module.values[operation.inputs[0]].shape or ()
            length = shape[operation.settings["dimension"]]
            if length is not None:
                self.numbers[made] = length
        elif operation.kind in ON_EACH:
            self._add_on_each(operation, made)

    def _add_on_each(self, operation: HloOperation, made: int) -> None:
        taken = [index for index in operation.inputs if index not in self.numbers]
        if not taken:
            values = [np.asarray(self.numbers[index])[()] for index in operation.inputs]
            with suppress(TypeError, ValueError):  # such as 2 ** -1 of whole numbers
                self.numbers[made] = np.asarray(self._computed(operation, values)).item()
            return
        roots = {self._root_of(index, operation.layer) for index in taken}
        if len(roots) == 1:
            (root,) = roots
            self._roots[made] = root
            self._regions.setdefault(root, []).append(operation)

    def _root_of(self, index: int, layer: str) -> int:
        """Return what a value is computed of by the operations on each value of a layer."""
        is_inside = index in self._roots and self._layers.get(index) == layer
        return self._roots[index] if is_inside else index

    def _computed(self, operation: HloOperation, values: Sequence[Any]) -> Any:
        if operation.kind == "compare":
            return _COMPARED[operation.settings[DIRECTION]](*values)
        if operation.kind == "convert":
            (value,) = values
            dtype = self._module.values[operation.outputs[0]].dtype
            kind: Any = {"i1": np.bool_}.get(dtype, np.float64 if "f" in dtype else np.int64)
            return np.asarray(value).astype(kind)[()]
        return _ON_EACH[operation.kind](*values)

    @cached_property
    def activations(self) -> Mapping[int, Activation]:
        """The activations, by the values that they make."""
        return dict(self._find())

    def _find(self) -> Iterator[tuple[int, Activation]]:
        users: dict[int, list[HloOperation]] = {}
        for operation in self._operations:
            for index in operation.inputs:
                users.setdefault(index, []).append(operation)
        for root, region in self._regions.items():
            inside = {one.outputs[0] for one in region}
            ends = [
                one.outputs[0]
                for one in region
                if not inside.issuperset(
                    user.outputs[0] if user.outputs else -1
                    for user in users.get(one.outputs[0], ())
                )
                or one.outputs[0] not in users
            ]
            values = self._values_in(root, region)
            for end in ends:
                found = _recognize(values[end]) if end in values else None
                if found is not None:
                    yield end, Activation(found[0], root, found[1])

    def _values_in(self, root: int, region: Sequence[HloOperation]) -> Mapping[int, _Array]:
        """Return what a region makes of some numbers."""
        known: dict[int, Any] = {root: _GRID}
        with np.errstate(all="ignore"):
            for operation in region:
                taken = [known.get(index, self.numbers.get(index)) for index in operation.inputs]
                try:
                    known[operation.outputs[0]] = np.broadcast_to(
                        self._computed(operation, taken), _GRID.shape
                    )
                except TypeError:  # of truths or whole numbers
                    return {}
        return known


def _recognize(values: _Array) -> tuple[str, float] | None:
    """Return the activation that has these values, and its figure."""
    with np.errstate(all="ignore"):
        for kind, function in _KNOWN.items():
            if _are_near(values, function(_GRID)):
                return kind, 0.0
        for kind, (place, unit, curve) in _WITH_FIGURE.items():
            figure = float(values[place == _GRID][0]) / unit
            if abs(figure) not in (0, 1) and _are_near(values, curve(_GRID, figure)):
                return kind, figure
    return None


def _are_near(values: _Array, wanted: _Array) -> bool:
    return bool(np.allclose(values, wanted, rtol=_NEAR, atol=_NEAR))
