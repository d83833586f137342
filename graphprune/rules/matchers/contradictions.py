"""Matchers that no layer of any model can satisfy, as far as that is plain from the text."""

from __future__ import annotations

from dataclasses import dataclass

from graphprune.rules.matchers.classes import TypeIs
from graphprune.rules.matchers.flags import Flag
from graphprune.rules.matchers.logic import AnyOf, Everything, Not, conditions_of
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.names import NameIs
from graphprune.rules.matchers.reach import After, Before


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Why nothing can match, and what to do."""

    reason: str
    help: str = "delete one of them, or put them under 'any' where one is enough"


_NOTHING_LEFT = Contradiction(
    "'not *' leaves nothing", "write what to leave out, such as 'not: {type: Dense}'"
)


def find_contradiction(matcher: Matcher, *, through_selectors: bool = True) -> Contradiction | None:
    """Return why nothing can match, or None.

    Example:
        >>> from graphprune.rules.matchers.logic import AllOf
        >>> dense = TypeIs(("Dense",))
        >>> find_contradiction(AllOf((dense, Not(dense)))).reason
        "'Dense' and 'not Dense' exclude each other"
    """
    conditions = conditions_of(matcher, through_selectors=through_selectors)
    present = set(conditions)
    for condition in conditions:
        if isinstance(condition, Not) and isinstance(condition.of, Everything):
            return _NOTHING_LEFT
        if isinstance(condition, Not) and condition.of in present:
            return _exclude(condition.of, condition)
    return _disjoint(conditions) or next(filter(None, map(_inside, conditions)), None)


def _disjoint(conditions: tuple[Matcher, ...]) -> Contradiction | None:
    names = [condition for condition in conditions if isinstance(condition, NameIs)]
    types = [condition for condition in conditions if isinstance(condition, TypeIs)]
    if len(names) > 1 and not set.intersection(*(set(condition.addresses) for condition in names)):
        return _exclude(names[0], names[1])
    if len(types) > 1 and not set.intersection(*(set(condition.types) for condition in types)):
        return _exclude(types[0], types[1])
    flags = [condition for condition in conditions if isinstance(condition, Flag)]
    for flag in flags:
        opposite = Flag(flag.name, False)
        if flag.wanted and opposite in flags:
            return _exclude(flag, opposite)
    return None


def _exclude(first: Matcher, second: Matcher) -> Contradiction:
    return Contradiction(f"'{first.words()}' and '{second.words()}' exclude each other")


def _inside(condition: Matcher) -> Contradiction | None:
    """Return why a condition on other layers, or every one of its alternatives, can hold for none;
    selectors are judged where they stand.
    """
    if isinstance(condition, Not):
        return None
    parts = condition.inner()
    if isinstance(condition, After | Before):
        parts = (condition.of,)
    reasons = [find_contradiction(part, through_selectors=False) for part in parts]
    if isinstance(condition, AnyOf) and not all(reasons):
        return None
    return next(filter(None, reasons), None)
