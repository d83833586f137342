"""Matchers to sets of layers: each distinct matcher once, relations by breadth-first search over the calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property, reduce

from graphprune.graph import Layer, LayerGraph
from graphprune.rules.call_graph import Addresses, CallGraph, Links, reach
from graphprune.rules.config_test import Frozen, accepts_config, find_config_value
from graphprune.rules.globs import glob_to_regex
from graphprune.rules.matchers import (
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
from graphprune.rules.weight_test import accepts_tensor

Zeros = Mapping[tuple[str, str], int]
"""Measured zeros by layer address and tensor name."""

_FLAGS: Mapping[str, Callable[[Layer], bool]] = {
    "trainable": lambda layer: layer.trainable,
    "wrapped": lambda layer: layer.wrap is not None,
    "produces_output": lambda layer: layer.produces_output,
}


class Matches:
    """The sets that matchers denote in one graph.

    Relations run on calls, nested models flattened: a layer satisfies one when one of its calls does.

    Attributes:
        graph: The model.
        zeros: Measured zeros of its tensors; None where nobody measured them, and no test of a tensor's sparsity holds.
        universe: All addresses.
        candidates: Those of layers with prunable tensors.
        types: The names of all classes and base classes.
        calls: The call graph.
    """

    def __init__(self, graph: LayerGraph, zeros: Zeros | None = None) -> None:
        self.graph = graph
        self.zeros = zeros
        self.universe: Addresses = frozenset(graph.layers)
        self.candidates: Addresses = frozenset(layer.address for layer in graph.candidates())
        self.types: Addresses = frozenset(name for layer in graph.layers.values() for name in class_names(layer))
        self.calls = CallGraph(graph.flow)
        self._known: dict[Matcher, Addresses] = {}
        self._values: dict[str, dict[str, Frozen]] = {}

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
                return self._ends(self.of(inner), downstream=True)
            case Last(inner):
                return self._ends(self.of(inner), downstream=False)
            case FedBy(inner, every, only):
                return self._neighbours(self.of(inner), self.calls.before, every=every, only=only)
            case Feeds(inner, every, only):
                return self._neighbours(self.of(inner), self.calls.after, every=every, only=only)
            case After():
                return self._reached(matcher, downstream=True)
            case Before():
                return self._reached(matcher, downstream=False)
            case Between(after, before):
                return self._between(self.of(after), self.of(before))
            case Use(_, inner):
                return self.of(inner)
            case AllOf(parts):
                return reduce(frozenset.intersection, map(self.of, parts))
            case AnyOf(parts):
                return reduce(frozenset.union, map(self.of, parts))
            case Not(inner):
                return self.universe - self.of(inner)
            case Params(test):
                return frozenset(address for address, weights in self._weights.items() if test.accepts(weights))
            case ConfigIs(key, check):
                values = self._config_values(key)
                return frozenset(address for address in self.graph.layers if accepts_config(check, values.get(address)))
            case HasWeight():
                return frozenset(address for address, layer in self.graph.layers.items() if self._has_weight(matcher, layer))
            case _:
                holds = _predicate(matcher)
                return frozenset(address for address, layer in self.graph.layers.items() if holds(layer))

    @cached_property
    def _weights(self) -> dict[str, int]:
        return {address: prunable_weights(layer) for address, layer in self.graph.layers.items()}

    def _config_values(self, key: str) -> dict[str, Frozen]:
        """Return the values under a dotted key, by address, of the layers that have it."""
        if key not in self._values:
            found = ((address, find_config_value(layer.config, key)) for address, layer in self.graph.layers.items())
            self._values[key] = {address: value for address, value in found if value is not None}
        return self._values[key]

    def _has_weight(self, matcher: HasWeight, layer: Layer) -> bool:
        zeros = self.zeros or {}
        return any(accepts_tensor(matcher, tensor, zeros.get((layer.address, tensor.name))) for tensor in layer.prunable)

    def _inside(self, containers: Addresses) -> Addresses:
        found: set[str] = set()
        for address, layer in self.graph.layers.items():  # models come before the layers in them
            if layer.container is not None and (layer.container in containers or layer.container in found):
                found.add(address)
        return frozenset(found)

    def stream(self, addresses: Addresses, *, downstream: bool) -> set[int]:
        """Return the calls strictly after (downstream), or strictly before, some call of these layers."""
        return set(reach(self.calls.calls_of(addresses), self._links(downstream)))

    def _links(self, downstream: bool) -> Links:
        return self.calls.after if downstream else self.calls.before

    def _ends(self, addresses: Addresses, *, downstream: bool) -> Addresses:
        """Return the layers with a call that no call of the set reaches, walking downstream (the first ones) or upstream (the last ones)."""
        passed = self.stream(addresses, downstream=downstream)
        return self.calls.layers_of(call for call in self.calls.calls_of(addresses) if call not in passed)

    def _neighbours(self, addresses: Addresses, links: Links, *, every: bool, only: bool) -> Addresses:
        inside = [address in addresses for address in self.calls.address]
        quantifier = all if every else any
        return self.calls.layers_of(
            call for call, others in enumerate(links) if others and (not only or len(others) == 1) and quantifier(inside[other] for other in others)
        )

    def _reached(self, matcher: After | Before, *, downstream: bool) -> Addresses:
        addresses = self.of(matcher.of)
        if matcher.hops is None and matcher.until is None:
            return self.calls.layers_of(reach(self.calls.calls_of(addresses), self._links(downstream)))
        stops = set(self.calls.calls_of(self.of(matcher.until))) if matcher.until is not None else set()
        return self.calls.layers_of(reach(self.calls.calls_of(addresses), self._links(downstream), stops, matcher.hops))

    def _between(self, after: Addresses, before: Addresses) -> Addresses:
        region = self.stream(after, downstream=True) & self.stream(before, downstream=False)
        return self.calls.layers_of(region) - after - before


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
            return lambda layer: any(name in types for name in class_names(layer))
        case Calls(test):
            return lambda layer: test.accepts(layer.calls)
        case Flag(name, wanted):
            return lambda layer: _FLAGS[name](layer) is wanted
    raise AssertionError(f"not a matcher of one layer: {matcher}")


def class_names(layer: Layer) -> tuple[str, ...]:
    """Return the names of the layer's class and of its bases: every layer is a Layer, and a Sequential model is a Functional one."""
    models = () if layer.kind != "model" else ("Functional", "Model")
    return (layer.type, *layer.bases, *models, "Layer")


def prunable_weights(layer: Layer) -> int:
    """Return how many weights of the layer rules may claim."""
    return sum(tensor.size for tensor in layer.prunable)
