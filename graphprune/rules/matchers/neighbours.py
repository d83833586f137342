"""Direct relations of a layer: `fed_by`, `feeds`, and the model that it is `inside`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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


class _Neighbour(Matcher):
    """A direct neighbour (a call) on one side matches.

    Attributes:
        key: Its key in rule files.
        is_upstream: Whether the neighbours are producers; otherwise consumers.
        verb, nothing, several, mixed: Texts of reasons: their beginning; without a neighbour; their
            end if `only` finds several neighbours, and if `every` or `only` fails in each call.
    """

    __slots__ = ()

    needs_connections = True
    key: ClassVar[str]
    is_upstream: ClassVar[bool]
    verb: ClassVar[str]
    nothing: ClassVar[str]
    several: ClassVar[str]
    mixed: ClassVar[str]

    of: Matcher
    every: bool
    only: bool

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with such neighbours."""
        links = self._links(matches)
        inside = mark(matches.calls_of(self.of), len(links))
        quantifier = all if self.every else any
        return matches.calls.layers_of(
            bytes(
                bool(others)
                and (not self.only or len(others) == 1)
                and quantifier(inside[other] for other in others)
                for others in links
            )
        )

    def words(self) -> str:
        """Return `fed_by only ReLU`."""
        quantity = "nothing but " if self.every else ""
        return f"{self.key} {'only ' if self.only else quantity}{self.of.grouped()}"

    def spelled(self) -> str:
        """Return `fed_by: {..., only: true}`."""
        more = [f"{key}: true" for key in ("every", "only") if getattr(self, key)]
        return f"{self.key}: {self.of.nested(*more)}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matcher of the neighbours."""
        return (self.of,)

    def failing(self, failures: Failures, address: str) -> str:
        """Return the condition that the nearest neighbour fails.

        If it fails none, there are too many neighbours, or others that do not match.
        """
        names = self._names(failures.matches, address)
        if not names:
            return f"{self.words()} ({self.nothing})"
        best = max(names, key=lambda name: failures.share(self.of, name))
        conditions = failures.nearest_conditions(self.of, best)
        failing = [part for part in conditions if best not in failures.matches.of(part)]
        classes = [part for part in conditions if isinstance(part, TypeIs | IsA)]
        head = (classes[0] if classes else self.of).words()
        if not failing:
            quantity = "only " if self.only else "nothing but "
            return f"{self.key} {quantity}{head} (there are {listed(names)})"
        told = failing[0].failing(failures, best)
        if isinstance(failing[0], TypeIs | IsA) or len(conditions) == 1:
            return f"{self.key} {told}"
        return f"{self.key} {head} with {told}"

    def reason(self, failures: Failures, address: str) -> str:
        """Return the neighbours that match, or why they do not."""
        names = self._names(failures.matches, address)
        inside = failures.matches.of(self.of)
        if address in failures.matches.of(self):
            return f"{self.verb} {listed(name for name in names if name in inside)}"
        if not names:
            return self.nothing
        if self.only and len(names) > 1:
            return f"{self.verb} {listed(names)}{self.several}"
        outside = [name for name in names if name not in inside]
        if not outside:
            return f"{self.verb} {listed(names)}{self.mixed}"
        nearest = max(outside, key=lambda name: failures.share(self.of, name))
        kind = failures.matches.graph.layers[nearest].type
        return f"{self.verb} {nearest} ({kind}), which {failures.lacks(self.of, nearest)}"

    def _links(self, matches: Matches) -> Links:
        return matches.calls.before if self.is_upstream else matches.calls.after

    def _names(self, matches: Matches, address: str) -> list[str]:
        return neighbours(matches, address, self._links(matches))


@dataclass(frozen=True, slots=True)
class FedBy(_Neighbour):
    """A direct producer matches; with `every` all do, with `only` there is exactly one."""

    of: Matcher
    every: bool = False
    only: bool = False

    key = "fed_by"
    is_upstream = True
    verb = "fed by"
    nothing = "is fed by nothing"
    several = ", not by one alone"
    mixed = ", but never by them alone in one call"


@dataclass(frozen=True, slots=True)
class Feeds(_Neighbour):
    """A direct consumer matches; with `every` all do, with `only` there is exactly one."""

    of: Matcher
    every: bool = False
    only: bool = False

    key = "feeds"
    is_upstream = False
    verb = "feeds"
    nothing = "feeds nothing"
    several = ", not one alone"
    mixed = " in more than one call"


@dataclass(frozen=True, slots=True)
class Inside(Matcher):
    """An enclosing nested model matches."""

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
    SchemaKey("every", Truth, "true: all neighbours match, not only one.", "true"),
    SchemaKey("only", Truth, "true: there is exactly one neighbour, and it matches.", "true"),
)


def _build(kind: type[FedBy | Feeds], shape: Any, place: Place) -> Matcher:
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
