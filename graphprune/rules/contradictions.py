"""Matchers that no layer of any model can satisfy, as far as that is plain from the text."""

from __future__ import annotations

from graphprune.rules.describe import describe
from graphprune.rules.matchers import AnyOf, Everything, First, Inside, Last, Matcher, NameIs, Not, TypeIs, conditions_of


def find_contradiction(matcher: Matcher) -> str | None:
    """Return why nothing can match, or None.

    Example:
        >>> dense = TypeIs(("Dense",))
        >>> from graphprune.rules.matchers import AllOf
        >>> find_contradiction(AllOf((dense, Not(dense))))
        "'Dense' and 'not Dense' exclude each other"
    """
    conditions = conditions_of(matcher)
    present = set(conditions)
    for condition in conditions:
        if isinstance(condition, Not) and isinstance(condition.of, Everything):
            return "'not *' leaves nothing"
        if isinstance(condition, Not) and condition.of in present:
            return f"'{describe(condition.of)}' and '{describe(condition)}' exclude each other"
    return _disjoint(conditions) or _nested(conditions)


def _disjoint(conditions: tuple[Matcher, ...]) -> str | None:
    names = [condition for condition in conditions if isinstance(condition, NameIs)]
    types = [condition for condition in conditions if isinstance(condition, TypeIs)]
    if len(names) > 1 and not set.intersection(*(set(condition.addresses) for condition in names)):
        return f"'{describe(names[0])}' and '{describe(names[1])}' exclude each other"
    if len(types) > 1 and not set.intersection(*(set(condition.types) for condition in types)):
        return f"'{describe(types[0])}' and '{describe(types[1])}' exclude each other"
    return None


def _nested(conditions: tuple[Matcher, ...]) -> str | None:
    for condition in conditions:
        if isinstance(condition, First | Last):
            reason = find_contradiction(condition.of)
        elif isinstance(condition, Inside):
            reason = find_contradiction(condition.container)
        elif isinstance(condition, AnyOf):
            reasons = [find_contradiction(part) for part in condition.parts]
            reason = reasons[0] if all(reasons) else None
        else:
            reason = None
        if reason is not None:
            return reason
    return None
