"""Shapes of tensors as values: axis lengths, None where a length is open."""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = tuple[int | None, ...]

MAX_RANK = 16
"""TensorFlow knows no tensor with more axes that it can compute with; a file that claims one tells
nothing.
"""


def format_shape(shape: Shape) -> str:
    """Return a shape as drawings show it.

    Example:
        >>> format_shape((None, 8, 8, 32)), format_shape(())
        ('?×8×8×32', 'scalar')
    """  # noqa: RUF002 - the sign of multiplication is meant
    lengths = ("?" if length is None else str(length) for length in shape)
    return "×".join(lengths) or "scalar"  # noqa: RUF001


def size_of(lengths: Sequence[int | None]) -> int | None:
    """Return the product of the lengths; None where one is open.

    Example:
        >>> size_of((2, 3)), size_of((2, None)), size_of(())
        (6, None, 1)
    """
    known = [length for length in lengths if length is not None]
    return math.prod(known) if len(known) == len(lengths) else None


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Return the shape of an elementwise operation on these shapes, by the rules of NumPy.

    An open length stays open beside 1 and is that of a longer axis beside it, as the two must agree
    when the operation runs.

    Raises:
        ValueError: two lengths do not go together.

    Example:
        >>> broadcast([(None, 8, 8, 3), (1, 1, 3), ()]), broadcast([(None, 5), (4, 1)])
        ((None, 8, 8, 3), (4, 5))
    """
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(
        one_length([length for length in lengths if length != 1] or [1])
        for lengths in zip(*padded, strict=True)
    )


def concatenate(shapes: Sequence[Shape], axis: int) -> Shape:
    """Return the shape of tensors joined along `axis`.

    Raises:
        ValueError: two other lengths do not go together, or the ranks differ.
        IndexError: there is no such axis.

    Example:
        >>> concatenate([(None, 3, 4), (None, 3, 5)], -1)
        (None, 3, 9)
    """
    along = range(len(shapes[0]))[axis]
    columns = list(zip(*shapes, strict=True))
    lengths: list[int | None] = [
        None if index == along else one_length(column) for index, column in enumerate(columns)
    ]
    lengths[along] = (
        sum(known)
        if len(known := [length for length in columns[along] if length is not None]) == len(shapes)
        else None
    )
    return tuple(lengths)


def one_length(lengths: Sequence[int | None]) -> int | None:
    """Return the length on which all of these agree; None where all are open.

    Raises:
        ValueError: they do not.
    """
    known = {length for length in lengths if length is not None}
    if len(known) > 1:
        raise ValueError(f"axis lengths {sorted(known)} do not go together")
    return next(iter(known), None)
