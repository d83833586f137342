"""What products, convolutions and windows of StableHLO become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graphprune.archive.operators import EITHER, same_width
from graphprune.archive.saved_model.graph_def import Lengths
from graphprune.archive.saved_model.hlo_functions import SPREAD
from graphprune.archive.saved_model.hlo_writing import HloWriter
from graphprune.archive.saved_model.stable_hlo import HloOperation

_DIMENSIONS = re.compile(r"(\w+_dimensions) = \[([\d, ]*)\]")
_LAYOUT = re.compile(r"\[(.*?)\]x\[(.*?)\]->\[(.*?)\]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SUMMED, _LARGEST = "add", "maximum"


def product(one: HloWriter, operation: HloOperation) -> int | None:
    """Add a product over some axes: one with a matrix, or an einsum."""
    told = operation.settings["dot_dimension_numbers"]
    axes = {
        name: [int(part) for part in listed.split(",") if part.strip()]
        for name, listed in _DIMENSIONS.findall(told)
    }
    sides = []
    for side in ("lhs", "rhs"):
        names = (f"{side}_batching_dimensions", f"{side}_contracting_dimensions")
        sides.append([axes.get(name, []) for name in names])
    (batch, summed), (other_batch, other_summed) = sides
    first, second = operation.inputs
    if not {first, second} <= one.made | one.weights:  # a matrix of numbers that are not learned
        return None
    ranks = len(one.shape(first)), len(one.shape(second))
    if not batch and ranks == (2, 2) and (summed, other_summed) == ([1], [0]):
        return one.like(operation, "MatMul", one.take(first), one.take(second))
    letters = iter(_LETTERS)
    terms: list[list[str]] = [[""] * rank for rank in ranks]
    pairs = [*zip(batch, other_batch, strict=True), *zip(summed, other_summed, strict=True)]
    for axis, other in pairs:
        terms[0][axis] = terms[1][other] = next(letters)
    for term in terms:
        for axis, letter in enumerate(term):
            term[axis] = letter or next(letters)
    dropped = {terms[0][axis] for axis in summed}
    made = [terms[0][axis] for axis in batch]
    made += [each for term in terms for each in term if each not in dropped and each not in made]
    taken = [(first, terms[0]), (second, terms[1])]
    if one.is_constant(first) or second in one.shares:
        taken = taken[::-1]  # a kernel, and the values of attention, are what is taken second
    return _einsum(one, operation, taken, made)


def _einsum(
    one: HloWriter, operation: HloOperation, sides: list[tuple[int, list[str]]], made: list[str]
) -> int:
    """Add an einsum; axes of length 1 that only one of two tensors has are left out."""
    (result,) = operation.outputs
    sizes = dict(zip(made, one.shape(result), strict=True))
    longest = max(sides, key=lambda side: len(side[1]))
    if all(map(one.is_made, operation.inputs)):
        more = sum(len(longest[1]) - len(term) for _, term in sides)
        alone = [each for each in longest[1] if sizes.get(each) == 1][:more]
    else:
        alone = []
    inputs = []
    for number, term in sides:
        index, lengths = one.take(number), dict(zip(term, one.shape(number), strict=True))
        if set(alone) & set(term):
            shape = tuple(length for each, length in lengths.items() if each not in alone)
            index = one.add("Squeeze", index, one.constant([0]), shape=shape)
        inputs.append(index)
    left = ["".join(each for each in term if each not in alone) for _, term in sides]
    short = [each for each in made if each not in alone]
    shape = tuple(sizes[each] for each in short)
    equation = f"{','.join(left)}->{''.join(short)}"
    found = one.add("Einsum", *inputs, shape=shape, equation=equation)
    return one.like(operation, "ExpandDims", found, one.constant([0])) if alone else found


@dataclass(frozen=True, slots=True)
class _Window:
    """The figures of a convolution or a window, for each spatial axis."""

    lengths: Lengths
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    def padding(self) -> str:
        """Return the padding as TensorFlow has it; empty for another one."""
        is_valid = not any(map(any, self.pads))
        is_same = True
        axes = zip(self.lengths, self.kernel, self.strides, self.dilation, self.pads, strict=True)
        for length, kernel, stride, dilation, pads in axes:
            if length is None and stride > 1:
                return ""
            is_same &= pads == same_width(length or kernel, kernel, stride, dilation)
        return {(True, True): EITHER, (True, False): "VALID", (False, True): "SAME"}.get(
            (is_valid, is_same), ""
        )


def _pairs(listed: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(listed[::2], listed[1::2], strict=True))


def convolution(one: HloWriter, operation: HloOperation) -> int | None:
    """Add a convolution whose channels are last, along one axis to three."""
    settings, (x, kernel), (made,) = operation.settings, operation.inputs, operation.outputs
    layout = _LAYOUT.search(settings["dimension_numbers"])
    rank = len(one.shape(x)) - 2
    spatial = ", ".join(map(str, range(rank)))
    wanted = (f"b, {spatial}, f", f"{spatial}, i, o", f"b, {spatial}, f")
    if layout is None or layout.groups() != wanted or settings.get("batch_group_count", 1) != 1:
        return None
    ones = [1] * rank
    lengths = tuple(length or 0 for length in one.shape(kernel))
    figures = _Window(
        one.shape(x)[1:-1],
        lengths[:-2],
        tuple(settings.get("window_strides", ones)),
        tuple(settings.get("rhs_dilation", ones)),
        _pairs(settings.get("padding", [0, 0] * rank)),
    )
    apart = settings.get("lhs_dilation", ones)
    if {*apart} != {1} or one.is_turned(kernel):
        return _transposed(one, operation, figures, tuple(apart))
    padding = figures.padding()
    if not padding or not 1 <= rank <= 3 or not one.is_constant(kernel):
        return None
    groups, weight = settings.get("feature_group_count", 1), one.take(kernel)
    kind = "Conv3D" if rank == 3 else "Conv2D"
    maker = one.makers.get(kernel)
    by_channel = (*lengths[:-2], groups, lengths[-1] // groups)
    source = maker.inputs[0] if maker is not None and maker.kind in SPREAD else kernel
    is_reshaped = source != kernel and one.shape(source) == by_channel
    if rank < 3 and groups == one.shape(x)[-1] and is_reshaped:
        kind, lengths, weight = "DepthwiseConv2dNative", by_channel, one.take(source)
    return _along(
        one, kind, one.take(x), weight, (one.shape(x), lengths, one.shape(made)),
        strides=figures.strides, dilations=figures.dilation, padding=padding,
    )  # fmt: skip


def _along(
    one: HloWriter,
    kind: str,
    x: int,
    kernel: int | None,
    shapes: tuple[Lengths, Lengths, Lengths],
    **settings: str | tuple[int, ...],
) -> int:
    """Add an operation along spatial axes; one along one axis gets another one of length 1.

    Args:
        one: The writer.
        kind: That of the operation.
        x, kernel: What it takes.
        shapes: Those of both, and of the result.
        settings: Its settings along the spatial axes.
    """
    before, lengths, after = shapes
    is_narrow = len(before) == 3
    if is_narrow:
        axis = one.constant([1])
        x = one.add("ExpandDims", x, axis, shape=(before[0], 1, *before[1:]))
        if kernel is not None:
            kernel = one.reshaped(kernel, (1, *lengths), 1)
    more = (1,) if is_narrow else ()
    told: dict[str, Any] = {
        name: value if isinstance(value, str) else (1, *more, *value, 1)
        for name, value in settings.items()
    }
    inputs = (x,) if kernel is None else (x, kernel)
    if kind == "Conv2DBackpropInput":
        inputs = (one.constant([0]), *inputs[::-1])
    whole = (after[0], 1, *after[1:]) if is_narrow else after
    found = one.add(kind, *inputs, shape=whole, **told)
    return one.add("Squeeze", found, shape=after) if is_narrow else found


def _transposed(
    one: HloWriter, operation: HloOperation, figures: _Window, strides: tuple[int, ...]
) -> int | None:
    """Add a transposed convolution, whose kernel is turned round."""
    (x, kernel), (made,) = operation.inputs, operation.outputs
    source = one.turned_from(kernel)
    is_plain = {*figures.strides} == {1} and len(strides) < 3
    if source is None or not is_plain or operation.settings.get("feature_group_count", 1) != 1:
        return None
    paddings = set()
    axes = zip(
        one.shape(x)[1:-1], one.shape(made)[1:-1], figures.kernel, strides, figures.dilation,
        figures.pads, strict=True,
    )  # fmt: skip
    for length, result, size, stride, dilation, pads in axes:
        reach = (size - 1) * dilation + 1
        more = sum(pads) - reach + 2 - stride
        both = {"SAME": 0, "VALID": max(reach - stride, 0)}
        if None not in (length, result) and (length or 0) * stride + more != result:
            return None
        paddings.add(tuple(name for name, wanted in both.items() if more == wanted))
    told = set.intersection(*map(set, paddings))
    if not told:
        return None
    padding = EITHER if len(told) == 2 else told.pop()
    lengths = one.shape(source)
    return _along(
        one, "Conv2DBackpropInput", one.take(x), one.take(source),
        (one.shape(x), lengths, one.shape(made)),
        strides=strides, dilations=figures.dilation, padding=padding,
    )  # fmt: skip


def window(one: HloWriter, operation: HloOperation) -> int | None:
    """Add a pooling: the largest of a window, or the mean where that follows its sum."""
    (body,) = operation.blocks
    kinds = [each.kind for each in body.operations]
    pools = {_LARGEST: "MaxPool", _SUMMED: "AvgPool"}
    if len(operation.inputs) != 2 or len(kinds) != 1 or kinds[0] not in pools:
        return None
    (x, _), (made,), settings = operation.inputs, operation.outputs, operation.settings
    rank = len(one.shape(x))
    ones = [1] * rank
    size, strides, dilation, apart = (
        settings.get(name, ones)
        for name in ("window_dimensions", "window_strides", "window_dilations", "base_dilations")
    )
    pads = _pairs(settings.get("padding", [0, 0] * rank))
    is_outside = (size[0], size[-1], strides[0], strides[-1]) == (1, 1, 1, 1)
    if {*dilation, *apart} != {1} or not is_outside or rank not in (3, 4):
        return None
    inner = slice(1, -1)
    kernel, steps, spread = (tuple(each[inner]) for each in (size, strides, dilation))
    figures = _Window(one.shape(x)[inner], kernel, steps, spread, pads[inner])
    padding = figures.padding()
    if not padding or any(map(any, (pads[0], pads[-1]))):
        return None
    return _along(
        one, pools[kinds[0]], one.take(x), None, (one.shape(x), (), one.shape(made)),
        strides=figures.strides, ksize=figures.kernel, padding=padding,
    )  # fmt: skip
