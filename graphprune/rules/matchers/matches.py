"""The layers of one graph that matchers match; each distinct matcher is evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from graphprune.diagnostics.diagnostic import MAX_OF_A_KIND
from graphprune.graph import Layer, LayerGraph, Tensor
from graphprune.rules.matchers.call_graph import TOGETHER, CallGraph
from graphprune.rules.matchers.classes import class_names
from graphprune.rules.matchers.layer_set import LayerOrder, LayerSet, Marks, mark, without
from graphprune.rules.matchers.logic import Use
from graphprune.rules.matchers.matcher import Matcher, Search, all_parts

Fact = TypeVar("Fact", bound=Hashable)
Zeros = Mapping[tuple[str, str], int]
"""Measured zeros by layer address and tensor name."""

MIN_SEARCHES = 3
MAX_SEARCHED = 100_000
"""The most layers that searches for help may visit together."""


class Matches:
    """The layers of one graph that matchers hold for.

    Relations are evaluated on calls, with nested models flattened: a layer satisfies a relation if
    one of its calls does. A test of a single layer reads one property and runs once for all layers
    with the same value.

    Attributes:
        graph: The model.
        zeros: Measured zeros of its tensors; None if they were not measured, and then no test of a
            tensor's sparsity holds.
        order: Its layers, numbered.
        universe: All layers.
        candidates: Those with prunable tensors.
    """

    def __init__(self, graph: LayerGraph, zeros: Zeros | None = None) -> None:
        self.graph = graph
        self.zeros = zeros
        self.order = LayerOrder(graph.layers)
        self.universe = self.order.everything()
        self.candidates = self.order.of(layer.address for layer in graph.candidates())
        self._known: dict[Matcher, LayerSet] = {}
        self._found: dict[Search, Marks] = {}
        self._announced: dict[Search, None] = {}
        self._facts: dict[Hashable, Mapping[Any, Sequence[int]]] = {}
        self._searches_left = min(
            MAX_OF_A_KIND, max(MIN_SEARCHES, MAX_SEARCHED // max(1, len(graph.layers)))
        )

    @cached_property
    def types(self) -> frozenset[str]:
        """The names of all classes and base classes."""
        return frozenset(name for names in self._layers_by(class_names) for name in names)

    @cached_property
    def calls(self) -> CallGraph:
        """The call graph, built when the first relation asks for it."""
        return CallGraph(self.graph.flow, self.order)

    def announce(self, matchers: Iterable[Matcher]) -> None:
        """Register matchers that will be evaluated, so that their searches run together."""
        self._announced |= dict.fromkeys(find_searches(matchers))

    def spend_search(self) -> bool:
        """Return whether help may search the model once more; there can be thousands of faults."""
        self._searches_left -= 1
        return self._searches_left >= 0

    def of(self, matcher: Matcher) -> LayerSet:
        """Return the layers, of all kinds, that `matcher` holds for."""
        found = self._known.get(matcher)
        if found is None:
            found = self._known[matcher] = matcher.find(self)
        return found

    def claimed(self, matcher: Matcher) -> LayerSet:
        """Return the candidates that `matcher` holds for."""
        return self.of(matcher) & self.candidates

    def where(
        self, key: Hashable, fact: Callable[[Layer], Fact], accepts: Callable[[Fact], bool]
    ) -> LayerSet:
        """Return the layers with a property that passes a test; `key` names the property."""
        if key not in self._facts:
            self._facts[key] = self._layers_by(fact)
        return self.order.at(
            position
            for value, positions in self._facts[key].items()
            if accepts(value)
            for position in positions
        )

    def _layers_by(self, fact: Callable[[Layer], Fact]) -> Mapping[Fact, Sequence[int]]:
        """Return the positions of the layers by the value of a property."""
        found: dict[Fact, list[int]] = {}
        for position, layer in enumerate(self.graph.layers.values()):
            found.setdefault(fact(layer), []).append(position)
        return found

    def measured(self, layer: Layer) -> tuple[tuple[Tensor, int | None], ...]:
        """Return the layer's prunable tensors, each with its measured zeros."""
        zeros = self.zeros or {}
        return tuple((tensor, zeros.get((layer.address, tensor.name))) for tensor in layer.prunable)

    def search(self, wanted: Search) -> Marks:
        """Return the calls that a search finds; registered searches run along with it."""
        if wanted not in self._found:
            company = [
                search
                for search in self._announced
                if search.downstream is wanted.downstream and search != wanted
            ]
            searches = [wanted, *company[: TOGETHER - 1]]
            walks = [(self.calls_of(search.of), self.calls_of(search.until)) for search in searches]
            self._found |= zip(
                searches, self.calls.search(walks, downstream=wanted.downstream), strict=True
            )
            for search in searches:
                self._announced.pop(search, None)
        return self._found[wanted]

    def calls_of(self, matcher: Matcher | None) -> Sequence[int]:
        """Return all calls of the layers that `matcher` holds for."""
        return () if matcher is None else self.calls.calls_of(self.of(matcher))

    def ends(self, search: Search) -> LayerSet:
        """Return the layers with a call that no other call of the set reaches.

        Downstream, these are the first ones; upstream, the last ones.
        """
        calls = mark(self.calls_of(search.of), len(self.calls.address))
        return self.calls.layers_of(without(calls, self.search(search)))


def find_searches(matchers: Iterable[Matcher]) -> tuple[Search, ...]:
    """Return the searches of these matchers that need no other search first, each once.

    Searches inside selectors are left out.
    """
    found = (
        search for matcher in matchers for part in all_parts(matcher) for search in part.searches()
    )
    return tuple(
        dict.fromkeys(
            search
            for search in found
            if _is_local(search.of) and (search.until is None or _is_local(search.until))
        )
    )


def _is_local(matcher: Matcher) -> bool:
    """Return whether the set is known without a search, selectors included."""
    waiting = [matcher]
    seen: set[str] = set()
    while waiting:
        part = waiting.pop()
        if part.walks:
            return False
        if isinstance(part, Use) and part.name not in seen:
            seen.add(part.name)
            waiting.append(part.of)
        waiting += part.inner()
    return True
