"""Relations along paths: `after`, `before`, `between`, `first`, `last`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from graphprune.rules.matchers.call_graph import Links, find_way, not_reached, reach, through
from graphprune.rules.matchers.key import ONE_MATCHER, MatcherKey, Place, SchemaKey
from graphprune.rules.matchers.layer_set import both
from graphprune.rules.matchers.logic import Use, conditions_of
from graphprune.rules.matchers.matcher import Matcher, Search
from graphprune.rules.text.numbers import PositiveCount

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches


class _Reach(Matcher):
    """A layer of the set is on one side, at any distance."""

    __slots__ = ()

    walks = True
    needs_connections = True
    key: ClassVar[str]
    is_upstream: ClassVar[bool]

    of: Matcher
    hops: int | None
    until: Matcher | None

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers downstream of the set, or upstream."""
        search = Search(self.of, self.is_upstream, self.until)
        if self.hops is None:
            return matches.calls.layers_of(matches.search(search))
        links = matches.calls.after if self.is_upstream else matches.calls.before
        starts, stops = matches.calls_of(self.of), matches.calls_of(self.until)
        return matches.calls.layers_of(reach(starts, links, stops, self.hops))

    def words(self) -> str:
        """Return `after ... at most 3 calls away`."""
        bounds = []
        if self.hops is not None:
            bounds.append(f" at most {self.hops} {'call' if self.hops == 1 else 'calls'} away")
        if self.until is not None:
            bounds.append(f" not past {self.until.grouped()}")
        return f"{self.key} {self.of.grouped()}{','.join(bounds)}"

    def spelled(self) -> str:
        """Return `after: {..., hops: 3}`."""
        bounds = [] if self.hops is None else [f"hops: {self.hops}"]
        if self.until is not None:
            bounds.append(f"until: {self.until.nested()}")
        return f"{self.key}: {self.of.nested(*bounds)}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matchers of the set and of the layers that end a search."""
        return (self.of,) if self.until is None else (self.of, self.until)

    def searches(self) -> tuple[Search, ...]:
        """Return the search; none with `hops`, which needs a search of its own."""
        return () if self.hops is not None else (Search(self.of, self.is_upstream, self.until),)

    def reason(self, failures: Failures, address: str) -> str:
        """Return the path between the layer and one of the set, or why there is none."""
        is_reached = address in failures.matches.of(self)
        return (
            self.reached(failures.matches, address)
            if is_reached
            else self.missed(failures, address)
        )

    def reached(self, matches: Matches, address: str) -> str:
        """Return the path between the layer and one of the set; "" if there is none."""
        stops: Collection[str] = () if self.until is None else matches.of(self.until)
        links = self._links(matches)
        way = find_way(matches, address, matches.of(self.of), links, stops, self.hops)
        if not way:
            return ""
        return f"{self.key} {matches.calls.name(way[-1])}{self._through(matches, way)}"

    def missed(self, failures: Failures, address: str) -> str:
        """Return why no layer of the set is reached.

        There is none on that side, it is too many calls away, or another layer stops the search.
        """
        matches, calls = failures.matches, failures.matches.calls
        way = find_way(matches, address, matches.of(self.of), self._links(matches))
        if not way:
            return not_reached(failures, self.of, address, upstream=self.is_upstream)
        found, along = calls.name(way[-1]), self._through(matches, way)
        stops: Collection[str] = () if self.until is None else matches.of(self.until)
        between = way[-2:0:-1]  # a search begins at the layer of the set
        stop = next((call for call in between if calls.address[call] in stops), None)
        if stop is not None and (self.hops is None or len(way) - 1 <= self.hops):
            side = "from" if self.is_upstream else "to"
            return f"{calls.name(stop)} stops the walk {side} {found}{along}"
        return f"{found} is {len(way) - 1} calls away{along}"

    def _links(self, matches: Matches) -> Links:
        return matches.calls.before if self.is_upstream else matches.calls.after

    def _through(self, matches: Matches, way: Sequence[int]) -> str:
        return through(matches, way[::-1] if self.is_upstream else way)


@dataclass(frozen=True, slots=True)
class After(_Reach):
    """A strict ancestor matches, at most `hops` calls away.

    The path to it does not go past a layer that matches `until`.
    """

    of: Matcher
    hops: int | None = None
    until: Matcher | None = None

    key = "after"
    is_upstream = True


@dataclass(frozen=True, slots=True)
class Before(_Reach):
    """A strict descendant matches, at most `hops` calls away.

    The path to it does not go past a layer that matches `until`.
    """

    of: Matcher
    hops: int | None = None
    until: Matcher | None = None

    key = "before"
    is_upstream = False


@dataclass(frozen=True, slots=True)
class Between(Matcher):
    """Strictly after a layer of one set and strictly before a layer of another; in neither set."""

    after: Matcher
    before: Matcher

    walks = True
    needs_connections = True

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers between the two sets."""
        region = both(*map(matches.search, self.searches()))
        ends = matches.of(self.after) | matches.of(self.before)
        return matches.calls.layers_of(region) - ends

    def words(self) -> str:
        """Return `between ... and ...`."""
        return f"between {self.after.grouped()} and {self.before.grouped()}"

    def spelled(self) -> str:
        """Return `between: {after: ..., before: ...}`."""
        return f"between: {{after: {self.after.nested()}, before: {self.before.nested()}}}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matchers of both ends."""
        return self.after, self.before

    def searches(self) -> tuple[Search, Search]:
        """Return the searches from both ends."""
        return Search(self.after, downstream=True), Search(self.before, downstream=False)

    def reason(self, failures: Failures, address: str) -> str:
        """Return the paths to both ends, or what blocks them, or which end the layer is."""
        for end in (self.after, self.before):
            if address in failures.matches.of(end):
                return f"is itself {'a ' if isinstance(end, Use) else ''}{end.noun()}"
        ways = (
            end.reached(failures.matches, address) or end.missed(failures, address)
            for end in (After(self.after), Before(self.before))
        )
        return "; ".join(ways)


class _End(Matcher):
    """In the set, with no layer of the set on one side."""

    __slots__ = ()

    walks = True
    needs_connections = True
    key: ClassVar[str]
    verb: ClassVar[str]
    is_first: ClassVar[bool]

    of: Matcher

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers with a call that no call of the set precedes, or follows."""
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
        """Return the search for the layers after the set, or before it."""
        return (Search(self.of, downstream=self.is_first),)

    def reason(self, failures: Failures, address: str) -> str:
        """Return what the layer lacks, or which layer of the set precedes or follows it."""
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


REACH_KEYS = (
    SchemaKey("hops", PositiveCount, "At most this many calls away.", "3"),
    SchemaKey("until", ONE_MATCHER, "Do not look past a layer that matches this.", "{type: Add}"),
)
BETWEEN_KEYS = (
    SchemaKey(
        "after",
        ONE_MATCHER,
        "Where the region begins; the layer itself is outside.",
        "{name: stem}",
        is_required=True,
    ),
    SchemaKey(
        "before",
        ONE_MATCHER,
        "Where the region ends; the layer itself is outside.",
        "{type: GlobalAveragePooling2D}",
        is_required=True,
    ),
)


def _build(kind: type[After | Before], shape: Any, place: Place) -> Matcher:
    of = place.matcher(shape)
    if shape == "*":
        return kind(of)
    until = shape.given("until")
    return kind(of, shape.given("hops"), None if until is None else place.matcher(until, "until"))


AFTER = MatcherKey(
    "after",
    "ReachValue",
    "Some layer before this one, near or far, matches.",
    "{type: Add, hops: 3}",
    build=lambda shape, place: _build(After, shape, place),
)
BEFORE = MatcherKey(
    "before",
    "ReachValue",
    "Some layer after this one, near or far, matches.",
    "{type: Dense}",
    build=lambda shape, place: _build(Before, shape, place),
)
BETWEEN = MatcherKey(
    "between",
    "BetweenShape",
    "Strictly after one layer and before another.",
    "{after: {name: stem}, before: {type: GlobalAveragePooling2D}}",
    build=lambda shape, place: Between(
        place.matcher(shape.after, "after"), place.matcher(shape.before, "before")
    ),
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
