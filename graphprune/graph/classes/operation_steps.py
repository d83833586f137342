"""The steps of operations that models call without a layer, such as sums and activations."""

from __future__ import annotations

from graphprune.graph.classes.steps import AFFINE, StepCall, Steps

_BINARY = {"Add": "add", "Multiply": "multiply", "Subtract": "subtract"}
_BINARY |= {"Maximum": "maximum", "Minimum": "minimum"}
_UNARY = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Silu": "swish",
    "Elu": "elu",
    "Exp": "exp",
    "Log": "log",
    "Absolute": "abs",
    "Square": "square",
    "Negative": AFFINE,
}


def operation_steps(name: str, call: StepCall) -> Steps | None:
    """Return the steps of an operation of Keras 3, or of the same of TensorFlow, by its class.

    Example:
        >>> operation_steps("Add", StepCall({}, {}, [(None, 3), (None, 3)]))
        ('add',)
        >>> operation_steps("Add", StepCall({}, {}, [(None, 3)]))
        ('affine',)
    """
    if name in _UNARY:
        return (_UNARY[name],)
    step = _BINARY.get(name)
    if step is None:
        return (
            (AFFINE,)
            if name == "TrueDivide" and tuple(call.arguments) in (("0",), ("x",))
            else None
        )
    if len(call.taken) == 2:
        return (step,)
    return (AFFINE,) if step in ("add", "multiply", "subtract") else None
