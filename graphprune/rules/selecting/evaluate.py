"""Matchers to sets of layers: each distinct matcher once, relations by breadth-first search over
the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any, TypeVar

from graphprune.errors import MAX_OF_A_KIND
from graphprune.graph import Layer, LayerGraph, Tensor
from graphprune.rules.selecting.call_graph import TOGETHER, CallGraph, Links, reach
from graphprune.rules.selecting.layer_set import LayerOrder, LayerSet, Marks, both, mark, without
from graphprune.rules.selecting.searches import Search, find_searches
from graphprune.rules.selecting.weight_test import accepts_tensor
from graphprune.rules.text.globs import compile_glob
from graphprune.rules.text.regexes import compile_regex
from graphprune.rules.values.config_test import accepts_config, find_config_value
from graphprune.rules.values.matchers import (
    After,
    AllOf,
    AnyOf,
    Before,
    Between,
    Calls,
    ConfigIs,
    Everything,
    FedBy,
    Feeds,
    First,
    Flag,
    HasWeight,
    Inside,
    IsA,
    Last,
    Matcher,
    NameGlob,
    NameIs,
    NameRegex,
    Not,
    Params,
    TypeIs,
    Use,
)

Fact = TypeVar("Fact", bound=Hashable)
Zeros = Mapping[tuple[str, str], int]
"""Measured zeros by layer address and tensor name."""

MIN_SEARCHES = 3
MAX_SEARCHED = 100_000
"""Layers that the searches for the help of faults look at together."""
_FLAGS: Mapping[str, Callable[[Layer], bool]] = {
    "trainable": lambda layer: layer.trainable,
    "wrapped": lambda layer: layer.wrap is not None,
    "produces_output": lambda layer: layer.produces_output,
}


class Matches:
    """The sets that matchers denote in one graph.

    Relations run on calls, nested models flattened: a layer satisfies one when one of its calls
    does. A test of one layer looks at one fact of it, and is made once for all layers that agree in
    the fact.

    Attributes:
        graph: The model.
        zeros: Measured zeros of its tensors; None where nobody measured them, and no test of a
            tensor's sparsity holds.
        order: Its layers, numbered.
        universe: All layers.
        candidates: Those with prunable tensors.
        types: The names of all classes and base classes.
        calls: The call graph.
    """

    def __init__(self, graph: LayerGraph, zeros: Zeros | None = None) -> None:
        self.graph = graph
        self.zeros = zeros
        self.order = LayerOrder(graph.layers)
        self.universe = self.order.everything()
        self.candidates = self.order.of(layer.address for layer in graph.candidates())
        self.types = frozenset(name for names in self._layers_by(class_names) for name in names)
        self.calls = CallGraph(graph.flow, self.order)
        self._known: dict[Matcher, LayerSet] = {}
        self._found: dict[Search, Marks] = {}
        self._announced: dict[Search, None] = {}
        self._facts: dict[Hashable, Mapping[Any, Sequence[int]]] = {}
        self._searches_left = min(
            MAX_OF_A_KIND, max(MIN_SEARCHES, MAX_SEARCHED // max(1, len(graph.layers)))
        )

    def announce(self, matchers: Iterable[Matcher]) -> None:
        """Take note of matchers that will be asked for, so that their searches walk together."""
        self._announced |= dict.fromkeys(find_searches(matchers))

    def spend_search(self) -> bool:
        """Return whether one more search of the whole model for the help of a fault is allowed:
        thousands of faults must not take hours.
        """
        self._searches_left -= 1
        return self._searches_left >= 0

    def of(self, matcher: Matcher) -> LayerSet:
        """Return the layers, of all kinds, that `matcher` holds for."""
        found = self._known.get(matcher)
        if found is None:
            found = self._known[matcher] = self._evaluate(matcher)
        return found

    def claimed(self, matcher: Matcher) -> LayerSet:
        """Return the candidates that `matcher` holds for."""
        return self.of(matcher) & self.candidates

    def _evaluate(self, matcher: Matcher) -> LayerSet:
        match matcher:
            case Everything():
                return self.candidates
            case NameIs(addresses):
                return self.order.of(addresses)
            case NameGlob(glob):
                return self._named(compile_glob(glob).matches)
            case NameRegex(regex):
                return self._named(compile_regex(regex).matches)
            case Inside(container):
                return self._inside(self.of(container))
            case First(inner):
                return self._ends(Search(inner, downstream=True))
            case Last(inner):
                return self._ends(Search(inner, downstream=False))
            case FedBy(inner, every, only):
                return self._neighbours(self.of(inner), self.calls.before, every=every, only=only)
            case Feeds(inner, every, only):
                return self._neighbours(self.of(inner), self.calls.after, every=every, only=only)
            case After(inner, hops, until):
                return self._reached(Search(inner, True, until), hops)
            case Before(inner, hops, until):
                return self._reached(Search(inner, False, until), hops)
            case Between(after, before):
                region = both(
                    self._search(Search(after, downstream=True)),
                    self._search(Search(before, downstream=False)),
                )
                return self.calls.layers_of(region) - self.of(after) - self.of(before)
            case Use(_, inner):
                return self.of(inner)
            case AllOf(parts):
                return reduce(and_, map(self.of, parts))
            case AnyOf(parts):
                return reduce(or_, map(self.of, parts))
            case Not(inner):
                return self.universe - self.of(inner)
            case _:
                return self._agreeing(matcher)

    def _agreeing(self, matcher: Matcher) -> LayerSet:
        """Return the set of a matcher that looks at one fact of one layer."""
        match matcher:
            case TypeIs(types):
                return self._where("type", lambda layer: layer.type, types.__contains__)
            case IsA(types):
                return self._where(
                    "bases", class_names, lambda names: any(name in types for name in names)
                )
            case Params(test):
                return self._where("params", prunable_weights, test.accepts)
            case Calls(test):
                return self._where("calls", lambda layer: layer.calls, test.accepts)
            case Flag(name, wanted):
                return self._where(name, _FLAGS[name], lambda value: value is wanted)
            case ConfigIs(key, check):
                return self._where(
                    ("config", key),
                    lambda layer: find_config_value(layer.config, key),
                    lambda value: accepts_config(check, value),
                )
            case HasWeight():
                return self._where(
                    "weights",
                    self._measured,
                    lambda tensors: any(accepts_tensor(matcher, *measured) for measured in tensors),
                )
        raise AssertionError(f"not a matcher of one layer: {matcher}")

    def _where(
        self, key: Hashable, fact: Callable[[Layer], Fact], accepts: Callable[[Fact], bool]
    ) -> LayerSet:
        """Return the layers whose fact passes a test; `key` names the fact."""
        if key not in self._facts:
            self._facts[key] = self._layers_by(fact)
        return self.order.at(
            position
            for value, positions in self._facts[key].items()
            if accepts(value)
            for position in positions
        )

    def _layers_by(self, fact: Callable[[Layer], Fact]) -> Mapping[Fact, Sequence[int]]:
        """Return the positions of the layers, by a fact of each."""
        found: dict[Fact, list[int]] = {}
        for position, layer in enumerate(self.graph.layers.values()):
            found.setdefault(fact(layer), []).append(position)
        return found

    def _measured(self, layer: Layer) -> tuple[tuple[Tensor, int | None], ...]:
        zeros = self.zeros or {}
        return tuple((tensor, zeros.get((layer.address, tensor.name))) for tensor in layer.prunable)

    def _named(self, accepts: Callable[[str], bool]) -> LayerSet:
        return LayerSet(self.order, bytes(map(accepts, self.order.addresses)))

    def _inside(self, containers: LayerSet) -> LayerSet:
        found: set[str] = set()
        for address, layer in self.graph.layers.items():  # models come before the layers in them
            if layer.container is not None and (
                layer.container in found or layer.container in containers
            ):
                found.add(address)
        return self.order.of(found)

    def _search(self, wanted: Search) -> Marks:
        """Return the calls that a search finds; others that were announced go with it."""
        if wanted not in self._found:
            company = [
                search
                for search in self._announced
                if search.downstream is wanted.downstream and search != wanted
            ]
            searches = [wanted, *company[: TOGETHER - 1]]
            walks = [
                (self._calls_of(search.of), self._calls_of(search.until)) for search in searches
            ]
            self._found |= zip(
                searches, self.calls.search(walks, downstream=wanted.downstream), strict=True
            )
            for search in searches:
                self._announced.pop(search, None)
        return self._found[wanted]

    def _calls_of(self, matcher: Matcher | None) -> Sequence[int]:
        return () if matcher is None else self.calls.calls_of(self.of(matcher))

    def _ends(self, search: Search) -> LayerSet:
        """Return the layers with a call that no call of the set reaches, walking downstream (the
        first ones) or upstream (the last ones).
        """
        calls = mark(self._calls_of(search.of), len(self.calls.address))
        return self.calls.layers_of(without(calls, self._search(search)))

    def _neighbours(self, layers: LayerSet, links: Links, *, every: bool, only: bool) -> LayerSet:
        inside = mark(self.calls.calls_of(layers), len(links))
        quantifier = all if every else any
        return self.calls.layers_of(
            bytes(
                bool(others)
                and (not only or len(others) == 1)
                and quantifier(inside[other] for other in others)
                for others in links
            )
        )

    def _reached(self, search: Search, hops: int | None) -> LayerSet:
        if hops is None:
            return self.calls.layers_of(self._search(search))
        links = self.calls.after if search.downstream else self.calls.before
        return self.calls.layers_of(
            reach(self._calls_of(search.of), links, self._calls_of(search.until), hops)
        )


def class_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of the layer's class and of its bases: every layer is a Layer, and a
    Sequential model is a Functional one.
    """
    models = () if layer.kind != "model" else ("Functional", "Model")
    return (layer.type, *layer.bases, *models, "Layer")


def prunable_weights(layer: Layer) -> int:
    """Return how many weights of the layer rules may claim."""
    return sum(tensor.size for tensor in layer.prunable)
