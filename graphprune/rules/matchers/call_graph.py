"""The calls of a graph as numbers, and breadth-first searches over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, compress
from typing import Any

import networkx as nx

from graphprune.graph.layers import name_call
from graphprune.rules.matchers.layer_set import LayerOrder, LayerSet, Marks

Links = Sequence[Sequence[int]]
Walk = tuple[Iterable[int], Iterable[int]]
"""The calls where a search starts, and those that it does not go past."""

TOGETHER = 8
"""Searches that walk together, one bit of a byte each."""

_BIT = [bytes(value >> bit & 1 for value in range(256)) for bit in range(TOGETHER)]


class CallGraph:
    """The call graph with its calls numbered from 0.

    Attributes:
        address: The layer of each call.
        after, before: The direct consumers and producers of each call.
    """

    def __init__(self, flow: nx.DiGraph[Any], order: LayerOrder) -> None:
        number = {call: index for index, call in enumerate(flow)}
        self.address = [address for address, _ in number]
        self._index = [index for _, index in number]
        self.after: Links = [
            tuple(map(number.__getitem__, flow.successors(call))) for call in number
        ]
        self.before: Links = [
            tuple(map(number.__getitem__, flow.predecessors(call))) for call in number
        ]
        is_sorted = all(other < call for call, others in enumerate(self.before) for other in others)
        self._sorted: Sequence[int] = (
            range(len(number))
            if is_sorted
            else [number[call] for call in nx.topological_sort(flow)]
        )
        self._order = order
        self._layer = [order.position[address] for address in self.address]
        self._calls: list[list[int]] = [[] for _ in order.addresses]
        for call, layer in enumerate(self._layer):
            self._calls[layer].append(call)

    def calls_of(self, addresses: Iterable[str]) -> list[int]:
        """Return all calls of these layers; nested models, which are containers only, have none."""
        if isinstance(addresses, LayerSet):
            return list(chain.from_iterable(compress(self._calls, addresses.marks)))
        return [
            call for address in addresses for call in self._calls[self._order.position[address]]
        ]

    def name(self, call: int) -> str:
        """Return the address of the layer that this is a call of, and where it has several calls,
        which of them.
        """
        address = self.address[call]
        return (
            f"{address} ({name_call(self._index[call])})"
            if len(self._calls[self._layer[call]]) > 1
            else address
        )

    def layers_of(self, calls: Marks) -> LayerSet:
        """Return the layers that these are calls of."""
        return self._order.at(compress(self._layer, calls))

    def search(self, walks: Sequence[Walk], *, downstream: bool) -> list[Marks]:
        """Return, for each of at most eight walks, the calls that it leads to in one step or more;
        all calls are looked at once, in topological order.

        A walk goes past its stops only where it starts.
        """
        starts, stops = (_bits(calls, len(self.address)) for calls in zip(*walks, strict=True))
        found, given = bytearray(len(starts)), bytearray(starts)
        sources, order = (
            (self.before, self._sorted) if downstream else (self.after, reversed(self._sorted))
        )
        for call in order:
            bits = 0
            for source in sources[call]:
                bits |= given[source]
            if bits:
                found[call] = bits
                given[call] |= bits & ~stops[call]
        return [bytes(found.translate(_BIT[bit])) for bit in range(len(walks))]


def _bits(walks: Sequence[Iterable[int]], size: int) -> bytearray:
    """Return for each call a byte with bit `n` set where it is in walk `n`."""
    found = bytearray(size)
    for bit, calls in enumerate(walks):
        for call in calls:
            found[call] |= 1 << bit
    return found


def reach(
    starts: Iterable[int], links: Links, stops: Iterable[int] = (), hops: int | None = None
) -> Marks:
    """Return the calls that one step or more along `links` leads to, at most `hops`; a call in
    `stops` is reached but not passed, unless it is a start.
    """
    found, is_closed = bytearray(len(links)), bytearray(len(links))
    edge = list(starts)
    for call in (*stops, *edge):
        is_closed[call] = True
    while edge and (hops is None or hops > 0):
        further = (
            edge if hops is None else []
        )  # without a bound the walk may go on in the list that it walks along
        for call in edge:
            for other in links[call]:
                if not found[other]:
                    found[other] = True
                    if not is_closed[other]:
                        further.append(other)
        edge, hops = ([], None) if hops is None else (further, hops - 1)
    return bytes(found)
