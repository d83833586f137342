"""What is directly around a layer: `fed_by`, `feeds`, and the model that it is `inside`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphprune.rules.matchers.call_graph import Links, neighbours
from graphprune.rules.matchers.classes import IsA, TypeIs
from graphprune.rules.matchers.key import ONE_MATCHER, MatcherKey, Place, SchemaKey
from graphprune.rules.matchers.layer_set import mark
from graphprune.rules.matchers.matcher import Matcher, listed
from graphprune.rules.text.words import Truth

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches


@dataclass(frozen=True, slots=True)
class FedBy(Matcher):
    """Some direct producer matches; with `every` all of them, with `only` there is exactly one.
    Producers are calls.
    """

    of: Matcher
    every: bool = False
    only: bool = False

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with such producers."""
        return _find(self, matches, matches.calls.before)

    def words(self) -> str:
        """Return `fed_by only ReLU`."""
        return f"fed_by {_how_many(self)}{self.of.grouped()}"

    def spelled(self) -> str:
        """Return `fed_by: {..., only: true}`."""
        return f"fed_by: {_nested(self)}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matcher of the producers."""
        return (self.of,)

    def failing(self, failures: Failures, address: str) -> str:
        """Return which condition the nearest producer fails."""
        names = neighbours(failures.matches, address, failures.matches.calls.before)
        if not names:
            return f"{self.words()} (is fed by nothing)"
        return _failing(self, "fed_by", failures, names)

    def reason(self, failures: Failures, address: str) -> str:
        """Return the producers that match, or what is wrong with them."""
        names = neighbours(failures.matches, address, failures.matches.calls.before)
        inside = failures.matches.of(self.of)
        if address in failures.matches.of(self):
            return f"fed by {listed(name for name in names if name in inside)}"
        if not names:
            return "is fed by nothing"
        if self.only and len(names) > 1:
            return f"fed by {listed(names)}, not by one alone"
        if all(name in inside for name in names):
            return f"fed by {listed(names)}, but never by them alone in one call"
        return f"fed by {_wrong(self, failures, names)}"


@dataclass(frozen=True, slots=True)
class Feeds(Matcher):
    """Some direct consumer matches; with `every` all of them, with `only` there is exactly one.
    Consumers are calls.
    """

    of: Matcher
    every: bool = False
    only: bool = False

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with such consumers."""
        return _find(self, matches, matches.calls.after)

    def words(self) -> str:
        """Return `feeds nothing but Add`."""
        return f"feeds {_how_many(self)}{self.of.grouped()}"

    def spelled(self) -> str:
        """Return `feeds: {..., every: true}`."""
        return f"feeds: {_nested(self)}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matcher of the consumers."""
        return (self.of,)

    def failing(self, failures: Failures, address: str) -> str:
        """Return which condition the nearest consumer fails."""
        names = neighbours(failures.matches, address, failures.matches.calls.after)
        if not names:
            return f"{self.words()} (feeds nothing)"
        return _failing(self, "feeds", failures, names)

    def reason(self, failures: Failures, address: str) -> str:
        """Return the consumers that match, or what is wrong with them."""
        names = neighbours(failures.matches, address, failures.matches.calls.after)
        inside = failures.matches.of(self.of)
        if address in failures.matches.of(self):
            return f"feeds {listed(name for name in names if name in inside)}"
        if not names:
            return "feeds nothing"
        if self.only and len(names) > 1:
            return f"feeds {listed(names)}, not one alone"
        if all(name in inside for name in names):
            return f"feeds {listed(names)} in more than one call"
        return f"feeds {_wrong(self, failures, names)}"


Neighbour = FedBy | Feeds


def _find(relation: Neighbour, matches: Matches, links: Links) -> LayerSet:
    inside = mark(matches.calls_of(relation.of), len(links))
    quantifier = all if relation.every else any
    return matches.calls.layers_of(
        bytes(
            bool(others)
            and (not relation.only or len(others) == 1)
            and quantifier(inside[other] for other in others)
            for others in links
        )
    )


def _how_many(relation: Neighbour) -> str:
    if relation.only:
        return "only "
    return "nothing but " if relation.every else ""


def _nested(relation: Neighbour) -> str:
    more = [f"{key}: true" for key in ("every", "only") if getattr(relation, key)]
    return relation.of.nested(*more)


def _failing(relation: Neighbour, key: str, failures: Failures, names: list[str]) -> str:
    """Return which condition the nearest of the neighbours fails; where all is well with it, that
    there are too many or others.
    """
    best = max(names, key=lambda name: failures.share(relation.of, name))
    conditions = failures.nearest_conditions(relation.of, best)
    failing = [part for part in conditions if best not in failures.matches.of(part)]
    classes = [part for part in conditions if isinstance(part, TypeIs | IsA)]
    head = (classes[0] if classes else relation.of).words()
    if not failing:
        quantity = "only " if relation.only else "nothing but "
        return f"{key} {quantity}{head} (there are {listed(names)})"
    told = failing[0].failing(failures, best)
    if isinstance(failing[0], TypeIs | IsA) or len(conditions) == 1:
        return f"{key} {told}"
    return f"{key} {head} with {told}"


def _wrong(relation: Neighbour, failures: Failures, names: list[str]) -> str:
    """Return which of the neighbours outside comes nearest, and what it lacks."""
    inside = failures.matches.of(relation.of)
    outside = [name for name in names if name not in inside]
    nearest = max(outside, key=lambda name: failures.share(relation.of, name))
    kind = failures.matches.graph.layers[nearest].type
    return f"{nearest} ({kind}), which {failures.lacks(relation.of, nearest)}"


@dataclass(frozen=True, slots=True)
class Inside(Matcher):
    """Some enclosing nested model matches."""

    container: Matcher

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers of those models, and of the models in them."""
        containers = matches.of(self.container)
        found: set[str] = set()
        for address, layer in matches.graph.layers.items():  # models come before their layers
            outer = layer.container
            if outer is not None and (outer in found or outer in containers):
                found.add(address)
        return matches.order.of(found)

    def words(self) -> str:
        """Return `inside ...`."""
        return f"inside {self.container.grouped()}"

    def spelled(self) -> str:
        """Return `inside: ...`."""
        return f"inside: {self.container.nested()}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matcher of the model."""
        return (self.container,)

    def reason(self, failures: Failures, address: str) -> str:
        """Return the model that matches, or those that the layer is in."""
        layers = failures.matches.graph.layers
        chain = []
        outer = layers[address].container
        while outer is not None:
            chain.append(outer)
            outer = layers[outer].container
        if address in failures.matches.of(self):
            inside = failures.matches.of(self.container)
            return f"inside {next(name for name in chain if name in inside)}"
        return f"is inside {listed(chain)}" if chain else "is in no nested model"


NEIGHBOUR_KEYS = (
    SchemaKey("every", Truth, "true: all of the neighbours match, not only one.", "true"),
    SchemaKey("only", Truth, "true: there is exactly one neighbour, and it matches.", "true"),
)


def _build(kind: type[Neighbour], shape: Any, place: Place) -> Matcher:
    of = place.matcher(shape)
    if shape == "*":
        return kind(of)
    return kind(of, shape.given("every") or False, shape.given("only") or False)


FED_BY = MatcherKey(
    "fed_by",
    "NeighbourValue",
    "Some direct producer matches.",
    "{type: Add}",
    build=lambda shape, place: _build(FedBy, shape, place),
)
FEEDS = MatcherKey(
    "feeds",
    "NeighbourValue",
    "Some direct consumer matches.",
    "{type: Add}",
    build=lambda shape, place: _build(Feeds, shape, place),
)
INSIDE = MatcherKey(
    "inside",
    ONE_MATCHER,
    "Some nested model around the layer matches.",
    "{name: backbone}",
    build=lambda shape, place: Inside(place.matcher(shape)),
)
