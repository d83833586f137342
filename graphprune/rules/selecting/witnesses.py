"""Why one layer is in a set or outside it: the way to a layer that matches, or what the nearest one
lacks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from graphprune.rules.selecting.call_graph import Links, reach
from graphprune.rules.selecting.failures import Failures
from graphprune.rules.text.regexes import compile_regex
from graphprune.rules.values.describe import describe
from graphprune.rules.values.matchers import (
    After,
    AllOf,
    AnyOf,
    Before,
    Between,
    Everything,
    FedBy,
    Feeds,
    First,
    Inside,
    IsA,
    Last,
    Matcher,
    NameGlob,
    NameRegex,
    Not,
    Use,
    conditions_of,
)

SHOWN = 6


class Witnesses:
    """Reasons for the layers of one graph."""

    def __init__(self, failures: Failures) -> None:
        self.failures = failures
        self.matches = failures.matches
        self.calls = failures.matches.calls

    def reason(self, matcher: Matcher, address: str) -> str:
        """Return why the layer is in the set of `matcher`, or outside it; "" where the condition
        says it all.
        """
        holds = address in self.matches.of(matcher)
        match matcher:
            case Not(inner):
                return self.reason(inner, address)
            case First(inner):
                return self._end(
                    inner, address, "comes before", "first", self.calls.before, holds=holds
                )
            case Last(inner):
                return self._end(inner, address, "follows", "last", self.calls.after, holds=holds)
            case After(inner, hops, until):
                return self._reached(
                    inner, address, self.calls.before, hops, until, holds=holds, backward=True
                )
            case Before(inner, hops, until):
                return self._reached(
                    inner, address, self.calls.after, hops, until, holds=holds, backward=False
                )
            case Between(after, before):
                return self._between(after, before, address, holds=holds)
            case FedBy() | Feeds():
                return (
                    self._neighbours(matcher, address)
                    if holds
                    else self._wrong_neighbour(matcher, address)
                )
            case NameRegex(regex) if not holds:
                part = compile_regex(regex).find(address)
                return f"finds only {part!r}, and the whole address must match" if part else ""
            case NameGlob(glob) if not holds:
                wide = address in self.matches.of(NameGlob(f"**{glob}"))
                return f"'*' stays inside one model; '**{glob}' would match" if wide else ""
            case Inside(container):
                return self._inside(container, address, holds=holds)
            case AllOf() | AnyOf() | Use() | Everything():
                return ""
            case _:
                return "" if holds else self._what_it_is(matcher, address)

    def _what_it_is(self, matcher: Matcher, address: str) -> str:
        """Return `is same` of a condition that fails, without the condition that stands beside it."""
        text, said = self.failures.describe(matcher, address), describe(matcher)
        return text.removeprefix(said).strip(" ()") if text.startswith(said) else text

    def _end(
        self, inner: Matcher, address: str, verb: str, word: str, links: Links, *, holds: bool
    ) -> str:
        name = _noun(inner)
        if holds:
            return f"no {name} {verb} {address}, so it is the {word} one"
        if address not in self.matches.of(inner):
            return (
                f"is no {name}"
                if len(conditions_of(inner)) == 1
                else self.failures.lacks(inner, address)
            )
        way = self._way(address, self.matches.of(inner), links)
        return (
            f"{self.calls.name(way[-1])} {verb}"
            f" {self.calls.name(way[0])}{self._through(way[::-1] if word == 'first' else way)}"
            if way
            else ""
        )

    def _reached(
        self,
        inner: Matcher,
        address: str,
        links: Links,
        hops: int | None,
        until: Matcher | None,
        *,
        holds: bool,
        backward: bool,
    ) -> str:
        stops = frozenset() if until is None else self.matches.of(until)
        if holds:
            way = self._way(address, self.matches.of(inner), links, stops, hops)
            return (
                f"{'after' if backward else 'before'}"
                f" {self.calls.name(way[-1])}{self._through(way[::-1] if backward else way)}"
                if way
                else ""
            )
        far = self._way(address, self.matches.of(inner), links)
        if far:
            return self._too_far(far[::-1] if backward else far, stops, hops, backward=backward)
        direction = "comes before" if backward else "follows"
        near = self.failures.nearest(
            inner,
            self.calls.layers_of(reach(self.calls.calls_of((address,)), links))
            - self.matches.order.of((address,)),
        )
        return (
            f"no {_noun(inner)} {direction}"
            f" {address}{f'; {near}' if near else self._next(address, links)}"
        )

    def _too_far(
        self, way: Sequence[int], stops: Collection[str], hops: int | None, *, backward: bool
    ) -> str:
        """Return why a layer that matches is not reached: it is too many calls away, or another
        stops the walk.
        """
        found = self.calls.name(way[0] if backward else way[-1])
        stop = next(
            (
                call
                for call in (way if backward else way[::-1])[1:-1]
                if self.calls.address[call] in stops
            ),
            None,
        )
        if stop is not None and (hops is None or len(way) - 1 <= hops):
            return (
                f"{self.calls.name(stop)} stops the walk {'from' if backward else 'to'}"
                f" {found}{self._through(way)}"
            )
        return f"{found} is {len(way) - 1} calls away{self._through(way)}"

    def _next(self, address: str, links: Links) -> str:
        """Return the nearest layer on the side where nothing matches."""
        names = [
            self.calls.address[other]
            for call in self.calls.calls_of((address,))
            for other in links[call]
        ]
        return (
            f"; the nearest is {names[0]} ({self.matches.graph.layers[names[0]].type})"
            if names
            else ""
        )

    def _between(self, after: Matcher, before: Matcher, address: str, *, holds: bool) -> str:
        ends = [end for end in (after, before) if address in self.matches.of(end)]
        if ends:
            return f"is itself {'a ' if isinstance(ends[0], Use) else ''}{_noun(ends[0])}"
        upstream = self._reached(
            after,
            address,
            self.calls.before,
            None,
            None,
            holds=holds or self._is_reached(after, address, self.calls.before),
            backward=True,
        )
        downstream = self._reached(
            before,
            address,
            self.calls.after,
            None,
            None,
            holds=holds or self._is_reached(before, address, self.calls.after),
            backward=False,
        )
        return f"{upstream}; {downstream}"

    def _is_reached(self, matcher: Matcher, address: str, links: Links) -> bool:
        return bool(self._way(address, self.matches.of(matcher), links))

    def _neighbours(self, matcher: FedBy | Feeds, address: str) -> str:
        links, verb = (
            (self.calls.before, "fed by")
            if isinstance(matcher, FedBy)
            else (self.calls.after, "feeds")
        )
        inside = self.matches.of(matcher.of)
        names = [
            self.calls.address[other]
            for call in self.calls.calls_of((address,))
            for other in links[call]
        ]
        return f"{verb} {_listed([name for name in dict.fromkeys(names) if name in inside])}"

    def _wrong_neighbour(self, matcher: FedBy | Feeds, address: str) -> str:
        """Return which producer (or consumer) fails what; or that there are others beside those
        that match.
        """
        links, verb = (
            (self.calls.before, "fed by")
            if isinstance(matcher, FedBy)
            else (self.calls.after, "feeds")
        )
        inside = self.matches.of(matcher.of)
        names = list(
            dict.fromkeys(
                self.calls.address[other]
                for call in self.calls.calls_of((address,))
                for other in links[call]
            )
        )
        outside = [name for name in names if name not in inside]
        if not names:
            return "is fed by nothing" if isinstance(matcher, FedBy) else "feeds nothing"
        if matcher.only and len(names) > 1:
            return (
                f"{verb} {_listed(names)}, not by one alone"
                if isinstance(matcher, FedBy)
                else f"feeds {_listed(names)}, not one alone"
            )
        if not outside:
            return (
                f"{verb} {_listed(names)}, but never by them alone in one call"
                if isinstance(matcher, FedBy)
                else f"feeds {_listed(names)} in more than one call"
            )
        nearest = max(outside, key=lambda name: self.failures.share(matcher.of, name))
        return (
            f"{verb} {nearest} ({self.matches.graph.layers[nearest].type}), which"
            f" {self.failures.lacks(matcher.of, nearest)}"
        )

    def _inside(self, container: Matcher, address: str, *, holds: bool) -> str:
        outer = self.matches.graph.layers[address].container
        chain = []
        while outer is not None:
            chain.append(outer)
            outer = self.matches.graph.layers[outer].container
        if holds:
            return f"inside {next(name for name in chain if name in self.matches.of(container))}"
        return f"is inside {_listed(chain)}" if chain else "is in no nested model"

    def _way(
        self,
        address: str,
        wanted: Collection[str],
        links: Links,
        stops: Collection[str] = (),
        hops: int | None = None,
    ) -> list[int]:
        """Return the calls on a shortest way from the layer along `links` to one of `wanted`, both
        ends included; empty where there is none.

        The way passes no layer of `stops`.
        """
        came: dict[int, int | None] = dict.fromkeys(self.calls.calls_of((address,)))
        edge = list(came)
        while edge and hops != 0:
            further = []
            for call in edge:
                for other in links[call]:
                    if other in came:
                        continue
                    came[other] = call
                    if self.calls.address[other] in wanted:
                        return _trace(came, other)
                    if self.calls.address[other] not in stops:
                        further.append(other)
            edge, hops = further, None if hops is None else hops - 1
        return []

    def _through(self, way: Sequence[int]) -> str:
        """Return the way where it has layers between its ends, long ones cut in the middle."""
        if len(way) <= 2:
            return ""
        cut = len(way) > SHOWN + 2
        names = (
            [self.calls.name(call) for call in (*way[: SHOWN // 2], *way[-(SHOWN // 2) :])]
            if cut
            else [self.calls.name(call) for call in way]
        )
        shown = (
            [*names[: SHOWN // 2], f"{len(way) - SHOWN} more", *names[SHOWN // 2 :]]
            if cut
            else names
        )
        return f": reached through {' > '.join(shown)}"


def _noun(matcher: Matcher) -> str:
    text = " or ".join(matcher.types) if isinstance(matcher, IsA) else describe(matcher)
    return (
        f"layer ({text})"
        if isinstance(matcher, AllOf | AnyOf | Not)
        else f"layer of {text}"
        if isinstance(matcher, Use)
        else text
    )


def _trace(came: Mapping[int, int | None], call: int | None) -> list[int]:
    way: list[int] = []
    while call is not None:
        way.append(call)
        call = came[call]
    return way[::-1]


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
