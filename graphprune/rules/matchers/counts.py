"""Number tests of a layer: `params`, `calls`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphprune.graph import Layer
from graphprune.rules.matchers.key import MatcherKey
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.number_test import NumberTest, NumberTestValue

if TYPE_CHECKING:
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches


def prunable_weights(layer: Layer) -> int:
    """Return how many weights of the layer rules may claim."""
    return sum(tensor.size for tensor in layer.prunable)


@dataclass(frozen=True, slots=True)
class Params(Matcher):
    """The number of prunable weights."""

    test: NumberTest

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with such a number."""
        return matches.where("params", prunable_weights, self.test.accepts)

    def words(self) -> str:
        """Return `params at least 10,000`."""
        return f"params {self.test}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the layer's number."""
        return f"{prunable_weights(layer):,}"

    def wider(self, matches: Matches) -> str:
        """Return the smallest and the largest number of the candidates."""
        sizes = sorted(map(prunable_weights, matches.graph.candidates()))
        if not sizes:
            return ""
        return f"the layers have from {sizes[0]:,} to {sizes[-1]:,} prunable weights"


@dataclass(frozen=True, slots=True)
class Calls(Matcher):
    """How often the layer is called."""

    test: NumberTest

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers that are called so often."""
        return matches.where("calls", lambda layer: layer.calls, self.test.accepts)

    def words(self) -> str:
        """Return `calls at least 2`."""
        return f"calls {self.test}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return how often the layer is called."""
        return str(layer.calls)


PARAMS = MatcherKey(
    "params",
    NumberTestValue,
    (
        "How many prunable weights the layer has, biases not counted: a number or a test. 10k,"
        " 1.5M and 2G are numbers."
    ),
    "{gte: 10k}",
    build=lambda value, place: Params(place.number_test(value)),
)
CALLS = MatcherKey(
    "calls",
    NumberTestValue,
    "How often the layer is called; 2 and more means shared.",
    "{gte: 2}",
    build=lambda value, place: Calls(place.number_test(value)),
    meant_by=("shared",),
)
