"""What activations make of a number, to follow channels that are constant.

Formulas are those of both Kerases; a function that differs between them, or has settings, is left
out, so that its constants are not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.classes.lengths import Config

Values = NDArray[np.float64]
Function = Callable[[Values], Values]
_SELU = 1.0507009873554805, 1.6732632423543772
"""Scale and alpha of SELU (Klambauer et al., 2017, arXiv:1706.02515)."""
_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Values) -> Values:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _elu(x: Values) -> Values:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


FUNCTIONS: Mapping[Any, Function] = {
    None: lambda x: x,
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "swish": lambda x: x * _sigmoid(x),
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + _ERF(x / math.sqrt(2))),
    "elu": _elu,
    "selu": lambda x: _SELU[0] * np.where(x > 0, x, _SELU[1] * np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
}
"""The functions of activations by their names in configs."""


def sums_over(kernel: Values, axes: tuple[int, int], constants: Values) -> Values:
    """Return what a kernel makes of constant channels, at all places of space.

    Args:
        kernel: The kernel.
        axes: Its axes of read and of made channels.
        constants: The values of the channels that it reads.

    Example:
        >>> sums_over(np.array([[1.0, 2.0], [3.0, 4.0]]), (0, 1), np.array([10.0, 1.0])).tolist()
        [13.0, 24.0]
    """
    read, made = (axis % kernel.ndim for axis in axes)
    lines = np.moveaxis(kernel, (read, made), (-2, -1)).reshape(
        -1, *constants.shape, kernel.shape[made]
    )
    found: Values = constants @ lines.sum(0)
    return found


def function_of(activation: Any) -> Function | None:
    """Return the function of an activation in a config; None for one that is not known.

    Example:
        >>> [float(function_of(name)(np.array(-2.0))) for name in (None, "relu")]
        [-2.0, 0.0]
    """
    if isinstance(activation, Mapping) and activation.get("class_name") == "function":
        module = str(activation.get("module") or "builtins").split(".")[0]
        is_own = module in ("builtins", "keras", "tf_keras")
        activation = activation.get("config") if is_own else activation
    is_name = activation is None or isinstance(activation, str)
    return FUNCTIONS.get(activation) if is_name else None


def rectifier(config: Config) -> Function | None:
    """Return the function of a ReLU layer without slope and threshold; None for others."""
    if config.get("threshold") or config.get("negative_slope"):
        return None
    most = config.get("max_value")
    return lambda x: np.clip(x, 0, np.inf if most is None else most)


def leaky_rectifier(config: Config) -> Function:
    """Return the function of a LeakyReLU layer."""
    slope = config.get("negative_slope", config.get("alpha", 0.3))
    return lambda x: np.where(x > 0, x, slope * x)
