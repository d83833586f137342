"""The steps of activations, in layers of their own and at the end of other layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graphprune.graph.classes.steps import AFFINE, StepCall, Steps, StepsRule, matrix

CLIP = "clip"


def clipped(low: float, high: float) -> str:
    """Return the step that limits values to a range.

    Example:
        >>> clipped(0, 1)
        'clip 0 1'
    """
    return f"{CLIP} {low:g} {high:g}"


def leaky(slope: float) -> str:
    """Return the step of a leaky ReLU."""
    return f"leaky relu {slope:.4g}"


ACTIVATIONS: Mapping[str, Steps] = {
    "linear": (),
    "relu": ("relu",),
    "relu6": ("relu6",),
    "tanh": ("tanh",),
    "sigmoid": ("sigmoid",),
    "softmax": ("softmax",),
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
    """Return the steps of the activation in a config; None for one of which nothing is known."""
    name = call.config.get("activation")
    if name is None:
        return ()
    if not isinstance(name, str):
        return None
    return ACTIVATIONS.get(name, _OWN_ACTIVATIONS[call.keras].get(name))


def activated(rule: Callable[[StepCall], Steps | None]) -> StepsRule:
    """Return the rule of a class whose calls end with the activation of the config."""

    def whole(call: StepCall) -> Steps | None:
        first, last = rule(call), activation_steps(call)
        return None if first is None or last is None else first + last

    return whole


def _multiplied(call: StepCall) -> Steps | None:
    """Return the step of a Dense; of one feature behind further axes, it is a factor in a file."""
    kernel = call.weights["kernel"]
    is_factor = kernel[0] == 1 and len(call.taken[0] or ()) > 2
    return None if is_factor else (matrix(kernel),)


MATRIX = activated(_multiplied)


def rectified(call: StepCall) -> Steps | None:
    """Return the steps of a ReLU layer; slopes and thresholds of its own are not compared."""
    config = call.config
    if config.get("threshold") or config.get("negative_slope"):
        return None
    return {None: ("relu",), 6.0: ("relu6",)}.get(config.get("max_value"))


def exponential(call: StepCall) -> Steps | None:
    """Return the steps of an ELU; another factor than 1 is not compared."""
    return ("elu",) if call.config.get("alpha", 1.0) == 1 else None


def leaking(call: StepCall) -> Steps | None:
    """Return the steps of a leaky ReLU."""
    return (leaky(call.config.get("negative_slope", call.config.get("alpha", 0.3))),)
