"""Output shapes of graph operations, by those of TensorFlow's Python functions.

Files of TensorFlow 2.0 to 2.3 have such operations as layers of class TensorFlowOpLayer.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.shapes.operation_calls import OperationCall
from graphprune.graph.shapes.operation_shapes import operation_shapes

_REDUCTIONS = {
    "Mean": "mean",
    "Sum": "sum",
    "Max": "max",
    "Min": "min",
    "Prod": "prod",
    "Any": "any",
    "All": "all",
}
_SAME_NAME = (
    "Abs Exp Log Log1p Sqrt Rsqrt Square Sign Floor Ceil Round Sigmoid Tanh Softplus Softsign Relu"
    " Relu6 Elu Selu Maximum Minimum Pow Greater Less Equal"
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
"""By the graph's operation: the function, and what that calls the argument that a constant is given
for.
"""
_SLICE_MASKS = ("ellipsis", "new_axis", "shrink_axis", "begin", "end")
_ATTRIBUTES = {
    "keep_dims": "keepdims",
    "axis": "axis",
    "squeeze_dims": "axis",
    "transpose_a": "transpose_a",
    "transpose_b": "transpose_b",
} | {"adj_x": "adjoint_a", "adj_y": "adjoint_b"}


def graph_operation_shapes(config: Mapping[str, Any], taken: Sequence[Shape]) -> tuple[Shape, ...]:
    """Return the output shapes of the layer's operation.

    Its node is JSON, or text in the binary form, of which nothing is known.

    Raises:
        ValueError: nothing can be said of it; other errors where it is damaged.

    Example:
        >>> graph_operation_shapes(
        ...     {"node_def": {"op": "Mean", "input": ["x", "axis"]}, "constants": {"1": [1, 2]}},
        ...     [(None, 7, 7, 9)],
        ... )
        ((None, 9),)
    """
    node = config["node_def"]
    node = json.loads(node) if isinstance(node, str) else node
    constants = {int(index): value for index, value in (config.get("constants") or {}).items()}
    if node["op"] == "StridedSlice":
        return operation_shapes(
            "getitem",
            OperationCall(
                tuple(taken), settings={"slice_spec": _slice_items(node["attr"], constants)}
            ),
        )
    if node["op"] == "Split":
        return operation_shapes(
            "split",
            OperationCall(
                tuple(taken),
                settings={
                    "num_or_size_splits": _attribute(node["attr"]["num_split"]),
                    "axis": constants[0],
                },
            ),
        )
    function, argument = _FUNCTIONS[node["op"]]
    settings = {
        name: _attribute(value)
        for key, value in node.get("attr", {}).items()
        if (name := _ATTRIBUTES.get(key))
    }
    if not constants:
        return operation_shapes(function, OperationCall(tuple(taken), settings=settings))
    (index, value), *others = constants.items()
    if argument == "y" and index == 0 and not others:
        return operation_shapes(function, OperationCall(tuple(taken), constants=(value,)))
    if others or index != (len(taken) if argument else -1):
        raise ValueError("constants in other places")
    return operation_shapes(
        function, OperationCall(tuple(taken), settings={**settings, argument: value})
    )


def _slice_items(attributes: Mapping[str, Any], constants: Mapping[int, Any]) -> list[Any]:
    """Return the items of `x[...]`.

    Each has begin, end and stride; for each kind of item, the bits of a number say which items are
    of it.

    See tensorflow/core/ops/array_ops.cc, `StridedSlice`.
    """
    masks = {
        name: _attribute(attributes[f"{name}_mask"]) if f"{name}_mask" in attributes else 0
        for name in _SLICE_MASKS
    }
    return [
        _slice_item({name for name, mask in masks.items() if mask >> place & 1}, *ends)
        for place, ends in enumerate(_slice_ends(constants))
    ]


def _slice_ends(constants: Mapping[int, Any]) -> list[tuple[int, int, int]]:
    return list(zip(constants[1], constants[2], constants[3], strict=True))


def _slice_item(kinds: Collection[str], begin: int, end: int, step: int) -> Any:
    if "ellipsis" in kinds:
        return "Ellipsis"
    if "new_axis" in kinds:
        return None
    if "shrink_axis" in kinds:
        return begin
    return {
        "start": None if "begin" in kinds else begin,
        "stop": None if "end" in kinds else end,
        "step": step,
    }


def _attribute(value: Mapping[str, Any]) -> Any:
    """Return an attribute's value.

    JSON holds whole numbers of 64 bits as text (the JSON mapping of Protocol Buffers).
    """
    if "list" in value:
        return [int(item) for item in value["list"].get("i", ())]
    return int(value["i"]) if "i" in value else value.get("b", False)
