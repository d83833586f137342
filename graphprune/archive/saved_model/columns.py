"""The columns of a weight that operations take a part of, as cells of recurrent layers do."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.archive.saved_model.folding import Values
from graphprune.archive.saved_model.graph_def import Lengths, Node


def first_columns(
    node: Node,
    values: Sequence[Values | None],
    shapes: Sequence[Lengths | None],
    results: Sequence[Lengths | None],
) -> list[int]:
    """Return the first column of each result of an operation; empty for other operations.

    Args:
        node: The operation.
        values: The values that it takes; None where they are not known.
        shapes, results: The shapes of what it takes and gives.
    """
    if node.kind == "Split":
        axis, shape = values[0], shapes[1]
        widths = [result[-1] for result in results if result]
        is_last = axis is not None and shape and axis[()] in (-1, len(shape) - 1)
        if not is_last or len(widths) != len(results) or None in widths:
            return []
        return [sum(width or 0 for width in widths[:place]) for place in range(len(widths))]
    if node.kind == "StridedSlice" and shapes[0] and values[1] is not None:
        last = len(shapes[0]) - 1
        begin = values[1].reshape(-1).tolist()
        is_plain = not any(node.number(f"{name}_mask") for name in ("new_axis", "ellipsis"))
        if is_plain and len(begin) == last + 1:
            is_open = node.number("begin_mask") & 1 << last
            first = 0 if is_open else begin[last]
            return [first] if isinstance(first, int) and first >= 0 else []
    return []
