"""Why a rule matched less than its author expected."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from graphprune.graph.out_of_reach import NEVER_BUILT, describe_out_of_reach, find_out_of_reach
from graphprune.rules.matchers.classes import what_there_is
from graphprune.rules.matchers.failures import Failures, count_shares
from graphprune.rules.matchers.logic import conditions_of
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.matches import Matches

SHOWN = 3


def explain_misses(matches: Matches, matcher: Matcher) -> str:
    """Return the help for a rule that matches too little: nearest misses, a regex that only had to
    be wider, or what there is.
    """
    unreached = find_out_of_reach(matches.graph)
    if unreached and not matches.candidates and unreached[0].reason == NEVER_BUILT:
        return NEVER_BUILT
    misses = find_misses(matches, matcher)
    if misses:
        help = f"nearest misses: {', '.join(map(str, misses))}"
    else:
        help = _wider(matches, matcher) or what_there_is(matches)
    if not unreached or matches.claimed(matcher):
        return help
    more = f" ({len(unreached) - 1} more such layers)" if len(unreached) > 1 else ""
    told = " ".join(describe_out_of_reach(unreached[:1])).rstrip(".")
    return f"{help}; out of reach: {told}{more}"


def _wider(matches: Matches, matcher: Matcher) -> str:
    """Return what would match instead of the first condition that holds for no candidate and can
    tell.
    """
    for condition in conditions_of(matcher):
        text = "" if matches.claimed(condition) else condition.wider(matches)
        if text:
            return text
    return ""


@dataclass(frozen=True, slots=True)
class Miss:
    """A candidate outside that meets some of the leaf conditions: which it fails, and how many
    there are.
    """

    address: str
    fails: tuple[str, ...]
    total: int

    @property
    def met(self) -> int:
        """How many conditions it meets."""
        return self.total - len(self.fails)

    def __str__(self) -> str:
        return f"{self.address} ({self.met} of {self.total}; fails: {', '.join(self.fails)})"


def find_misses(matches: Matches, matcher: Matcher, count: int = SHOWN) -> tuple[Miss, ...]:
    """Return the candidates outside that meet the largest share of the leaf conditions, at least
    one of them; equals in the graph's order.
    """
    outside = matches.candidates - matches.claimed(matcher)
    met, total = count_shares(matches, matcher, outside)
    best = heapq.nlargest(
        count,
        (place for place, number in enumerate(met) if number),
        key=lambda place: (met[place] / total[place], -place),
    )
    addresses = list(outside) if best else []
    return tuple(_miss(Failures(matches), matcher, addresses[place]) for place in best)


def _miss(failures: Failures, matcher: Matcher, address: str) -> Miss:
    conditions = failures.nearest_conditions(matcher, address)
    fails = tuple(
        condition.failing(failures, address)
        for condition in conditions
        if address not in failures.matches.of(condition)
    )
    return Miss(address, fails, len(conditions))
