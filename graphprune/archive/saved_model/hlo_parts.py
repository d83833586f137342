"""What operations of StableHLO become that take parts of tensors, pad them or turn them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from graphprune.archive.saved_model.hlo_writing import HloWriter, Writing
from graphprune.archive.saved_model.stable_hlo import HloOperation

_GATHERED = re.compile(r"(\w+) = (?:\[([\d, ]*)\]|(\d+))")


def _between(one: HloWriter, operation: HloOperation) -> int | None:
    """Add the part of a tensor between two places of each axis."""
    parts = ("start_indices", "limit_indices", "strides")
    begin, end, stride = (operation.settings[name] for name in parts)
    return _strided(one, operation, begin, end, stride)


def item_of(one: HloWriter, operation: HloOperation) -> int | None:
    """Add one part of a sequence, for a slice of length 1 whose axis is taken away then."""
    maker = one.makers.get(operation.inputs[0])
    if maker is None or maker.kind != "slice" or not one.is_made(maker.inputs[0]):
        return None
    source, after = one.shape(maker.inputs[0]), one.shape(operation.outputs[0])
    begin, end = maker.settings["start_indices"], maker.settings["limit_indices"]
    for axis in range(len(source)):
        is_one = end[axis] == begin[axis] + 1 and source[axis] != 1
        if is_one and after == (*source[:axis], *source[axis + 1 :]):
            parts = {axis: (begin[axis], end[axis])}
            return _along_axes(one, operation, maker.inputs[0], parts, is_one=True)
    return None


def _along_axes(
    one: HloWriter,
    operation: HloOperation,
    source: int,
    parts: Mapping[int, tuple[int, int]],
    *,
    is_one: bool,
) -> int:
    """Add the part of a tensor between two places of axes, which `is_one` takes away."""
    axes = range(len(one.shape(source)))
    ends = [[parts.get(axis, (0, 0))[side] for axis in axes] for side in (0, 1)]
    numbers = [one.constant(each) for each in (*ends, [1 for _ in axes])]
    others = sum(1 << axis for axis in axes if axis not in parts)
    masks = {"begin_mask": others, "end_mask": others}
    masks |= {"shrink_axis_mask": sum(1 << axis for axis in parts)} if is_one else {}
    return one.like(operation, "StridedSlice", one.take(source), *numbers, **masks)


def _told_between(one: HloWriter, operation: HloOperation) -> int | None:
    """Add the part of a tensor between two places that operations make.

    Of a sequence in a loop, that is the part that the loop has come to.
    """
    source, begin, end, stride = operation.inputs
    if one.is_item(operation, begin):
        return one.item(operation, source)
    places = [one.vector(index) for index in (begin, end, stride)]
    if any(each is None for each in places):
        return None
    return _strided(one, operation, *(each or [] for each in places))


def _told_from(one: HloWriter, operation: HloOperation) -> int | None:
    """Add the part of a tensor that begins at a place of each axis."""
    source, *begins = operation.inputs
    sizes = operation.settings["slice_sizes"]
    if one.is_place(begins[0], one.shape(source)[0]) and sizes[0] == 1 and one.are_zero(begins[1:]):
        return one.item(operation, source)
    begin = [one.numbers.get(index) for index in begins]
    if any(not isinstance(each, int) for each in begin):
        return None
    numbers = [int(each or 0) for each in begin]
    end = [first + size for first, size in zip(numbers, sizes, strict=True)]
    return _strided(one, operation, numbers, end, [1] * len(sizes))


def _strided(
    one: HloWriter,
    operation: HloOperation,
    begin: Sequence[int | None],
    end: Sequence[int | None],
    stride: Sequence[int | None],
) -> int | None:
    lengths = one.shape(operation.inputs[0])
    whole = sum(
        1 << axis
        for axis, length in enumerate(lengths)
        if (begin[axis], stride[axis]) == (0, 1) and end[axis] == length
    )
    open_ = [axis for axis in range(len(lengths)) if not whole >> axis & 1]
    if any(None in (begin[axis], end[axis], stride[axis]) for axis in open_):
        return None
    numbers = [one.constant([each or 0 for each in part]) for part in (begin, end)]
    steps = one.constant([each or 1 for each in stride])
    masks = {"begin_mask": whole, "end_mask": whole}
    return one.like(
        operation, "StridedSlice", one.take(operation.inputs[0]), *numbers, steps, **masks
    )


def _put_in(one: HloWriter, operation: HloOperation) -> int | None:
    """Add a tensor whose part that a loop has come to is another one."""
    whole, part, first, *others = operation.inputs
    is_place = one.is_place(first, one.shape(whole)[0])
    if one.counter is None or not is_place or not one.are_zero(others):
        return None
    if one.shape(part)[:1] != (1,):
        return None
    counter = one.take(one.counter)
    return one.like(operation, "TensorListSetItem", one.take(whole), counter, one.take(part))


def _padded(one: HloWriter, operation: HloOperation) -> int | None:
    low, high, inside = (
        operation.settings[name]
        for name in ("edge_padding_low", "edge_padding_high", "interior_padding")
    )
    if any(inside) or min(*low, *high) < 0 or one.numbers.get(operation.inputs[1]) != 0:
        return None
    pairs = one.constant([*map(list, zip(low, high, strict=True))])
    return one.like(operation, "Pad", one.take(operation.inputs[0]), pairs)


def _reversed(one: HloWriter, operation: HloOperation) -> int:
    source, axes = operation.inputs[0], operation.settings["dimensions"]
    if source in one.backward and axes == [0]:
        return one.backward[source]
    return one.like(operation, "ReverseV2", one.take(source), one.constant(axes))


def _gathered(one: HloWriter, operation: HloOperation) -> int | None:
    """Add what is taken of a tensor: rows of a table, or a part that begins at a certain place."""
    table, places, *_ = operation.inputs
    (made,) = operation.outputs
    told = {
        name: [int(part) for part in (listed or number).split(",") if part.strip()]
        for name, listed, number in _GATHERED.findall(operation.settings["dimension_numbers"])
    }
    axes, gone = told.get("start_index_map", []), told.get("collapsed_slice_dims", [])
    rank, after = len(one.shape(table)), len(one.shape(made))
    indices = one.shape(places)
    if one.is_constant(table) and (axes, gone, rank) == ([0], [0], 2):
        is_whole = told.get("offset_dims") == [after - 1] and indices[-1:] == (1,)
        if not is_whole or told.get("index_vector_dim") != [len(indices) - 1]:
            return None
        shape = (*indices[:-1],)
        rows = one.add("Squeeze", one.take(places), shape=shape, dtype=one.dtype(places))
        return one.like(operation, "GatherV2", one.take(table), rows, one.constant(0))
    return _part(one, operation, axes, gone) if one.is_made(table) else None


def _part(
    one: HloWriter, operation: HloOperation, axes: Sequence[int], gone: Sequence[int]
) -> int | None:
    """Add the part of a tensor that begins at certain places of some axes.

    The last part of the sequence that a loop makes is told as such.
    """
    table, places, *_ = operation.inputs
    begins, lengths = one.vector(places), one.shape(table)
    if begins is None or None in begins or len(begins) != len(axes) or gone not in ([], axes):
        return None
    kept = one.shape(operation.outputs[0])
    parts: dict[int, tuple[int, int]] = {}
    for axis, begin in zip(axes, begins, strict=True):
        size = 1 if gone else kept[axis]
        if size is None or begin is None or begin < 0:
            return None
        is_last = bool(gone) and begin + size == lengths[axis] and one.is_of_loop(table)
        parts[axis] = (-1, 0) if is_last else (begin, begin + size)
    return _along_axes(one, operation, table, parts, is_one=bool(gone))


PARTS: Mapping[str, Writing] = {
    "dynamic_gather": _gathered,
    "dynamic_slice": _told_from,
    "dynamic_update_slice": _put_in,
    "gather": _gathered,
    "pad": _padded,
    "real_dynamic_slice": _told_between,
    "reverse": _reversed,
    "slice": _between,
}
