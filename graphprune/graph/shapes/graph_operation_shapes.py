"""What operations of TensorFlow's graphs (TensorFlowOpLayer, in files of TensorFlow 2.0 to 2.3) make of shapes, by those of the Python interface."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.shapes.operation_calls import OperationCall
from graphprune.graph.shapes.operation_shapes import operation_shapes

_REDUCTIONS = {"Mean": "mean", "Sum": "sum", "Max": "max", "Min": "min", "Prod": "prod", "Any": "any", "All": "all"}
_SAME_NAME = (
    "Abs Exp Log Log1p Sqrt Rsqrt Square Sign Floor Ceil Round Sigmoid Tanh Softplus Softsign Relu Relu6 Elu Selu Maximum Minimum Pow Greater Less Equal"
)
_FUNCTIONS: Mapping[str, tuple[str, str]] = {
    **{name: (name.lower(), "y") for name in _SAME_NAME.split()},
    **{name: (f"reduce_{function}", "axis") for name, function in _REDUCTIONS.items()},
    **{name: ("add", "y") for name in ("Add", "AddV2")},
    "Sub": ("subtract", "y"),
    "Mul": ("multiply", "y"),
    "RealDiv": ("truediv", "y"),
    "SquaredDifference": ("squared_difference", "y"),
    "Neg": ("negative", ""),
    "LeakyRelu": ("leaky_relu", ""),
    "Cast": ("cast", ""),
    "Identity": ("identity", ""),
    "Softmax": ("softmax", ""),
    "LogSoftmax": ("log_softmax", ""),
    "BiasAdd": ("bias_add", "bias"),
    "Shape": ("shape", ""),
    "Reshape": ("reshape", "shape"),
    "Transpose": ("transpose", "perm"),
    "ExpandDims": ("expand_dims", "axis"),
    "Tile": ("tile", "multiples"),
    "Pad": ("pad", "paddings"),
    "ArgMax": ("argmax", "axis"),
    "MatMul": ("matmul", "b"),
    "BatchMatMulV2": ("matmul", "b"),
    "ConcatV2": ("concat", "axis"),
    "Pack": ("stack", ""),
    "Squeeze": ("squeeze", ""),
}
"""By the graph's operation: the function, and what that calls the argument that a constant is given for."""
_ATTRIBUTES = {"keep_dims": "keepdims", "axis": "axis", "squeeze_dims": "axis", "transpose_a": "transpose_a", "transpose_b": "transpose_b"} | {
    "adj_x": "adjoint_a",
    "adj_y": "adjoint_b",
}


def graph_operation_shapes(config: Mapping[str, Any], taken: Sequence[Shape]) -> tuple[Shape, ...]:
    """Return what the layer's operation gives; its node is JSON, or text in the binary form, of which nothing is known.

    Raises:
        ValueError: nothing can be said of it; other errors where it is damaged.

    Example:
        >>> graph_operation_shapes({"node_def": {"op": "Mean", "input": ["x", "axis"]}, "constants": {"1": [1, 2]}}, [(None, 7, 7, 9)])
        ((None, 9),)
    """
    node = config["node_def"]
    node = json.loads(node) if isinstance(node, str) else node
    function, argument = _FUNCTIONS[node["op"]]
    constants = {int(index): value for index, value in (config.get("constants") or {}).items()}
    settings = {name: _attribute(value) for key, value in node.get("attr", {}).items() if (name := _ATTRIBUTES.get(key))}
    if not constants:
        return operation_shapes(function, OperationCall(tuple(taken), settings=settings))
    (index, value), *others = constants.items()
    if others or index != (len(taken) if argument else -1):
        raise ValueError("constants in other places")
    return operation_shapes(function, OperationCall(tuple(taken), settings={**settings, argument: value}))


def _attribute(value: Mapping[str, Any]) -> Any:
    """Return an attribute's value; JSON holds whole numbers of 64 bits as text (the JSON mapping of Protocol Buffers)."""
    if "list" in value:
        return [int(item) for item in value["list"].get("i", ())]
    return int(value["i"]) if "i" in value else value.get("b", False)
