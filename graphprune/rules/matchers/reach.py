"""What comes before a layer and after it, near or far: `after`, `before`, `between`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphprune.rules.matchers.call_graph import reach
from graphprune.rules.matchers.key import ONE_MATCHER, MatcherKey, Place, SchemaKey
from graphprune.rules.matchers.layer_set import both
from graphprune.rules.matchers.logic import Use
from graphprune.rules.matchers.matcher import Matcher, Search
from graphprune.rules.matchers.ways import find_way, not_reached, through
from graphprune.rules.shapes.scalars import PositiveCount

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches


@dataclass(frozen=True, slots=True)
class After(Matcher):
    """Some strict ancestor matches, at most `hops` calls away, on a walk that does not go past a
    layer matching `until`.
    """

    of: Matcher
    hops: int | None = None
    until: Matcher | None = None

    walks = True

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers downstream of the set."""
        return _reached(matches, Search(self.of, True, self.until), self.hops)

    def words(self) -> str:
        """Return `after ...`."""
        return f"after {self.of.grouped()}{_bounds(self.hops, self.until)}"

    def spelled(self) -> str:
        """Return `after: {..., hops: 3}`."""
        return f"after: {self.of.nested(*_spelled_bounds(self.hops, self.until))}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matchers of the set and of what ends a walk."""
        return (self.of,) if self.until is None else (self.of, self.until)

    def searches(self) -> tuple[Search, ...]:
        """Return the search downstream; with `hops` it walks alone."""
        return () if self.hops is not None else (Search(self.of, True, self.until),)

    def reason(self, failures: Failures, address: str) -> str:
        """Return the way from a layer of the set, or why there is none."""
        is_reached = address in failures.matches.of(self)
        return _way(failures, self, address, upstream=True, is_reached=is_reached)


@dataclass(frozen=True, slots=True)
class Before(Matcher):
    """Some strict descendant matches, at most `hops` calls away, on a walk that does not go past a
    layer matching `until`.
    """

    of: Matcher
    hops: int | None = None
    until: Matcher | None = None

    walks = True

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers upstream of the set."""
        return _reached(matches, Search(self.of, False, self.until), self.hops)

    def words(self) -> str:
        """Return `before ...`."""
        return f"before {self.of.grouped()}{_bounds(self.hops, self.until)}"

    def spelled(self) -> str:
        """Return `before: {..., hops: 3}`."""
        return f"before: {self.of.nested(*_spelled_bounds(self.hops, self.until))}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matchers of the set and of what ends a walk."""
        return (self.of,) if self.until is None else (self.of, self.until)

    def searches(self) -> tuple[Search, ...]:
        """Return the search upstream; with `hops` it walks alone."""
        return () if self.hops is not None else (Search(self.of, False, self.until),)

    def reason(self, failures: Failures, address: str) -> str:
        """Return the way to a layer of the set, or why there is none."""
        is_reached = address in failures.matches.of(self)
        return _way(failures, self, address, upstream=False, is_reached=is_reached)


@dataclass(frozen=True, slots=True)
class Between(Matcher):
    """Strictly downstream of a layer in one set and strictly upstream of one in the other; the
    layers of both sets are outside.
    """

    after: Matcher
    before: Matcher

    walks = True

    def find(self, matches: Matches) -> LayerSet:
        """Return the layers of the region."""
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
        """Return the ways from and to the ends, or what blocks them; or which end the layer is."""
        for end in (self.after, self.before):
            if address in failures.matches.of(end):
                return f"is itself {'a ' if isinstance(end, Use) else ''}{end.noun()}"
        ways = (
            _way(failures, end, address, upstream=upstream, is_reached=True)
            or _way(failures, end, address, upstream=upstream, is_reached=False)
            for end, upstream in ((After(self.after), True), (Before(self.before), False))
        )
        return "; ".join(ways)


def _reached(matches: Matches, search: Search, hops: int | None) -> LayerSet:
    if hops is None:
        return matches.calls.layers_of(matches.search(search))
    links = matches.calls.after if search.downstream else matches.calls.before
    starts, stops = matches.calls_of(search.of), matches.calls_of(search.until)
    return matches.calls.layers_of(reach(starts, links, stops, hops))


def _bounds(hops: int | None, until: Matcher | None) -> str:
    bounds = []
    if hops is not None:
        bounds.append(f" at most {hops} {'call' if hops == 1 else 'calls'} away")
    if until is not None:
        bounds.append(f" not past {until.grouped()}")
    return ",".join(bounds)


def _spelled_bounds(hops: int | None, until: Matcher | None) -> list[str]:
    bounds = [] if hops is None else [f"hops: {hops}"]
    return bounds if until is None else [*bounds, f"until: {until.nested()}"]


def _way(
    failures: Failures, relation: After | Before, address: str, *, upstream: bool, is_reached: bool
) -> str:
    """Return the way between the layer and one of the relation's set ("" where none is found), or,
    where it is not reached, what is in the way.
    """
    matches = failures.matches
    links = matches.calls.before if upstream else matches.calls.after
    wanted = matches.of(relation.of)
    stops: Collection[str] = () if relation.until is None else matches.of(relation.until)
    if is_reached:
        way = find_way(matches, address, wanted, links, stops, relation.hops)
        if not way:
            return ""
        found = matches.calls.name(way[-1])
        ordered = way[::-1] if upstream else way
        return f"{'after' if upstream else 'before'} {found}{through(matches, ordered)}"
    far = find_way(matches, address, wanted, links)
    if far:
        return _too_far(matches, far, stops, relation.hops, upstream=upstream)
    return not_reached(failures, relation.of, address, upstream=upstream)


def _too_far(
    matches: Matches,
    way: Sequence[int],
    stops: Collection[str],
    hops: int | None,
    *,
    upstream: bool,
) -> str:
    """Return why the layer at the end of the way is not reached: it is too many calls away, or
    another stops the walk.
    """
    calls = matches.calls
    found = calls.name(way[-1])
    along = through(matches, way[::-1] if upstream else way)
    between = way[-2:0:-1]  # a walk begins at the layer of the set
    stop = next((call for call in between if calls.address[call] in stops), None)
    if stop is not None and (hops is None or len(way) - 1 <= hops):
        return f"{calls.name(stop)} stops the walk {'from' if upstream else 'to'} {found}{along}"
    return f"{found} is {len(way) - 1} calls away{along}"


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
