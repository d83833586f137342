"""Properties of a single layer.

Numbers: `params`, `params_share`, `calls`. Booleans: `trainable`, `wrapped`, `produces_output`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import PlainValidator, Tag, WithJsonSchema

from graphprune.graph import Layer
from graphprune.rules.matchers.key import MatcherKey, SchemaKey, with_keys
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.number_test import (
    COMPARISONS_HELP,
    NumberTest,
    NumberTestValue,
    ShareTestShape,
    format_share,
)
from graphprune.rules.text.numbers import parse_percent
from graphprune.rules.text.shape import Conditions, Fault, kind_of
from graphprune.rules.text.words import Truth

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
        """Return the layers whose number passes the test."""
        return matches.where("params", prunable_weights, self.test.accepts)

    def words(self) -> str:
        """Return `params at least 10,000`."""
        return f"params {self.test}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the layer's number."""
        return f"{prunable_weights(layer):,}"

    def wider(self, matches: Matches) -> str:
        """Return the smallest and the largest number among the candidates."""
        sizes = sorted(map(prunable_weights, matches.graph.candidates()))
        if not sizes:
            return ""
        return f"the layers have from {sizes[0]:,} to {sizes[-1]:,} prunable weights"


@dataclass(frozen=True, slots=True)
class ParamsShare(Matcher):
    """The layer's share of all prunable weights of the model."""

    test: NumberTest

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers whose share passes the test."""
        total = _all_weights(matches)
        return matches.where(
            "params", prunable_weights, lambda count: self.test.accepts(count / total)
        )

    def words(self) -> str:
        """Return `params_share at least 5%`."""
        return f"params_share {self.test}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the layer's share."""
        return _percent(prunable_weights(layer) / _all_weights(matches))

    def wider(self, matches: Matches) -> str:
        """Return the smallest and the largest share among the candidates."""
        sizes = sorted(map(prunable_weights, matches.graph.candidates()))
        if not sizes:
            return ""
        least, most = (_percent(size / _all_weights(matches)) for size in (sizes[0], sizes[-1]))
        return f"the layers have from {least} to {most} of the prunable weights"


def _all_weights(matches: Matches) -> int:
    """Return the number of weights of the model that rules can claim; 1 if there are none."""
    return sum(map(prunable_weights, matches.graph.candidates())) or 1


def _percent(share: float) -> str:
    return format_share(round(share, 6))


@dataclass(frozen=True, slots=True)
class Calls(Matcher):
    """How often the layer is called."""

    test: NumberTest

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers whose number of calls passes the test."""
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
        "How many prunable weights the layer has, without biases: a number or a test. 10k, 1.5M"
        " and 2G are numbers."
    ),
    "{gte: 10k}",
    build=lambda value, place: Params(place.number_test(value)),
)


def _parse_part(value: Any) -> float:
    """Return a part of a whole, 0 to 1, from `0.05` or `5%`."""
    percent = parse_percent(value)
    if percent is None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Fault("value/type", "must be a share such as 0.05 or 5%", "write for example 5%")
    part = float(value) if percent is None else percent
    if not 0 <= part <= 1:
        is_percent = percent is None and 1 < part <= 100
        help = f"did you mean {part:g}%?" if is_percent else "all prunable weights are 100%"
        raise Fault("value/range", "must be from 0 to 1, or from 0% to 100%", help)
    return part


_PART = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^\s*\+?0*(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)\s*%\s*$"},
    ]
}
Part = Annotated[float, PlainValidator(_parse_part), WithJsonSchema(_PART)]


@with_keys([SchemaKey(name, Part, help, "5%") for name, help in COMPARISONS_HELP.items()], __name__)
class PartTestShape(Conditions):
    """Tests of a part of the model's prunable weights."""

    meant = ShareTestShape.meant


PARAMS_SHARE = MatcherKey(
    "params_share",
    Annotated[
        Annotated[Part, Tag("~value")] | Annotated[PartTestShape, Tag("~mapping")],
        kind_of(False, "must be a share or a test of shares"),
    ],
    "The layer's share of all prunable weights of the model.",
    "{gte: 5%}",
    build=lambda value, place: ParamsShare(place.share_test(value)),
)
CALLS = MatcherKey(
    "calls",
    NumberTestValue,
    "How often the layer is called; a shared layer is called 2 times or more.",
    "{gte: 2}",
    build=lambda value, place: Calls(place.number_test(value)),
    meant_by=("shared",),
)


Fact = Literal["trainable", "wrapped", "produces_output"]

_FACTS: Mapping[Fact, Callable[[Layer], bool]] = {
    "trainable": lambda layer: layer.trainable,
    "wrapped": lambda layer: layer.wrap is not None,
    "produces_output": lambda layer: layer.produces_output,
}


@dataclass(frozen=True, slots=True)
class Flag(Matcher):
    """A boolean property of the layer."""

    name: Fact
    wanted: bool

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with this value."""
        return matches.where(self.name, _FACTS[self.name], lambda value: value is self.wanted)

    def words(self) -> str:
        """Return `trainable: true`."""
        return f"{self.name}: {str(self.wanted).lower()}"

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the other value."""
        return str(not self.wanted).lower()


def _key(name: Fact, description: str, example: str) -> MatcherKey:
    return MatcherKey(
        name, Truth, description, example, build=lambda wanted, place: Flag(name, wanted)
    )


TRAINABLE = _key("trainable", "Whether the layer is trainable.", "true")
WRAPPED = _key("wrapped", "Whether the layer is in a pruning wrapper.", "false")
PRODUCES_OUTPUT = _key(
    "produces_output", "Whether an output of the model comes from the layer.", "true"
)
