"""What activations make of zero and of other numbers, to follow channels that are constant.

Formulas are those of both Kerases; a function that differs between them, or has settings, is left
out, so that its constants are not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.classes.lengths import Config

Values = NDArray[np.float64]
Function = Callable[[Values], Values]
Made = Sequence[int | None]
"""The axes of a kernel that a result has, in the result's order, negative ones from the end; None
for an axis of the result that the kernel does not have.
"""
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


def sums_over(kernel: Values, read: int, constants: Values, made: Made) -> Values:
    """Return what a kernel makes of constant channels, summed over all axes but those of `made`.

    Args:
        kernel: The kernel.
        read: Its axis of the channels that it reads.
        constants: The values of these channels.
        made: The axes of the result; those that the kernel does not have get the length 1.

    Example:
        >>> sums_over(np.array([[1.0, 2.0], [3.0, 4.0]]), 0, np.array([10.0, 1.0]), [1]).tolist()
        [13.0, 24.0]
    """
    read %= kernel.ndim
    axes = [axis % kernel.ndim for axis in made if axis is not None]
    summed = tuple(axis for axis in range(kernel.ndim) if axis not in (*axes, read))
    left = sorted(axis for axis in range(kernel.ndim) if axis not in summed)
    sums = np.tensordot(constants, kernel.sum(summed), (0, left.index(read)))
    left.remove(read)
    found: Values = sums.transpose([left.index(axis) for axis in axes])
    return found.reshape(made_shape(kernel.shape, made))


def made_shape(kernel: Sequence[int], made: Made) -> tuple[int, ...]:
    """Return the lengths of the axes that a result has of a kernel's, 1 for the others.

    Example:
        >>> made_shape((3, 3, 4, 8), [None, -1])
        (1, 8)
    """
    return tuple(1 if axis is None else kernel[axis] for axis in made)


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


def is_linear(activation: Any) -> bool:
    """Return whether an activation in a config is known to leave each value as it is.

    Example:
        >>> is_linear(None), is_linear("linear"), is_linear("relu")
        (True, True, False)
    """
    return function_of(activation) in (FUNCTIONS[None], FUNCTIONS["linear"])


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


Effect = Literal["keeps zero", "fills", "mixes"]

_KEEP_ZERO = (
    "linear relu relu6 tanh swish silu gelu elu selu celu leaky_relu softsign hard_swish hard_silu"
    " hard_tanh tanh_shrink soft_shrink hard_shrink mish"
)
_FILL = (
    "sigmoid hard_sigmoid softplus exponential exp log_sigmoid squareplus sparse_plus"
    " sparse_sigmoid"
)
_EFFECTS: Mapping[Any, Effect] = {
    **dict.fromkeys(_KEEP_ZERO.split(), "keeps zero"),
    **dict.fromkeys(_FILL.split(), "fills"),
}


def effect_of(activation: Any) -> Effect:
    """Return what an activation in a config does with channels.

    It keeps zeros, gives something else for zeros, or may mix channels; an unknown one may.

    Example:
        >>> [effect_of(name) for name in (None, "swish", "sigmoid", "softmax", "mine")]
        ['keeps zero', 'keeps zero', 'fills', 'mixes', 'mixes']
    """
    if activation is None:
        return "keeps zero"
    if isinstance(activation, Mapping):
        if str(activation.get("module") or "builtins").split(".")[0] not in (
            "builtins",
            "keras",
            "tf_keras",
        ):
            return "mixes"
        kind, config = activation.get("class_name"), activation.get("config")
        if kind == "function":
            activation = config
        elif isinstance(config, Mapping) and kind in SLOPED:
            return "keeps zero" if SLOPED[kind](config) else "fills"
    return _EFFECTS.get(activation, "mixes") if isinstance(activation, str) else "mixes"


def _cut_keeps_zero(config: Config) -> bool:
    """Return whether a ReLU with bounds is zero at zero."""
    most, threshold = config.get("max_value"), config.get("threshold") or 0.0
    return threshold == 0 and (most is None or most >= 0)


SLOPED: Mapping[Any, Callable[[Config], bool]] = {
    "ReLU": _cut_keeps_zero,
    "LeakyReLU": lambda _config: True,
    "ELU": lambda _config: True,
    "PReLU": lambda _config: True,
    "ThresholdedReLU": lambda _config: True,
}
"""Layers that are activations: whether they are zero at zero."""
