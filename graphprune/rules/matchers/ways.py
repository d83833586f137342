"""Ways from a layer to those that a relation looks for, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from graphprune.rules.matchers.call_graph import Links, reach

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.matcher import Matcher
    from graphprune.rules.matchers.matches import Matches

SHOWN = 6


def find_way(
    matches: Matches,
    address: str,
    wanted: Collection[str],
    links: Links,
    stops: Collection[str] = (),
    hops: int | None = None,
) -> list[int]:
    """Return the calls on a shortest way from the layer along `links` to one of `wanted`, both ends
    included; empty where there is none.

    The way passes no layer of `stops`.
    """
    names = matches.calls.address
    came: dict[int, int | None] = dict.fromkeys(matches.calls.calls_of((address,)))
    edge = list(came)
    while edge and hops != 0:
        further = []
        for call in edge:
            for other in links[call]:
                if other in came:
                    continue
                came[other] = call
                if names[other] in wanted:
                    return trace(came, other)
                if names[other] not in stops:
                    further.append(other)
        edge, hops = further, None if hops is None else hops - 1
    return []


def trace(came: Mapping[int, int | None], end: int) -> list[int]:
    """Return the way to `end`, from what each call was reached from."""
    way = [end]
    while (before := came[way[-1]]) is not None:
        way.append(before)
    return way[::-1]


def through(matches: Matches, way: Sequence[int]) -> str:
    """Return the way where it has layers between its ends, long ones cut in the middle."""
    if len(way) <= 2:
        return ""
    half = SHOWN // 2
    name = matches.calls.name
    if len(way) > SHOWN + 2:
        head, tail = map(name, way[:half]), map(name, way[-half:])
        shown = [*head, f"{len(way) - SHOWN} more", *tail]
    else:
        shown = list(map(name, way))
    return f": reached through {' > '.join(shown)}"


def not_reached(failures: Failures, wanted: Matcher, address: str, *, upstream: bool) -> str:
    """Return that no layer of `wanted` comes before the layer, or follows it; and which of those
    that do is nearest to it.
    """
    matches = failures.matches
    links = matches.calls.before if upstream else matches.calls.after
    reached = matches.calls.layers_of(reach(matches.calls.calls_of((address,)), links))
    near = failures.nearest(wanted, reached - matches.order.of((address,)))
    tail = f"; {near}" if near else _next(matches, address, links)
    return f"no {wanted.noun()} {'comes before' if upstream else 'follows'} {address}{tail}"


def _next(matches: Matches, address: str, links: Links) -> str:
    """Return the nearest layer on the side where nothing matches."""
    names = neighbours(matches, address, links)
    return f"; the nearest is {names[0]} ({matches.graph.layers[names[0]].type})" if names else ""


def neighbours(matches: Matches, address: str, links: Links) -> list[str]:
    """Return the layers that are one call away along `links`, each once."""
    calls = matches.calls
    return list(
        dict.fromkeys(
            calls.address[other] for call in calls.calls_of((address,)) for other in links[call]
        )
    )
