"""Sets of a graph's layers with one byte a layer, so that set operations run on integers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import compress

Marks = bytes
"""One byte a number: 1 if it is in the set, 0 if it is not."""


def both(one: Marks, other: Marks) -> Marks:
    """Return the intersection.

    Example:
        >>> both(bytes([1, 1, 0]), bytes([0, 1, 1])) == bytes([0, 1, 0])
        True
    """
    return _to_marks(_to_number(one) & _to_number(other), len(one))


def either(one: Marks, other: Marks) -> Marks:
    """Return the union."""
    return _to_marks(_to_number(one) | _to_number(other), len(one))


def without(one: Marks, other: Marks) -> Marks:
    """Return the members of `one` that are not in `other`.

    Example:
        >>> without(bytes([1, 1, 0]), bytes([0, 1, 1])) == bytes([1, 0, 0])
        True
    """
    return _to_marks(_to_number(one) & ~_to_number(other), len(one))


def mark(positions: Iterable[int], size: int) -> Marks:
    """Return the set of these positions out of `size`.

    Example:
        >>> mark([0, 2], 3) == bytes([1, 0, 1])
        True
    """
    marks = bytearray(size)
    for position in positions:
        marks[position] = 1
    return bytes(marks)


def _to_number(marks: Marks) -> int:
    return int.from_bytes(marks, "little")


def _to_marks(number: int, size: int) -> Marks:
    return number.to_bytes(size, "little")


class LayerOrder:
    """The layers of one graph, numbered in its order.

    Attributes:
        addresses: All addresses in order.
        position: The number of each.
    """

    def __init__(self, addresses: Iterable[str]) -> None:
        self.addresses = tuple(addresses)
        self.position: Mapping[str, int] = {
            address: index for index, address in enumerate(self.addresses)
        }

    def __len__(self) -> int:
        return len(self.addresses)

    def at(self, positions: Iterable[int]) -> LayerSet:
        """Return the layers at these positions."""
        return LayerSet(self, mark(positions, len(self)))

    def of(self, addresses: Iterable[str]) -> LayerSet:
        """Return the layers with these addresses; unknown addresses are ignored."""
        return self.at(self.position[address] for address in addresses if address in self.position)

    def everything(self) -> LayerSet:
        """Return all layers."""
        return LayerSet(self, b"\1" * len(self))


class LayerSet(Set[str]):
    """Addresses of some layers of a graph, in its order; equal to a set of the same strings.

    Example:
        >>> order = LayerOrder(["in", "fc", "out"])
        >>> sorted(order.of(["in", "fc"]) & order.of(["fc", "out"]))
        ['fc']
        >>> "in" in order.of(["in"]), order.of(["out"]) == {"out"}
        (True, True)
    """

    __slots__ = ("marks", "order")

    def __init__(self, order: LayerOrder, marks: Marks) -> None:
        self.order = order
        self.marks = marks

    def __contains__(self, address: object) -> bool:
        position = self.order.position.get(address) if isinstance(address, str) else None
        return position is not None and self.marks[position] == 1

    def __iter__(self) -> Iterator[str]:
        return compress(self.order.addresses, self.marks)

    def __len__(self) -> int:
        return self.marks.count(1)

    def __bool__(self) -> bool:
        return 1 in self.marks

    def __and__(self, other: Set[object]) -> LayerSet:
        return LayerSet(self.order, both(self.marks, self._marks_of(other)))

    def __or__(self, other: Set[object]) -> LayerSet:
        return LayerSet(self.order, either(self.marks, self._marks_of(other)))

    def __sub__(self, other: Set[object]) -> LayerSet:
        return LayerSet(self.order, without(self.marks, self._marks_of(other)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)})"

    def _marks_of(self, other: Set[object]) -> Marks:
        assert isinstance(other, LayerSet), f"layers meet only layers, got {other!r}"
        assert other.order is self.order, "sets of layers are of one graph"
        return other.marks
