"""Why a rule matches another number of layers than it expects: the cause first, then how to change
the number.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from graphprune.rules.matchers.logic import AnyOf, conditions_of
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.matches import Matches
from graphprune.rules.matchers.names import NameGlob, NameIs, NameRegex
from graphprune.rules.resolving.near_misses import explain_misses
from graphprune.rules.values.rule_set import Rule

SHOWN = 5
_LIKE = 0.75
"""From this likeness on (difflib's ratio) an address counts as a near miss of another."""
_FORMS = 60
_DIGITS = re.compile(r"\d+")


def explain_miscount(matches: Matches, rule: Rule, addresses: Sequence[str]) -> str:
    """Return the help for `rule/count` where the rule matches `addresses`, at least one."""
    count = len(addresses)
    pin = f"'expect: {count}' if {count} is right"
    if any(rule.expect.accepts(fewer) for fewer in range(count)):
        return f"it matches {_listed(addresses)}; narrow the match, or write {pin}"
    by_name = find_like_named(matches, rule.matcher, addresses)
    if by_name:
        return f"nearest misses by name: {_listed(by_name)}; mend the match, or write {pin}"
    return f"{explain_misses(matches, rule.matcher)}; widen the match, or write {pin}"


def find_like_named(matches: Matches, matcher: Matcher, inside: Sequence[str]) -> list[str]:
    """Return the candidates outside whose addresses are most like those `inside`, for a matcher
    that asks for names and nothing else.

    First some with other words (`block_7_xpand` beside `block_2_expand`), best first, as a renamed
    layer is the likelier cause; then those that only have other numbers, which the match may leave
    out on purpose; then the rest.
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
    first = SHOWN - SHOWN // 2
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


def _listed(addresses: Sequence[str]) -> str:
    shown = ", ".join(map(repr, addresses[:SHOWN]))
    return shown if len(addresses) <= SHOWN else f"{shown} and {len(addresses) - SHOWN} more"
