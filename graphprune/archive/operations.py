"""The table of TensorFlow functions (op layers of tf_keras) and operations of Keras 3.

Keras 3 stores the operation `ops.mean(x, axis=1)` as the class `Mean` of `keras.src.ops.numpy`
with the config `axis=1`; tf_keras stores `tf.reduce_mean(x, axis=1)` as a `TFOpLambda` of the
function `math.reduce_mean`, whose call has the keyword `axis=1`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

SLICING = "__operators__.getitem"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation in both forms.

    Attributes:
        functions: Its names in TensorFlow, as op layers store them; the first is used in output.
        module: The module below `keras.src.ops`.
        name: The class in Keras 3.
        operands: The argument names of its tensors in TensorFlow, in the order of Keras 3.
        settings: The argument of the Keras 3 class by that of TensorFlow.
        neutral: Arguments that only TensorFlow has, with the value at which they have no effect.
        fixed: Settings that only Keras 3 has, with the value that TensorFlow computes with.
        defaults: TensorFlow's default values of settings.
    """

    functions: tuple[str, ...]
    module: str
    name: str
    operands: tuple[str, ...] = ("x",)
    settings: Mapping[str, str] = field(default_factory=dict)
    neutral: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


_REDUCED = {"axis": "axis", "keepdims": "keepdims"}
_WHOLE = {"axis": None, "keepdims": False}
_FLAGS = (
    "transpose_a",
    "transpose_b",
    "adjoint_a",
    "adjoint_b",
    "a_is_sparse",
    "b_is_sparse",
    "grad_a",
    "grad_b",
)


def _all() -> Iterator[Operation]:
    yield from _elementwise()
    yield from _reductions()
    yield from _activations()
    yield from _rearranging()


def _elementwise() -> Iterator[Operation]:
    binary = {
        "Add": ("__operators__.add", "math.add"),
        "Subtract": ("math.subtract",),
        "Multiply": ("math.multiply",),
        "TrueDivide": ("math.truediv", "math.divide"),
        "FloorDivide": ("math.floordiv", "floor_div"),
        "Power": ("math.pow",),
        "Maximum": ("math.maximum",),
        "Minimum": ("math.minimum",),
        "Greater": ("math.greater",),
        "GreaterEqual": ("math.greater_equal",),
        "Less": ("math.less",),
        "LessEqual": ("math.less_equal",),
        "Equal": ("math.equal", "__operators__.eq"),
        "NotEqual": ("math.not_equal", "__operators__.ne"),
        "LogicalAnd": ("math.logical_and",),
        "LogicalOr": ("math.logical_or",),
    }
    for name, functions in binary.items():
        yield Operation(functions, "numpy", name, ("x", "y"))
    unary = {
        "Negative": ("math.negative",),
        "Absolute": ("math.abs",),
        "Square": ("math.square",),
        "Sqrt": ("math.sqrt",),
        "Exp": ("math.exp",),
        "Log": ("math.log",),
        "Sin": ("math.sin",),
        "Cos": ("math.cos",),
        "Sign": ("math.sign",),
        "Floor": ("math.floor",),
        "Ceil": ("math.ceil",),
        "LogicalNot": ("math.logical_not",),
        "Tanh": ("math.tanh", "nn.tanh", "tanh"),
    }
    for name, functions in unary.items():
        yield Operation(functions, "numpy", name)
    yield Operation(("math.rsqrt",), "math", "Rsqrt")
    for name, function in {"OnesLike": "ones_like", "ZerosLike": "zeros_like"}.items():
        neutral = {"dtype": None, "optimize": True}
        yield Operation((function,), "numpy", name, ("input",), {}, neutral)


def _reductions() -> Iterator[Operation]:
    reductions = {
        "Mean": "math.reduce_mean",
        "Sum": "math.reduce_sum",
        "Max": "math.reduce_max",
        "Min": "math.reduce_min",
        "Prod": "math.reduce_prod",
        "Std": "math.reduce_std",
        "Var": "math.reduce_variance",
        "Any": "math.reduce_any",
        "All": "math.reduce_all",
    }
    for name, function in reductions.items():
        yield Operation((function,), "numpy", name, ("input_tensor",), _REDUCED, defaults=_WHOLE)


def _activations() -> Iterator[Operation]:
    activations = {
        "Relu": ("nn.relu",),
        "Relu6": ("nn.relu6",),
        "Sigmoid": ("math.sigmoid", "nn.sigmoid"),
        "Softplus": ("math.softplus", "nn.softplus"),
        "Softsign": ("nn.softsign",),
        "Selu": ("nn.selu",),
    }
    for name, functions in activations.items():
        yield Operation(functions, "nn", name, ("features",))
    yield Operation(("nn.silu", "nn.swish"), "nn", "Silu", ("features",), neutral={"beta": 1.0})
    yield Operation(("nn.elu",), "nn", "Elu", ("features",), fixed={"alpha": 1.0})
    yield Operation(
        ("nn.gelu",),
        "nn",
        "Gelu",
        ("features",),
        {"approximate": "approximate"},
        defaults={"approximate": False},
    )
    yield Operation(
        ("nn.leaky_relu",),
        "nn",
        "LeakyRelu",
        ("features",),
        {"alpha": "negative_slope"},
        defaults={"alpha": 0.2},
    )
    for name, function in {"Softmax": "nn.softmax", "LogSoftmax": "nn.log_softmax"}.items():
        yield Operation(
            (function,), "nn", name, ("logits",), {"axis": "axis"}, defaults={"axis": -1}
        )


def _rearranging() -> Iterator[Operation]:
    yield Operation(("reshape",), "numpy", "Reshape", ("tensor",), {"shape": "newshape"})
    yield Operation(
        ("transpose",),
        "numpy",
        "Transpose",
        ("a",),
        {"perm": "axes"},
        neutral={"conjugate": False},
        defaults={"perm": None},
    )
    yield Operation(("expand_dims",), "numpy", "ExpandDims", ("input",), {"axis": "axis"})
    yield Operation(
        ("squeeze",),
        "numpy",
        "Squeeze",
        ("input",),
        {"axis": "axis"},
        neutral={"squeeze_dims": None},
        defaults={"axis": None},
    )
    yield Operation(
        ("concat",), "numpy", "Concatenate", ("values",), {"axis": "axis"}, defaults={"axis": 0}
    )
    yield Operation(
        ("stack",), "numpy", "Stack", ("values",), {"axis": "axis"}, defaults={"axis": 0}
    )
    yield Operation(("cast",), "core", "Cast", ("x",), {"dtype": "dtype"})
    yield Operation(
        ("clip_by_value",),
        "numpy",
        "Clip",
        ("t",),
        {"clip_value_min": "x_min", "clip_value_max": "x_max"},
    )
    yield Operation(("where",), "numpy", "Where", ("condition", "x", "y"))
    yield Operation(
        ("linalg.matmul", "matmul"),
        "numpy",
        "Matmul",
        ("a", "b"),
        neutral=dict.fromkeys(_FLAGS, False) | {"output_type": None},
    )
    yield Operation(("tile",), "numpy", "Tile", ("input",), {"multiples": "repeats"})
    yield Operation(("stop_gradient",), "core", "StopGradient", ("input",))
    yield Operation((SLICING,), "numpy", "GetItem", ("tensor",), {}, neutral={"var": None})


@cache
def by_function() -> Mapping[str, Operation]:
    """Return the operations by each name that they have in TensorFlow.

    Example:
        >>> by_function()["math.reduce_mean"].name
        'Mean'
    """
    return {function: each for each in _all() for function in each.functions}


@cache
def by_class() -> Mapping[tuple[str, str], Operation]:
    """Return the operations by module and class of Keras 3.

    Example:
        >>> by_class()["keras.src.ops.numpy", "Mean"].functions
        ('math.reduce_mean',)
    """
    return {(f"keras.src.ops.{each.module}", each.name): each for each in _all()}
