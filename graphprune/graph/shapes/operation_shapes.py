"""Output shapes of TensorFlow operations that are layers (TFOpLambda, SlicingOpLambda)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from graphprune.graph.shapes.axis_lengths import Shape, broadcast, concatenate, one_length, size_of
from graphprune.graph.shapes.operation_calls import OperationCall

_PLACES = re.compile(
    r"(?:compat\.v1\.)?(?:math\.|nn\.|linalg\.|image\.)?"
    r"|__operators__\.|keras\.activations\.|keras\.backend\."
)
"""Where in TensorFlow an operation of the table may stand; others of the same name (of strings, of
sparse tensors) do something else.
"""

_REST = ("Ellipsis", ...)
"""How a slice says "all axes between": in a file, and in the config of a live model."""

Rule = Callable[[OperationCall], Shape | list[Shape]]


def operation_shapes(function: str, call: OperationCall) -> tuple[Shape, ...]:
    """Return what the operation `function` (`math.add`, as the layer's config names it) gives.

    Raises:
        ValueError: nothing can be said of it, or its arguments do not go together; other errors
            where its settings are damaged.

    Example:
        >>> operation_shapes(
        ...     "math.reduce_mean", OperationCall(((None, 7, 7, 9),), settings={"axis": [1, 2]})
        ... )
        ((None, 9),)
        >>> operation_shapes(
        ...     "split",
        ...     OperationCall(((None, 6),), settings={"num_or_size_splits": [2, -1], "axis": 1}),
        ... )
        ((None, 2), (None, 4))
    """
    place, _, name = function.rpartition(".")
    if name not in _RULES or not _PLACES.fullmatch(f"{place}." if place else ""):
        raise ValueError(f"operation {function!r} is not known")
    made = _RULES[name](call)
    return tuple(made) if isinstance(made, list) else (tuple(made),)


def _broadcast(call: OperationCall) -> Shape:
    return broadcast(call.operands())


def _same(call: OperationCall) -> Shape:
    if call.constants:
        raise ValueError("its first argument is a constant")
    return call.taken[0]


def _chosen(call: OperationCall) -> Shape:
    """Return what `where` gives: without two sides to choose from it counts what holds."""
    if len(call.operands()) < 3:
        raise ValueError("where without sides to choose from")
    return broadcast(call.operands())


def _reduced(call: OperationCall) -> Shape:
    shape, axis = call.taken[0], call.setting("axis")
    if call.setting("reduction_indices") is not None:
        raise ValueError("axes in the dialect of TensorFlow 0")
    every = range(len(shape))
    axes = axis if isinstance(axis, list | tuple) else [axis]
    gone = set(every) if axis is None else {every[index] for index in axes}
    keep = call.setting("keepdims", call.setting("keep_dims", False))
    return tuple(
        1 if index in gone else length
        for index, length in enumerate(shape)
        if keep or index not in gone
    )


def _best(call: OperationCall) -> Shape:
    shape = call.taken[0]
    return _without(shape, call.setting("axis", call.setting("dimension", 0)))


def _top(call: OperationCall) -> list[Shape]:
    return [(*call.taken[0][:-1], call.setting("k", 1))] * 2


def _joined(call: OperationCall) -> Shape:
    return concatenate(_tensors_only(call), call.setting("axis"))


def _stacked(call: OperationCall) -> Shape:
    shapes = _tensors_only(call)
    shape = tuple(one_length(lengths) for lengths in zip(*shapes, strict=True))
    return _inserted(shape, call.setting("axis", 0), len(shapes))


def _tensors_only(call: OperationCall) -> tuple[Shape, ...]:
    if call.constants or call.named:
        raise ValueError("constants among the tensors")
    return call.taken


def _unstacked(call: OperationCall) -> list[Shape]:
    shape, axis = call.taken[0], call.setting("axis", 0)
    count = call.setting("num", shape[axis])
    return [_without(shape, axis)] * _most(count)


def _most(count: Any) -> int:
    if type(count) is not int or not 0 < count <= 10_000:
        raise ValueError(f"{count} tensors")
    return count


def _split(call: OperationCall) -> list[Shape]:
    shape, parts = call.taken[0], call.setting("num_or_size_splits")
    axis = range(len(shape))[call.setting("axis", 0)]
    length = shape[axis]
    if isinstance(parts, list | tuple):
        known = sum(part for part in parts if part != -1)
        rest = None if length is None else length - known
        lengths = [rest if part == -1 else part for part in parts]
    else:
        lengths = [None if length is None else length // parts] * _most(parts)
    return [(*shape[:axis], part, *shape[axis + 1 :]) for part in lengths]


def _expanded(call: OperationCall) -> Shape:
    return _inserted(call.taken[0], call.setting("axis"), 1)


def _squeezed(call: OperationCall) -> Shape:
    shape, axis = call.taken[0], call.setting("axis", call.setting("squeeze_dims"))
    if axis is None or axis in ([], ()):
        if None in shape:
            raise ValueError("open axes may have the length 1")
        return tuple(length for length in shape if length != 1)
    gone = {
        range(len(shape))[index] for index in (axis if isinstance(axis, list | tuple) else [axis])
    }
    return tuple(length for index, length in enumerate(shape) if index not in gone)


def _reshaped(call: OperationCall) -> Shape:
    target, size = call.setting("shape"), size_of(call.taken[0])
    rest = size_of([length for length in target if length != -1])
    left = None if not rest or size is None else size // rest
    return tuple(left if length == -1 else length for length in target)


def _transposed(call: OperationCall) -> Shape:
    shape = call.taken[0]
    axes = call.setting("perm", list(reversed(range(len(shape)))))
    if sorted(axes) != list(range(len(shape))):
        raise ValueError(f"axes {axes} are not those of {shape}")
    return tuple(shape[axis] for axis in axes)


def _tiled(call: OperationCall) -> Shape:
    return tuple(
        None if length is None else length * times
        for length, times in zip(call.taken[0], call.setting("multiples"), strict=True)
    )


def _padded(call: OperationCall) -> Shape:
    return tuple(
        None if length is None else length + sum(pair)
        for length, pair in zip(call.taken[0], call.setting("paddings"), strict=True)
    )


def _repeated(call: OperationCall) -> Shape:
    shape, repeats, axis = call.taken[0], call.setting("repeats"), call.setting("axis")
    length = size_of(shape) if axis is None else shape[axis]
    counts = repeats if isinstance(repeats, list | tuple) else [repeats]
    made: int | None = None
    if len(counts) > 1:
        made = sum(counts)
    elif length is not None:
        made = length * counts[0]
    return (
        (made,) if axis is None else _inserted(_without(shape, axis), range(len(shape))[axis], made)
    )


def _one_hot(call: OperationCall) -> Shape:
    return _inserted(call.taken[0], call.setting("axis", -1), call.setting("depth"))


def _multiplied(call: OperationCall) -> Shape:
    a, b = call.tensor("a", 0), call.tensor("b", 1)
    a = (*a[:-2], a[-1], a[-2]) if call.setting("transpose_a") or call.setting("adjoint_a") else a
    b = (*b[:-2], b[-1], b[-2]) if call.setting("transpose_b") or call.setting("adjoint_b") else b
    one_length([a[-1], b[-2]])
    return (*(broadcast([a[:-2], b[:-2]]) if a[:-2] or b[:-2] else ()), a[-2], b[-1])


def _gathered(call: OperationCall) -> Shape:
    shape, indices, batch = (
        call.tensor("params", 0),
        call.tensor("indices", 1),
        call.setting("batch_dims", 0),
    )
    axis = range(len(shape))[call.setting("axis", batch)]
    batch = range(len(indices) + 1)[batch]
    return (*shape[:axis], *indices[batch:], *shape[axis + 1 :])


def _gathered_by_places(call: OperationCall) -> Shape:
    shape, indices, batch = (
        call.tensor("params", 0),
        call.tensor("indices", 1),
        call.setting("batch_dims", 0),
    )
    if indices[-1] is None:
        raise ValueError("indices of an open length")
    return (*indices[:-1], *shape[batch + indices[-1] :])


def _resized(call: OperationCall) -> Shape:
    batch, _, _, channels = call.taken[0]
    if call.setting("preserve_aspect_ratio"):
        raise ValueError("a size that depends on the image")
    height, width = call.setting("size")
    return batch, height, width, channels


def _sliced(call: OperationCall) -> Shape:
    """Return what `x[...]` gives; its items are numbers, slices, null (a new axis) and Ellipsis."""
    value, shape = call.settings["slice_spec"], call.taken[0]
    if call.mixed or call.named:
        raise ValueError("a slice by tensors")
    items = value if isinstance(value, list | tuple) else [value]
    axes = len(shape) - sum(item is not None and item not in _REST for item in items)
    made: list[int | None] = []
    rest = list(shape)
    for item in items:
        if item is None:
            made.append(1)
        elif item in _REST:
            made += rest[:axes]
            rest = rest[axes:]
        elif isinstance(item, Mapping):
            made.append(
                _slice_length(
                    rest.pop(0), slice(item.get("start"), item.get("stop"), item.get("step"))
                )
            )
        elif type(item) is int:
            rest.pop(0)
        else:
            raise ValueError(f"slice item {item!r}")
    return (*made, *rest)


def _slice_length(length: int | None, part: slice) -> int | None:
    if length is None:
        if any(
            type(end) is not int for end in (part.start, part.stop, part.step) if end is not None
        ):
            raise ValueError("a slice by something else than numbers")
        return None
    return len(range(*part.indices(length)))


def _without(shape: Shape, axis: int) -> Shape:
    index = range(len(shape))[axis]
    return (*shape[:index], *shape[index + 1 :])


def _inserted(shape: Shape, axis: int, length: int | None) -> Shape:
    index = range(len(shape) + 1)[axis]
    return (*shape[:index], length, *shape[index:])


_ELEMENTWISE = (
    "add subtract multiply truediv divide divide_no_nan multiply_no_nan maximum minimum pow"
    " squared_difference floordiv floormod mod atan2 add_n sub mul radd rsub rmul rtruediv rpow"
    " rfloordiv rmod greater greater_equal less less_equal equal not_equal gt ge lt le eq ne"
    " logical_and logical_or logical_xor logical_not clip_by_value abs negative neg sign exp expm1"
    " log log1p sqrt rsqrt square reciprocal sin cos tan asin acos atan sinh cosh floor ceil round"
    " rint erf is_nan is_finite is_inf sigmoid hard_sigmoid tanh softplus softsign linear relu"
    " relu6 leaky_relu elu selu gelu silu swish"
)
_KEEPING = (
    "cast identity stop_gradient zeros_like ones_like softmax log_softmax log_sigmoid l2_normalize "
    "cumsum cumprod sort argsort reverse roll band_part bias_add dropout"
)
_REDUCTIONS = "mean sum max min prod std variance any all logsumexp euclidean_norm"

_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _broadcast),
    **dict.fromkeys(_KEEPING.split(), _same),
    **{f"reduce_{name}": _reduced for name in _REDUCTIONS.split()},
    "norm": _reduced,
    "argmax": _best,
    "argmin": _best,
    "top_k": _top,
    "where": _chosen,
    "concat": _joined,
    "stack": _stacked,
    "unstack": _unstacked,
    "split": _split,
    "expand_dims": _expanded,
    "squeeze": _squeezed,
    "reshape": _reshaped,
    "transpose": _transposed,
    "tile": _tiled,
    "pad": _padded,
    "repeat": _repeated,
    "one_hot": _one_hot,
    "matmul": _multiplied,
    "gather": _gathered,
    "gather_nd": _gathered_by_places,
    "broadcast_to": lambda call: tuple(call.setting("shape")),
    "shape": lambda call: (len(call.taken[0]),),
    "resize": _resized,
    "getitem": _sliced,
}
