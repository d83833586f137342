"""The steps of activations, in layers of their own and at the end of other layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphprune.graph.classes.steps import (
    AFFINE,
    Branch,
    StepCall,
    Steps,
    StepsRule,
    matrix,
    with_figures,
)

CLIP, SCALED_ELU, SOFTMAX = "clip", "scaled elu", "softmax"
ABOVE, BELOW = "zero up to threshold", "less what is below threshold"
"""Two parts of a ReLU with a threshold: it makes smaller values zero, and takes away a share of how
much smaller they are.
"""


def clipped(low: float, high: float) -> str:
    """Return the step that limits values to a range.

    Example:
        >>> clipped(0, 1), clipped(0, 6)
        ('clip 0 1', 'relu6')
    """
    return "relu6" if (low, high) == (0, 6) else f"{CLIP} {low:g} {high:g}"


def zero_up_to(threshold: float | None) -> str:
    """Return the step that makes zero of values up to a threshold; None for one not known."""
    return with_figures(ABOVE, threshold=threshold)


def less_below(threshold: float | None, slope: float | None) -> str:
    """Return the step that takes slope * (threshold - x) away from another one where x is less."""
    return with_figures(BELOW, threshold=threshold, slope=slope)


def scaled_elu(factor: float | None) -> str:
    """Return the step of an ELU with a factor for negative values; None for one not known."""
    return with_figures(SCALED_ELU, factor=factor)


def leaky(slope: float) -> str:
    """Return the step of a leaky ReLU."""
    return f"leaky relu {slope:.4g}"


def softmax(length: int | None) -> str:
    """Return the step of a softmax over `length` values; None where that is not known."""
    return with_figures(SOFTMAX, length=length)


ACTIVATIONS: Mapping[str, Steps] = {
    "linear": (),
    "relu": ("relu",),
    "relu6": ("relu6",),
    "tanh": ("tanh",),
    "sigmoid": ("sigmoid",),
    "swish": ("swish",),
    "silu": ("swish",),
    "gelu": ("gelu",),
    "hard_silu": ("hard swish",),
    "hard_swish": ("hard swish",),
    "elu": ("elu",),
    "exponential": ("exp",),
    "softplus": ("exp", AFFINE, "log"),
    "selu": ("selu",),
    "softsign": ("softsign",),
    "mish": ("mish",),
    "log_softmax": ("log softmax",),
    "leaky_relu": (leaky(0.2),),
}
"""The steps of activations by their names; others are not compared."""
_OWN_ACTIVATIONS: Mapping[int, Mapping[str, Steps]] = {
    2: {"hard_sigmoid": (AFFINE, clipped(0, 1))},
    3: {"hard_sigmoid": (AFFINE, "relu6", AFFINE)},
}
"""Those that the Kerases compute differently: tf_keras clips 0.2 x + 0.5, Keras 3 x / 6 + 0.5."""


def activation_steps(call: StepCall) -> Steps | None:
    """Return the step of an Activation layer; None for one of which nothing is known."""
    shape = call.taken[0]
    return _activation(call, None if shape is None else shape[-1])


def _activation(call: StepCall, length: int | None) -> Steps | None:
    """Return the steps of the activation in a config.

    Args:
        call: The call.
        length: That of the last axis of the result.
    """
    name = call.config.get("activation")
    if name is None:
        return ()
    if not isinstance(name, str):
        return None
    if name == SOFTMAX:
        return (softmax(length),)
    return ACTIVATIONS.get(name, _OWN_ACTIVATIONS[call.keras].get(name))


def activated(rule: Callable[[StepCall], Steps | None]) -> StepsRule:
    """Return the rule of a class whose calls end with the activation of the config."""

    def whole(call: StepCall) -> Steps | None:
        length = call.config.get("units", call.config.get("filters"))
        first, last = rule(call), _activation(call, length)
        return None if first is None or last is None else first + last

    return whole


def _multiplied(call: StepCall) -> Steps | None:
    """Return the step of a Dense; of one feature behind further axes, it is a factor in a file."""
    kernel = call.weights["kernel"]
    is_factor = kernel[0] == 1 and len(call.taken[0] or ()) > 2
    return None if is_factor else (matrix(kernel),)


MATRIX = activated(_multiplied)


def rectified(call: StepCall) -> Steps | None:
    """Return the steps of a ReLU layer.

    One with a slope and a limit or threshold takes away what is below the threshold (`relu`,
    tf_keras/src/backend.py).
    """
    config = call.config
    threshold, slope = config.get("threshold") or 0.0, config.get("negative_slope") or 0.0
    limit = config.get("max_value")
    if slope and limit is None and not threshold:
        return (leaky(slope),)
    limits = () if limit is None else (clipped(0, limit),)
    above = (zero_up_to(threshold), *limits) if threshold else limits or ("relu",)
    if not slope:
        return above
    first, *others = above
    return (Branch(first, (-1,)), *others, Branch(less_below(threshold, slope), (len(others), -1)))


def thresholded(call: StepCall) -> Steps | None:
    """Return the step of a ThresholdedReLU; one without a threshold is not compared."""
    threshold = call.config.get("theta", 1.0)
    return (zero_up_to(threshold),) if threshold else None


def exponential(call: StepCall) -> Steps | None:
    """Return the steps of an ELU; one that is zero below zero is not compared."""
    factor = call.config.get("alpha", 1.0)
    if not factor:
        return None
    return ("elu",) if factor == 1 else (scaled_elu(factor),)


def softmax_along(call: StepCall) -> Steps | None:
    """Return the step of a Softmax layer, which is along one axis.

    A file has it along the last axis, between operators that move the axes; the length tells which,
    unless another axis has it, or may have it.
    """
    axis: Any = call.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    shape = call.taken[0]
    if call.is_masked or not isinstance(axis, int):
        return None
    if shape is None:
        return (softmax(None),) if axis == -1 else None
    axis %= len(shape)
    others = [length for place, length in enumerate(shape) if place not in (0, axis)]
    is_told = None not in others and shape[axis] not in (None, *others)
    return (softmax(shape[axis]),) if is_told or not others else None


def leaking(call: StepCall) -> Steps | None:
    """Return the steps of a leaky ReLU."""
    return (leaky(call.config.get("negative_slope", call.config.get("alpha", 0.3))),)
