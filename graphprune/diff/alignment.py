"""Sequences of layers brought into line: which stand in the same place of two models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from graphprune.archive.entries import to_snake_case
from graphprune.graph.layers import Layer

Places = dict[int, int]
"""Places in the right sequence by places in the left one, both rising."""

_MOST = 1 << 24
"""Pairs of places that are compared; longer sequences are only trimmed at both ends."""
_NUMBER = re.compile(r"_[0-9]{1,9}$")


def is_default_name(layer: Layer) -> bool:
    """Return whether Keras named a layer after its class, perhaps with a number."""
    name = _NUMBER.sub("", layer.name)
    return any(to_snake_case(kind) == name for kind in layer.types)


def align(left: Sequence[str], right: Sequence[str]) -> Places:
    """Return the longest common subsequence of two sequences of keys, by places.

    What both begin or end with is in it.

    Example:
        >>> align("abcde", "abxcde")
        {0: 0, 1: 1, 2: 3, 3: 4, 4: 5}
    """
    shorter = min(len(left), len(right))
    start = next((at for at in range(shorter) if left[at] != right[at]), shorter)
    rest = shorter - start
    end = next((at for at in range(rest) if left[-1 - at] != right[-1 - at]), rest)
    middle = _align_middle(left[start : len(left) - end], right[start : len(right) - end])
    return {
        **{at: at for at in range(start)},
        **{start + one: start + other for one, other in middle},
        **{len(left) - at: len(right) - at for at in range(end, 0, -1)},
    }


def _align_middle(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of a longest common subsequence, by the table of Wagner and Fischer."""
    if not left or not right or len(left) * len(right) > _MOST:
        return
    numbers: dict[str, int] = {}
    one, other = (
        np.array([numbers.setdefault(key, len(numbers)) for key in keys]) for keys in (left, right)
    )
    lengths = np.zeros((len(left) + 1, len(right) + 1), np.int32)
    for at in range(len(left) - 1, -1, -1):
        below = lengths[at + 1]
        row = np.maximum(below[:-1], np.where(other == one[at], below[1:] + 1, 0))
        lengths[at, :-1] = np.maximum.accumulate(row[::-1])[::-1]
    at, to = 0, 0
    while at < len(left) and to < len(right):
        if one[at] == other[to]:
            yield at, to
            at, to = at + 1, to + 1
        elif lengths[at + 1, to] >= lengths[at, to + 1]:
            at += 1
        else:
            to += 1


def fill_gaps(found: Places, left: Sequence[str], right: Sequence[str]) -> Places:
    """Return what is found already, and what looser keys bring into line between.

    Example:
        >>> fill_gaps({1: 2}, "aba", "aaba")
        {0: 0, 1: 2, 2: 3}
    """
    filled: Places = {}
    before = (-1, -1)
    for pair in [*found.items(), (len(left), len(right))]:
        gap = align(left[before[0] + 1 : pair[0]], right[before[1] + 1 : pair[1]])
        filled |= {before[0] + 1 + one: before[1] + 1 + other for one, other in gap.items()}
        if pair[0] < len(left):
            filled[pair[0]] = pair[1]
        before = pair
    return filled
