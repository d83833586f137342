"""Where in the model a layer stands: `inside`, `first`, `last`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from graphprune.rules.matchers.key import ONE_MATCHER, MatcherKey
from graphprune.rules.matchers.logic import conditions_of
from graphprune.rules.matchers.matcher import Matcher, Search, listed
from graphprune.rules.matchers.ways import find_way, through

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches


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


class _End(Matcher):
    """In the set, and no layer of the set lies on one side of it."""

    __slots__ = ()

    walks = True
    key: ClassVar[str]
    verb: ClassVar[str]
    is_first: ClassVar[bool]

    of: Matcher

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with a call that no call of the set comes before, or follows."""
        (search,) = self.searches()
        return matches.ends(search)

    def words(self) -> str:
        """Return `first ...`."""
        return f"{self.key} {self.of.grouped()}"

    def spelled(self) -> str:
        """Return `first: ...`."""
        return f"{self.key}: {self.of.nested()}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matcher of the set."""
        return (self.of,)

    def searches(self) -> tuple[Search, ...]:
        """Return the search for what comes after the set, or before it."""
        return (Search(self.of, downstream=self.is_first),)

    def reason(self, failures: Failures, address: str) -> str:
        """Return what the layer lacks, or which layer of the set comes before it, or follows it."""
        matches = failures.matches
        if address in matches.of(self):
            return f"no {self.of.noun()} {self.verb} {address}, so it is the {self.key} one"
        inside = matches.of(self.of)
        if address not in inside:
            is_simple = len(conditions_of(self.of)) == 1
            return f"is no {self.of.noun()}" if is_simple else failures.lacks(self.of, address)
        links = matches.calls.before if self.is_first else matches.calls.after
        way = find_way(matches, address, inside, links)
        if not way:
            return ""
        found, here = matches.calls.name(way[-1]), matches.calls.name(way[0])
        along = through(matches, way[::-1] if self.is_first else way)
        return f"{found} {self.verb} {here}{along}"


@dataclass(frozen=True, slots=True)
class First(_End):
    """In the set, and no strict ancestor is."""

    of: Matcher

    key = "first"
    verb = "comes before"
    is_first = True


@dataclass(frozen=True, slots=True)
class Last(_End):
    """In the set, and no strict descendant is."""

    of: Matcher

    key = "last"
    verb = "follows"
    is_first = False


INSIDE = MatcherKey(
    "inside",
    ONE_MATCHER,
    "Some nested model around the layer matches.",
    "{name: backbone}",
    build=lambda shape, place: Inside(place.matcher(shape)),
)
FIRST = MatcherKey(
    "first",
    ONE_MATCHER,
    "The layer matches, and nothing before it does.",
    "{isa: Conv2D}",
    build=lambda shape, place: First(place.matcher(shape)),
)
LAST = MatcherKey(
    "last",
    ONE_MATCHER,
    "The layer matches, and nothing after it does. Each branch has its own last.",
    "{type: Dense}",
    build=lambda shape, place: Last(place.matcher(shape)),
)
