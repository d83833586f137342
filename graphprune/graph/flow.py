"""The call graph: one node a (layer, call), nested models flattened into the layers inside them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

import networkx as nx

from graphprune.errors import GraphError
from graphprune.graph.frames import Frame, Use

Call = tuple[str, int]
"""Address and call index."""

MAX_CALLS = 2_000_000
"""Calls of one model; those of nested models that are called several times multiply."""


def call_order(frame: Frame, place: str) -> tuple[tuple[int, int], ...]:
    """Return all calls (position of the member, call index) in topological order, ties by position.

    Raises:
        GraphError: the calls form a cycle.
    """
    position = {member.name: index for index, member in enumerate(frame.members)}
    waiting = {
        (index, call): len(uses)
        for index, member in enumerate(frame.members)
        for call, uses in enumerate(member.calls)
    }
    consumers: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, member in enumerate(frame.members):
        for call, uses in enumerate(member.calls):
            for use in uses:
                consumers.setdefault((position[use.source], use.source_call), []).append(
                    (index, call)
                )
    ready = [node for node, missing in waiting.items() if not missing]
    heapq.heapify(ready)
    order = []
    while ready:
        node = heapq.heappop(ready)
        order.append(node)
        for consumer in consumers.get(node, ()):
            waiting[consumer] -= 1
            if not waiting[consumer]:
                heapq.heappush(ready, consumer)
    if len(order) < len(waiting):
        stuck = min(set(waiting) - set(order))
        raise GraphError(
            f"layer {frame.members[stuck[0]].name!r} waits for its own output; a model"
            " must be acyclic, save it again",
            place=place,
        )
    return tuple(order)


def layer_order(frame: Frame, calls: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Return the positions of all members in topological order, ties by position.

    `calls` is what `call_order` returned.

    Shared layers may feed each other, `b(a(b(x)))`: where every layer left waits for another, the
    one that is called first comes next.
    """
    position = {member.name: index for index, member in enumerate(frame.members)}
    sources = {
        index: {position[use.source] for uses in member.calls for use in uses} - {index}
        for index, member in enumerate(frame.members)
    }
    consumers: dict[int, list[int]] = {}
    for index, feeding in sources.items():
        for source in feeding:
            consumers.setdefault(source, []).append(index)
    by_first_call = iter(dict.fromkeys(index for index, _ in calls))
    ready = [index for index, feeding in sources.items() if not feeding]
    heapq.heapify(ready)
    order: dict[int, None] = {}
    while len(order) < len(sources):
        index = (
            heapq.heappop(ready)
            if ready
            else next(index for index in by_first_call if index not in order)
        )
        order[index] = None
        for consumer in consumers.get(index, ()):
            sources[consumer].discard(index)
            if not sources[consumer] and consumer not in order:
                heapq.heappush(ready, consumer)
    return tuple(order)


class FlowBuilder:
    """Walks a model's calls once, descending into nested models, and collects the call graph.

    Attributes:
        graph: Nodes are calls of layers that are not models; inputs of nested models are passed
            through, so a layer's producers are always layers that compute.
        calls: How often each address is called, nested models and their inputs included.
        outputs: The calls whose tensors leave the top-level model.
    """

    def __init__(
        self,
        frames: Mapping[str, Frame],
        orders: Mapping[str, tuple[tuple[int, int], ...]],
        place: str,
    ) -> None:
        self.graph: nx.DiGraph[Any] = nx.DiGraph()
        self.calls: dict[str, int] = {}
        self.outputs: list[Call] = []
        self._frames = frames
        self._orders = orders
        self._place = place
        self._made = 0
        for made in self._call_model(frames[""], None, 0):
            self.outputs.extend(made)

    def _call_model(
        self, frame: Frame, given: list[list[Call]] | None, number: int
    ) -> list[list[Call]]:
        """Make call `number` of a model on its inputs' producers; return those of its outputs."""
        made: dict[Call, list[list[Call]]] = {}
        taken = {} if given is None else _bind(frame.inputs, given)
        fed = given is not None and not frame.inputs
        for index, call in self._orders[frame.address]:
            member = frame.members[index]
            producers = [_pick(made, use) for use in member.calls[call]]
            if fed and given is not None and not producers:
                producers = given
            inner = number * len(member.calls) + call
            made[member.name, call] = self._call_member(
                (frame.address_of(member.name), inner), producers, taken.get(member.name)
            )
        return [_pick(made, use) for use in frame.outputs]

    def _call_member(
        self, node: Call, producers: list[list[Call]], passed: list[Call] | None
    ) -> list[list[Call]]:
        address, number = node
        self._made += 1
        if self._made > MAX_CALLS:
            raise GraphError(
                f"nested models make more than {MAX_CALLS:,} calls; call them less often",
                place=self._place,
            )
        self.calls[address] = self.calls.get(address, 0) + 1
        if address in self._frames:
            return self._call_model(self._frames[address], producers, number)
        if passed is not None:
            return [passed]
        self.graph.add_node(node)
        self.graph.add_edges_from((source, node) for sources in producers for source in sources)
        return [[node]]


def _bind(inputs: Iterable[Use], given: list[list[Call]]) -> dict[str, list[Call]]:
    names = [use.source for use in inputs]
    if len(names) == len(given):
        return dict(zip(names, given, strict=True))
    everything = [call for calls in given for call in calls]
    return dict.fromkeys(names, everything)


def _pick(made: Mapping[Call, list[list[Call]]], use: Use) -> list[Call]:
    """Return the producers of one tensor: only nested models keep their tensors apart."""
    tensors = made[use.source, use.source_call]
    if not tensors:
        return []
    return tensors[use.source_tensor if 0 < use.source_tensor < len(tensors) else 0]
