"""What a layer's weights tell of the tensor that it gives where the tensor that it takes is not
known (behind a Lambda): its last axis.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphprune.archive.entries import is_builtin
from graphprune.graph.layers import Layer
from graphprune.graph.shapes.axis_lengths import Shape, format_shape

_KERNELS: Mapping[str, str] = {
    "Dense": "kernel",
    "Embedding": "embeddings",
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Conv3D": "kernel",
}
"""Layers that give one tensor, and the weight whose last axis is that of the tensor, unless their
channels come first.
"""


def find_last_axis(layer: Layer) -> int | None:
    """Return the length of the last axis of the layer's output, if one of its weights tells it."""
    name = _KERNELS.get(layer.type) if is_builtin(layer.entry) else None
    if name is None or layer.config.get("data_format") == "channels_first":
        return None
    return next(
        (
            tensor.shape[-1]
            for tensor in layer.tensors
            if tensor.name == name and len(tensor.shape) > 1
        ),
        None,
    )


def format_output(layer: Layer, shape: Shape | None) -> str:
    """Return a layer's output shape as reports show it: `…×10` where only the last axis is known,
    and nothing where nothing is known.

    Example:
        >>> from graphprune.graph.layers import Tensor
        >>> dense = Layer(
        ...     "fc",
        ...     "Dense",
        ...     {"class_name": "Dense", "config": {}},
        ...     tensors=(Tensor("kernel", (8, 10)),),
        ... )
        >>> format_output(dense, (None, 10)), format_output(dense, None)
        ('?×10', '…×10')
    """  # noqa: RUF002 - the sign of multiplication is meant
    if shape is not None:
        return format_shape(shape)
    last = find_last_axis(layer)
    return "" if last is None else f"…×{last}"  # noqa: RUF001
