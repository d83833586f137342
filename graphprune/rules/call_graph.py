"""The calls of a graph as numbers, and breadth-first searches over them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import networkx as nx

Addresses = frozenset[str]
Links = Sequence[Sequence[int]]


class CallGraph:
    """The call graph with its calls numbered from 0.

    Attributes:
        address: The layer of each call.
        after, before: The direct consumers and producers of each call.
    """

    def __init__(self, flow: nx.DiGraph[Any]) -> None:
        number = {call: index for index, call in enumerate(flow)}
        self.address = [address for address, _ in number]
        self.after: Links = [[number[other] for other in flow.successors(call)] for call in number]
        self.before: Links = [[number[other] for other in flow.predecessors(call)] for call in number]
        self._calls: dict[str, list[int]] = {}
        for index, address in enumerate(self.address):
            self._calls.setdefault(address, []).append(index)

    def calls_of(self, addresses: Iterable[str]) -> list[int]:
        """Return all calls of these layers; nested models, which are containers only, have none."""
        return [call for address in addresses for call in self._calls.get(address, ())]

    def layers_of(self, calls: Iterable[int]) -> Addresses:
        """Return the layers that these are calls of."""
        return frozenset(map(self.address.__getitem__, calls))


def reach(starts: Iterable[int], links: Links, stops: Collection[int] = (), hops: int | None = None) -> list[int]:
    """Return the calls that one step or more along `links` leads to, at most `hops`; a call in `stops` is reached but not passed, unless it is a start."""
    found: list[int] = []
    edge = list(starts)
    is_found, is_closed = bytearray(len(links)), bytearray(len(links))
    for call in (*stops, *edge):
        is_closed[call] = True
    while edge and (hops is None or hops > 0):
        first = len(found)
        for call in edge:
            for other in links[call]:
                if not is_found[other]:
                    is_found[other] = True
                    found.append(other)
        edge = [call for call in found[first:] if not is_closed[call]]
        hops = None if hops is None else hops - 1
    return found
