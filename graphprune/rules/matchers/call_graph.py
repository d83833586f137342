"""The calls of a graph as numbers, searches over them, and the paths found, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

import networkx as nx

from graphprune.graph.layers import name_call
from graphprune.rules.matchers.layer_set import LayerOrder, LayerSet, Marks

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.matcher import Matcher
    from graphprune.rules.matchers.matches import Matches

Links = Sequence[Sequence[int]]
Walk = tuple[Iterable[int], Iterable[int]]
"""The calls where a search starts, and the calls where it stops."""

TOGETHER = 8
"""Searches that run together, one bit of a byte each."""

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
        """Return all calls of these layers; nested models are only containers and have none."""
        if isinstance(addresses, LayerSet):
            return list(chain.from_iterable(compress(self._calls, addresses.marks)))
        return [
            call for address in addresses for call in self._calls[self._order.position[address]]
        ]

    def name(self, call: int) -> str:
        """Return the layer's address, with the number of the call if there are several."""
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
        """Return the calls that each search reaches in one step or more; at most eight searches.

        One pass over all calls in topological order serves all searches.

        A search continues past one of its stops only if it starts there.
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
    """Return for each call a byte with bit `n` set if it is in search `n`."""
    found = bytearray(size)
    for bit, calls in enumerate(walks):
        for call in calls:
            found[call] |= 1 << bit
    return found


def reach(
    starts: Iterable[int], links: Links, stops: Iterable[int] = (), hops: int | None = None
) -> Marks:
    """Return the calls that are at least one and at most `hops` steps away along `links`.

    The search reaches a call in `stops` but continues past it only if it is a start.
    """
    found, is_closed = bytearray(len(links)), bytearray(len(links))
    edge = list(starts)
    for call in (*stops, *edge):
        is_closed[call] = True
    while edge and (hops is None or hops > 0):
        further = (
            edge if hops is None else []
        )  # without a bound the list can grow while it is iterated
        for call in edge:
            for other in links[call]:
                if not found[other]:
                    found[other] = True
                    if not is_closed[other]:
                        further.append(other)
        edge, hops = ([], None) if hops is None else (further, hops - 1)
    return bytes(found)


SHOWN = 6


def find_way(
    matches: Matches,
    address: str,
    wanted: Collection[str],
    links: Links,
    stops: Collection[str] = (),
    hops: int | None = None,
) -> list[int]:
    """Return the calls on a shortest path along `links` from the layer to one of `wanted`.

    Both ends are included; empty if there is no path.

    The path goes through no layer of `stops`.
    """
    names = matches.calls.address
    came: dict[int, int | None] = dict.fromkeys(matches.calls.calls_of((address,)))
    edge = list(came)
    while edge and hops != 0:
        further = []
        for call in edge:
            for other in links[call]:
                if other in came:
                    continue
                came[other] = call
                if names[other] in wanted:
                    return trace(came, other)
                if names[other] not in stops:
                    further.append(other)
        edge, hops = further, None if hops is None else hops - 1
    return []


def trace(came: Mapping[int, int | None], end: int) -> list[int]:
    """Return the path to `end`; `came` maps each call to the one before it."""
    way = [end]
    while (before := came[way[-1]]) is not None:
        way.append(before)
    return way[::-1]


def through(matches: Matches, way: Sequence[int]) -> str:
    """Return the layers between the ends of a path, long ones shortened in the middle."""
    if len(way) <= 2:
        return ""
    half = SHOWN // 2
    name = matches.calls.name
    if len(way) > SHOWN + 2:
        head, tail = map(name, way[:half]), map(name, way[-half:])
        shown = [*head, f"{len(way) - SHOWN} more", *tail]
    else:
        shown = list(map(name, way))
    return f": reached through {' > '.join(shown)}"


def not_reached(failures: Failures, wanted: Matcher, address: str, *, upstream: bool) -> str:
    """Return that no layer of `wanted` is on one side of the layer, and the nearest layer there."""
    matches = failures.matches
    links = matches.calls.before if upstream else matches.calls.after
    reached = matches.calls.layers_of(reach(matches.calls.calls_of((address,)), links))
    near = failures.nearest(wanted, reached - matches.order.of((address,)))
    tail = f"; {near}" if near else _next(matches, address, links)
    return f"no {wanted.noun()} {'comes before' if upstream else 'follows'} {address}{tail}"


def _next(matches: Matches, address: str, links: Links) -> str:
    """Return the nearest layer on the side without a match."""
    names = neighbours(matches, address, links)
    return f"; the nearest is {names[0]} ({matches.graph.layers[names[0]].type})" if names else ""


def neighbours(matches: Matches, address: str, links: Links) -> list[str]:
    """Return the layers one call away along `links`, each once."""
    calls = matches.calls
    return list(
        dict.fromkeys(
            calls.address[other] for call in calls.calls_of((address,)) for other in links[call]
        )
    )
