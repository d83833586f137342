"""Matchers to sets of layers: each distinct matcher once, relations by breadth-first search over the calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce

from graphprune.graph import Layer, LayerGraph
from graphprune.rules.config_test import accepts_config, find_config_value
from graphprune.rules.globs import glob_to_regex
from graphprune.rules.matchers import (
    AllOf,
    AnyOf,
    Calls,
    ConfigIs,
    Everything,
    First,
    Flag,
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
)

Call = tuple[str, int]
Addresses = frozenset[str]

_FLAGS: Mapping[str, Callable[[Layer], bool]] = {
    "trainable": lambda layer: layer.trainable,
    "wrapped": lambda layer: layer.wrap is not None,
    "produces_output": lambda layer: layer.produces_output,
}


class Matches:
    """The sets that matchers denote in one graph."""

    def __init__(self, graph: LayerGraph) -> None:
        self.graph = graph
        self.universe: Addresses = frozenset(graph.layers)
        self.candidates: Addresses = frozenset(layer.address for layer in graph.candidates())
        self._known: dict[Matcher, Addresses] = {}
        self._calls: dict[str, list[Call]] = {}
        self._after = {call: tuple(graph.flow.successors(call)) for call in graph.flow}
        self._before = {call: tuple(graph.flow.predecessors(call)) for call in graph.flow}
        self.types: Addresses = frozenset(name for layer in graph.layers.values() for name in (layer.type, *layer.bases))
        for address, call in graph.flow.nodes:
            self._calls.setdefault(address, []).append((address, call))

    def of(self, matcher: Matcher) -> Addresses:
        """Return the layers, of all kinds, that `matcher` holds for."""
        found = self._known.get(matcher)
        if found is None:
            found = self._known[matcher] = self._evaluate(matcher)
        return found

    def claimed(self, matcher: Matcher) -> Addresses:
        """Return the candidates that `matcher` holds for."""
        return self.of(matcher) & self.candidates

    def _evaluate(self, matcher: Matcher) -> Addresses:
        match matcher:
            case Everything():
                return self.candidates
            case NameIs(addresses):
                return self.universe.intersection(addresses)
            case Inside(container):
                return self._inside(self.of(container))
            case First(inner):
                return self._ends(self.of(inner), self._after)
            case Last(inner):
                return self._ends(self.of(inner), self._before)
            case AllOf(parts):
                return reduce(frozenset.intersection, map(self.of, parts))
            case AnyOf(parts):
                return reduce(frozenset.union, map(self.of, parts))
            case Not(inner):
                return self.universe - self.of(inner)
            case _:
                holds = _predicate(matcher)
                return frozenset(address for address, layer in self.graph.layers.items() if holds(layer))

    def _inside(self, containers: Addresses) -> Addresses:
        found: set[str] = set()
        for address, layer in self.graph.layers.items():  # models come before the layers in them
            if layer.container is not None and (layer.container in containers or layer.container in found):
                found.add(address)
        return frozenset(found)

    def _ends(self, addresses: Addresses, towards: Mapping[Call, Iterable[Call]]) -> Addresses:
        """Return the layers with a call from which no other call of the set is met, walking against `towards`.

        Calls that one of the set reaches through `towards` are not ends; a shared layer is an end when one of its calls is.
        """
        calls = [call for address in addresses for call in self._calls.get(address, ())]
        passed = _reached(calls, towards)
        return frozenset(address for address, call in calls if (address, call) not in passed)


def _reached(starts: Iterable[Call], towards: Mapping[Call, Iterable[Call]]) -> set[Call]:
    """Return the calls that one step or more along `towards` leads to."""
    seen: set[Call] = set()
    waiting = list(starts)
    while waiting:
        for call in towards[waiting.pop()]:
            if call not in seen:
                seen.add(call)
                waiting.append(call)
    return seen


def _predicate(matcher: Matcher) -> Callable[[Layer], bool]:
    """Return the test of a matcher that looks at one layer only."""
    match matcher:
        case NameGlob(glob):
            pattern = re.compile(glob_to_regex(glob))
            return lambda layer: pattern.fullmatch(layer.address) is not None
        case NameRegex(regex):
            expression = re.compile(regex)
            return lambda layer: expression.fullmatch(layer.address) is not None
        case TypeIs(types):
            return lambda layer: layer.type in types
        case IsA(types):
            return lambda layer: layer.type in types or any(base in types for base in layer.bases)
        case ConfigIs(key, check):
            return lambda layer: accepts_config(check, find_config_value(layer.config, key))
        case Params(test):
            return lambda layer: test.accepts(prunable_weights(layer))
        case Calls(test):
            return lambda layer: test.accepts(layer.calls)
        case Flag(name, wanted):
            return lambda layer: _FLAGS[name](layer) is wanted
    raise AssertionError(f"not a matcher of one layer: {matcher}")


def prunable_weights(layer: Layer) -> int:
    """Return how many weights of the layer rules may claim."""
    return sum(tensor.size for tensor in layer.prunable)
