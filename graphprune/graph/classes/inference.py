"""The class of a layer inside a custom layer, which a file of Keras 3 does not name.

The file has the path at which the layer was saved, its name, and its weights. Keras names a layer
after its class unless the user does (`dense_3`), and the group of a layer in a list or dict always
(keras/src/saving/saving_lib.py, `_save_container_state`). Where neither tells, a matrix with a bias
is a kernel, as is a matrix under a name such as `ffw_linear`. What fits no class keeps numbers for
names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from graphprune.archive.entries import Entry, to_snake_case
from graphprune.graph.classes.attention import CLASSES as ATTENTION
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS, weights_of
from graphprune.graph.classes.layer_class import Weight
from graphprune.graph.classes.quantization import quantized_weights

UNKNOWN = "?"
"""The type of a layer whose class nothing tells."""
INFERRED = "inferred"
"""The key of an entry that was made here."""

_INTEGERS = ("int8", "uint8")
_CELLS = {1: "SimpleRNNCell", 3: "GRUCell", 4: "LSTMCell"}
"""Classes by the number of gates: how often the recurrent kernel has its own length."""

Shapes = Sequence[tuple[int, ...]]
_SETTINGS: Sequence[Mapping[str, Any]] = (
    {},
    {"use_bias": False, "bias_axes": None},
    {"center": False},
    {"scale": False},
    {"tie_weights": False},
    {"center": False, "scale": False},
)
"""Settings that decide which weights a layer has; the first that fits is taken."""
_KERNEL_WORDS = frozenset(
    (
        "conv",
        "dense",
        "fc",
        "ffn",
        "ffw",
        "linear",
        "logits",
        "mlp",
        "patch",
        "proj",
        "projection",
        "projector",
    )
)
"""Parts of names under which a matrix without a bias is a kernel."""
_IN_A_LIST = re.compile(r"(^|/)layers/[^/]+$")
"""The place of a layer in a list of layers, which is named by class."""
_OWN_POSITIONS = re.compile(r"(^|/)token_and_position_embedding(_\d+)?/position_embedding$")
"""Where KerasHub has a table of positions of a class of its own, and not an Embedding."""


def infer_entry(path: str, name: str, shapes: Shapes, dtypes: Sequence[str]) -> Entry:
    """Return the entry of a layer as far as its place, name and weights tell its class.

    Args:
        path: Where it is saved, from the layer around it on (`block/parts/dense_1`).
        name: Its own name; empty if the file has none.
        shapes, dtypes: Of its weights, in storage order.

    Example:
        >>> def kind(*args):
        ...     return infer_entry(*args)["class_name"]
        >>> kind("blocks/dense_1", "head", [(8, 4)], ["float32"])
        'Dense'
        >>> kind("proj", "", [(3, 3, 8, 4), (4,)], ["float32"] * 2)
        'Conv2D'
        >>> kind("scale", "", [(8,)], ["float32"])
        '?'
    """
    for kind in _kinds(path, name, shapes, dtypes):
        for settings in _SETTINGS:
            entry = _entry(kind, name, {**_einsum_settings(kind, shapes), **settings})
            if _fits(entry, shapes, dtypes):
                return entry
    return _entry(UNKNOWN, name, {})


def _einsum_settings(kind: str, shapes: Shapes) -> dict[str, Any]:
    """Return the equation of an EinsumDense with a bias, which has the axes of its output."""
    if kind != "EinsumDense" or len(shapes) != 2 or len(shapes[1]) >= len(shapes[0]):
        return {}
    kernel = "".join(chr(ord("b") + axis) for axis in range(len(shapes[0])))
    taken, made = kernel[: -len(shapes[1])], kernel[-len(shapes[1]) :]
    return {"equation": f"...{taken},{kernel}->...{made}", "bias_axes": made}


def _entry(kind: str, name: str, settings: Mapping[str, Any]) -> Entry:
    module = None if kind == UNKNOWN else "keras.layers"
    config = {**({"name": name} if name else {}), **settings}
    return {"module": module, "class_name": kind, "config": config, INFERRED: True}


def _fits(entry: Entry, shapes: Shapes, dtypes: Sequence[str]) -> bool:
    weights = weights_of(entry)
    if not weights or any(weight.path for weight in weights):
        return False
    if len(weights) != len(shapes) or dtypes[0] in _INTEGERS:
        return quantized_weights(weights, dtypes) is not None
    ranks = [len(shape) for shape in shapes]
    return all(
        len(weight.axes) == rank if weight.axes else rank or not weight.prunable
        for weight, rank in zip(weights, ranks, strict=True)
    ) and not _is_misfit(weights, shapes)


def _is_misfit(weights: Sequence[Weight], shapes: Shapes) -> bool:
    """Return whether two axes of one name have different lengths."""
    lengths: dict[str, int] = {}
    return any(
        axis == "out" and lengths.setdefault(axis, length) != length
        for weight, shape in zip(weights, shapes, strict=True)
        if not weight.name.startswith(("recurrent", "reverse"))
        for axis, length in zip(weight.axes, shape, strict=False)
    )


def _kinds(path: str, name: str, shapes: Shapes, dtypes: Sequence[str]) -> Iterator[str]:
    """Yield the classes that a layer may have, the surest first."""
    last = path.rpartition("/")[2]
    for text in (last, name):
        yield from _classes_by_name().get(re.sub(r"_\d+$", "", text), ())
    if _IN_A_LIST.search(path):
        return  # a class of the user's own
    if last.lstrip("_") in _ATTENTION_PARTS:
        yield "EinsumDense"
    yield from _by_weights(path, name, shapes)
    if dtypes[0] in _INTEGERS:
        yield "Dense" if len(shapes[0]) == 2 else "EinsumDense"


def _by_weights(path: str, name: str, shapes: Shapes) -> Iterator[str]:
    """Yield the classes that parts of names and the shapes of weights tell."""
    words = {*re.split(r"[\W\d_]+", path.rpartition("/")[2]), *re.split(r"[\W\d_]+", name)}
    matrix = shapes[0] if shapes else ()
    if len(shapes) == 2 and len(matrix) > 1:
        yield from _with_bias(matrix, shapes[1], words)
    elif len(shapes) == 3 and len(matrix) == 2 and len(shapes[1]) == 2:
        yield _CELLS.get(matrix[1] // max(1, shapes[1][0]), UNKNOWN)
    elif len(shapes) == 1 and len(matrix) == 2 and _is_embedding(path, words):
        yield "Embedding"
    elif len(shapes) == 1 and len(matrix) > 1 and words & _KERNEL_WORDS:
        yield from _without_bias(len(matrix), words)
    elif len(set(shapes)) == 1 and len(matrix) == 1:
        if len(shapes) == 4:
            yield "BatchNormalization"
        elif len(shapes) == 2 and any("norm" in word for word in words):
            yield "LayerNormalization"


def _is_embedding(path: str, words: set[str]) -> bool:
    """Return whether a table of rows is meant, and not one of positions of a class of its own."""
    starts = {word[:3] for word in words}
    return "emb" in starts and ("pos" not in starts or _OWN_POSITIONS.search(path) is None)


def _with_bias(matrix: tuple[int, ...], bias: tuple[int, ...], words: set[str]) -> Iterator[str]:
    """Yield the class of a kernel and a bias, whose axes are the last of the kernel's."""
    rank = len(matrix)
    if rank == 2 and bias == matrix[1:]:
        yield "Dense"
    elif rank == 3 and (len(bias) == 2 or words & (_KERNEL_WORDS - {"conv"} | {"output"})):
        if bias == matrix[-len(bias) :]:
            yield "EinsumDense"
    elif 3 <= rank <= 5 and bias == matrix[-1:]:
        yield f"Conv{rank - 2}D"
    elif 3 <= rank <= 4 and bias == (matrix[-1] * matrix[-2],):
        yield f"DepthwiseConv{rank - 2}D"


def _without_bias(rank: int, words: set[str]) -> Iterator[str]:
    if words & {"conv", "patch"} and 3 <= rank <= 5:
        yield f"Conv{rank - 2}D"
    else:
        yield "Dense" if rank == 2 else "EinsumDense"


@cache
def _classes_by_name() -> Mapping[str, tuple[str, ...]]:
    """Return the classes of Keras 3 by the names that Keras gives their layers."""
    found: dict[str, tuple[str, ...]] = {}
    for kind, record in BUILTIN_LAYERS.items():
        if 3 in record.versions and not record.has_no_weights:
            snake = to_snake_case(record.file_class or kind)
            found[snake] = (*found.get(snake, ()), kind)
    return found


_ATTENTION_PARTS = frozenset(
    attribute.lstrip("_")
    for record in ATTENTION.values()
    for attribute in record.attributes.values()
)
"""Attributes of attention layers that hold an EinsumDense, also in subclasses of them."""
