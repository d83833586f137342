"""What TensorFlow operations that stand in a model as layers (TFOpLambda) make of shapes: elementwise ones, reductions, joins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.graph.shapes import Shape, broadcast, concatenate

_ELEMENTWISE = re.compile(
    r"(?:math|__operators__|nn|compat\.v1\.nn|compat\.v1\.math)\."
    r"(?:add|subtract|multiply|truediv|divide|divide_no_nan|maximum|minimum|pow|squared_difference|sub|mul|radd|rsub|rmul|rtruediv)"
    r"|(?:math|nn|compat\.v1\.nn|keras\.activations)\."
    r"(?:relu|relu6|leaky_relu|elu|selu|gelu|silu|swish|sigmoid|tanh|softplus|softsign|softmax|log_softmax|exp|log|log1p|sqrt|rsqrt|square|abs|negative|sign)"
    r"|cast|identity|stop_gradient|clip_by_value|zeros_like|ones_like"
)
_REDUCTION = re.compile(r"math\.reduce_(?:mean|sum|max|min|prod|std|variance)")


def operation_shape(function: str, taken: Sequence[Shape], keywords: Mapping[str, Any]) -> Shape:
    """Return what the operation `function` (`math.add`, as the layer's config names it) gives for tensors of the shapes `taken`.

    Args:
        function: Its name in TensorFlow.
        taken: The shapes of its tensors, in the order of the call.
        keywords: Its other arguments; a list among them could be a tensor of any shape, which is no longer known.

    Raises:
        ValueError: nothing can be said of it.

    Example:
        >>> operation_shape("math.reduce_mean", [(None, 7, 7, 9)], {"axis": [1, 2]}), operation_shape("__operators__.add", [(None, 4)], {"y": 3.0})
        ((None, 9), (None, 4))
    """
    if _ELEMENTWISE.fullmatch(function):
        if any(isinstance(value, list | tuple) and not _is_reference(value) for value in keywords.values()):
            raise ValueError(f"{function} takes a constant of its own shape")
        return broadcast(taken)
    if _REDUCTION.fullmatch(function):
        return _reduced(taken[0], keywords.get("axis"), keep=bool(keywords.get("keepdims")))
    if function == "concat":
        return concatenate(taken, keywords["axis"])
    raise ValueError(f"operation {function!r} is not known")


def _is_reference(value: Sequence[Any]) -> bool:
    """Return whether a keyword's value is a tensor of the model (`[layer, node, tensor]`), whose shape is among those taken."""
    return len(value) in (3, 4) and isinstance(value[0], str)


def _reduced(shape: Shape, axis: Any, *, keep: bool) -> Shape:
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, list | tuple) else [axis]
    gone = {range(len(shape))[index] for index in axes}
    return tuple(1 if index in gone else length for index, length in enumerate(shape) if keep or index not in gone)
