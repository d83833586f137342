"""Why a rule matches too few layers or an unexpected number, and how to fix it."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass

from graphprune.graph.out_of_reach import NEVER_BUILT, describe_out_of_reach, find_out_of_reach
from graphprune.rules.matchers.classes import what_there_is
from graphprune.rules.matchers.failures import Failures, count_shares
from graphprune.rules.matchers.logic import AnyOf, conditions_of
from graphprune.rules.matchers.matcher import Matcher, quoted
from graphprune.rules.matchers.matches import Matches
from graphprune.rules.matchers.names import NameGlob, NameIs, NameRegex
from graphprune.rules.values.rule_set import Rule

SHOWN = 3


def explain_misses(matches: Matches, matcher: Matcher) -> str:
    """Return the help for a rule that matches too few layers.

    It has the nearest misses, a wider name pattern, or the classes of the model.
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
    """Return a wider form of the first condition that has one and that no candidate meets."""
    for condition in conditions_of(matcher):
        text = "" if matches.claimed(condition) else condition.wider(matches)
        if text:
            return text
    return ""


@dataclass(frozen=True, slots=True)
class Miss:
    """A candidate that meets some leaf conditions, with those that it fails and their total."""

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
    """Return the candidates outside the set that meet the largest share of leaf conditions.

    Equals come in the graph's order.
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


LISTED = 5
_LIKE = 0.75
"""Addresses with at least this similarity (difflib's ratio) are near misses of one another."""
_FORMS = 60
_DIGITS = re.compile(r"\d+")


def explain_miscount(matches: Matches, rule: Rule, addresses: Sequence[str]) -> str:
    """Return the help for `rule/count` where the rule matches `addresses`, at least one."""
    count = len(addresses)
    pin = f"'expect: {count}' if {count} is right"
    if any(rule.expect.accepts(fewer) for fewer in range(count)):
        return f"it matches {quoted(addresses, LISTED)}; narrow the match, or write {pin}"
    by_name = find_like_named(matches, rule.matcher, addresses)
    if by_name:
        return (
            f"nearest misses by name: {quoted(by_name, LISTED)}; correct the match, or write {pin}"
        )
    return f"{explain_misses(matches, rule.matcher)}; widen the match, or write {pin}"


def find_like_named(matches: Matches, matcher: Matcher, inside: Sequence[str]) -> list[str]:
    """Return the candidates outside the set whose addresses are most similar to those `inside`.

    Empty for a matcher that tests anything but names.

    Addresses with different words come first, best first (`block_7_xpand` beside `block_2_expand`),
    since a renamed layer is the more likely cause; then those that differ only in numbers, which
    the match may exclude on purpose; then the rest.
    """
    if not _asks_names_only(matcher):
        return []
    members = frozenset(inside)
    forms = list(dict.fromkeys(map(_form, inside)))[:_FORMS]
    outside = [
        layer.address for layer in matches.graph.candidates() if layer.address not in members
    ]
    likeness = {
        form: _likeness(form, forms)
        for form in list(dict.fromkeys(map(_form, outside)))[: 4 * _FORMS]
    }
    near = sorted(
        (address for address in outside if likeness.get(_form(address), 0) >= _LIKE),
        key=lambda address: -likeness[_form(address)],
    )
    renamed = [address for address in near if likeness[_form(address)] < 1]
    first = LISTED - LISTED // 2
    return [
        *renamed[:first],
        *(address for address in near if likeness[_form(address)] == 1),
        *renamed[first:],
    ]


def _asks_names_only(matcher: Matcher) -> bool:
    parts = conditions_of(matcher)
    return all(
        isinstance(part, NameIs | NameGlob | NameRegex)
        or (isinstance(part, AnyOf) and all(map(_asks_names_only, part.parts)))
        for part in parts
    )


def _form(address: str) -> str:
    return _DIGITS.sub("#", address)[:200]


def _likeness(form: str, others: Sequence[str]) -> float:
    matcher = difflib.SequenceMatcher(b=form, autojunk=False)
    best = 0.0
    for other in others:
        matcher.set_seq1(other)
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            best = max(best, matcher.ratio())
    return best
