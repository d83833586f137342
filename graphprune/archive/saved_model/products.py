"""Operators of what multiplies with kernels or normalizes, and of pooling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from graphprune.archive.operators import EITHER
from graphprune.archive.saved_model.lowering import Lowered, Lowering, Rule, View

_PADDINGS = {"SAME": 0, "VALID": 1, EITHER: 2}
"""The numbers of paddings in TensorFlow Lite's schema, and one of its own."""


def _is_plain(one: Lowering) -> bool:
    """Return whether axes are in the order of Keras, and the number of them is known."""
    is_last = one.node.text("data_format", "NHWC") == "NHWC"
    shape = one.shapes[0]
    return is_last and one.node.text("padding") in _PADDINGS and shape is not None


def _window(one: Lowering, names: Mapping[str, str]) -> dict[str, int | float] | None:
    """Return settings along height and width, by the names that they have, and the padding."""
    found: dict[str, int | float] = {"padding": _PADDINGS.get(one.node.text("padding"), 1)}
    for name, written in names.items():
        numbers = one.node.numbers(name, (1, 1, 1, 1))
        if len(numbers) != 4 or numbers[0] != 1 or numbers[3] != 1:
            return None
        found[written.format("H", "Height")] = numbers[1]
        found[written.format("W", "Width")] = numbers[2]
    return found


def convolution(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a convolution; None for one that is not read."""
    kernel, shape = one.whole(1), one.shapes[0]
    settings = _window(one, {"strides": "stride{0}", "dilations": "dilation{0}Factor"})
    is_kernel = kernel is not None and len(kernel) == 4 and not one.is_made[1]
    is_such = _is_plain(one) and shape is not None and len(shape) == 4
    if not is_kernel or not is_such or settings is None:
        return None
    assert kernel is not None
    height, width, taken, made = kernel
    if one.node.kind == "DepthwiseConv2dNative":
        view = View((1, height, width, taken * made), one.inputs[1])
        return one.to("DEPTHWISE_CONV_2D", one.inputs[0], view, **settings)
    view = View((made, height, width, taken), one.inputs[1])
    return one.to("CONV_2D", one.inputs[0], view, **settings)


def convolution_of_volumes(kind: str) -> Rule:
    """Return the rule of a convolution along three axes, or of a transposed one."""

    def rule(one: Lowering) -> list[Lowered] | None:
        kernel, shape = one.whole(1), one.shapes[2 if kind == "CONV_3D_TRANSPOSE" else 0]
        settings: dict[str, int | float] = {"padding": _PADDINGS.get(one.node.text("padding"), 1)}
        for name, written in (("strides", "stride{}"), ("dilations", "dilation{}Factor")):
            numbers = one.node.numbers(name, (1,) * 5)
            if len(numbers) != 5 or numbers[0] != 1 or numbers[4] != 1:
                return None
            axes = zip("DHW", numbers[1:4], strict=True)
            settings |= {written.format(axis): number for axis, number in axes}
        is_kernel = kernel is not None and len(kernel) == 5 and not one.is_made[1]
        is_plain = one.node.text("data_format", "NDHWC") == "NDHWC"
        is_known = one.node.text("padding") in _PADDINGS and shape is not None
        return one.to(kind, **settings) if is_kernel and is_plain and is_known else None

    return rule


def transposed_convolution(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a transposed convolution; None for one that is not read."""
    kernel = one.whole(1)
    settings = _window(one, {"strides": "stride{0}", "dilations": "dilation{0}Factor"})
    is_plain = one.node.text("data_format", "NHWC") == "NHWC"
    is_known = one.node.text("padding") in _PADDINGS and is_plain
    is_kernel = kernel is not None and len(kernel) == 4 and not one.is_made[1]
    if not is_kernel or not is_known or settings is None or one.is_made[0]:
        return None
    assert kernel is not None
    height, width, made, taken = kernel
    view = View((made, height, width, taken), one.inputs[1])
    return one.to("TRANSPOSE_CONV", one.inputs[0], view, one.inputs[2], **settings)


def pooling(kind: str) -> Rule:
    """Return the rule of a pooling."""

    def rule(one: Lowering) -> list[Lowered] | None:
        settings = _window(one, {"strides": "stride{0}", "ksize": "filter{1}"})
        return one.to(kind, **settings) if _is_plain(one) and settings is not None else None

    return rule


def matrix(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a product with a matrix."""
    kernel = one.whole(1)
    if one.is_made[1] or kernel is None or len(kernel) != 2 or one.node.number("transpose_a"):
        return None
    shape = kernel if one.node.number("transpose_b") else kernel[::-1]
    return one.to("FULLY_CONNECTED", one.inputs[0], View(shape, one.inputs[1]))


def product(one: Lowering) -> list[Lowered] | None:
    """Return the operator of products of matrices."""
    if any(shape is None for shape in one.shapes):
        return None
    adjoints = {"adjX": one.node.number("adj_x"), "adjY": one.node.number("adj_y")}
    return one.to("BATCH_MATMUL", *one.inputs, **adjoints)


def einsum(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a product with a kernel, or of products of two tensors' matrices."""
    taken, _, made = one.node.text("equation").partition("->")
    terms = taken.split(",")
    is_plain = len(terms) == 2 and made.isalpha() and all(term.isalpha() for term in terms)
    if not is_plain or len(one.inputs) != 2 or not one.is_made[0]:
        return None
    if any(len(set(term)) != len(term) for term in (*terms, made)):
        return None
    if one.is_made[1]:
        return _einsum_of_two(one, terms, made)
    kernel, lengths = terms[1], one.whole(1)
    rest = [label for label in made if label in terms[0]]
    is_kernel = lengths is not None and len(lengths) == len(kernel)
    if not is_kernel or set(rest) & set(kernel) or not rest:
        return None
    assert lengths is not None
    sizes = dict(zip(kernel, lengths, strict=True))
    rows = math.prod(size for label, size in sizes.items() if label in terms[0])
    view = View((math.prod(lengths) // max(rows, 1), rows), one.inputs[1])
    return one.to("FULLY_CONNECTED", one.inputs[0], view)


def _einsum_of_two(one: Lowering, terms: Sequence[str], made: str) -> list[Lowered] | None:
    """Return the operator of products of matrices, one for each example and head."""
    shape = one.shapes[0]
    shared = [label for label in terms[0] if label in terms[1] and label in made]
    if shape is None or len(shape) != len(terms[0]) or not 1 <= len(shared) <= 2:
        return None
    if len(terms[0]) != len(terms[1]) or len(made) != len(terms[0]) or shared[0] != made[0]:
        return None
    sizes = dict(zip(terms[0], shape, strict=True))
    lengths = (*(sizes[label] for label in shared), None, None)
    first, second = (View(lengths, index, is_made=True) for index in one.inputs)
    return one.to("BATCH_MATMUL", first, second)


def normalization(one: Lowering) -> list[Lowered] | None:
    """Return the operator of a batch normalization, or of one over what a batch is made of.

    tf_keras normalizes layers as batches: what is normalized together is one channel.
    """
    shape = one.shapes[0]
    if not one.node.number("is_training", 1):
        return one.to("MUL", one.inputs[0], one.inputs[1]) if not any(one.is_made[1:]) else None
    if shape is None or len(shape) != 4 or one.is_made[1] or one.is_made[2]:
        return None
    is_last = one.node.text("data_format", "NHWC") == "NHWC"
    lengths = shape[:3] if is_last else (shape[0], *shape[2:])
    return one.to(
        "NORMALIZE", one.inputs[0], View(tuple(lengths)), epsilon=one.node.real("epsilon", 1e-4)
    )
