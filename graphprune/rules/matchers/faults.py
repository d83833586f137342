"""What is wrong with a matcher: that no layer of any model can satisfy it, as far as that is plain
from the text, and names that one model does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.rules.matchers.classes import TypeIs
from graphprune.rules.matchers.flags import Flag
from graphprune.rules.matchers.logic import AllOf, AnyOf, Everything, Not, Use, conditions_of
from graphprune.rules.matchers.matcher import Context, Matcher
from graphprune.rules.matchers.matches import Matches
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


def find_matcher_faults(
    matches: Matches, matcher: Matcher, where: Where, *, judges_candidates: bool
) -> Iterator[Diagnostic]:
    """Yield each name in a matcher, and in the selectors that it uses, that the model does not
    know.

    Args:
        matches: The model.
        matcher: What to look at.
        where: The place of faults whose own is not known.
        judges_candidates: Whether only layers with prunable weights can be meant, so that naming
            another is a fault.
    """
    waiting: list[tuple[Matcher, Context]] = [(matcher, Context(where, judges_candidates))]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        part, context = waiting.pop()
        if isinstance(part, Use):
            if (part.name, context.judges_candidates) not in seen:
                seen.add((part.name, context.judges_candidates))
                waiting.append((part.of, context))
            continue
        yield from part.faults(matches, context)
        around = _context_inside(part, context)
        waiting += [(inner, around) for inner in reversed(part.inner())]


def _context_inside(matcher: Matcher, context: Context) -> Context:
    """Return the context of the matchers that stand inside another: those of relations judge other
    layers than the candidates.
    """
    match matcher:
        case AllOf():
            return replace(context, beside=(*context.beside, *conditions_of(matcher)))
        case AnyOf() | Not():
            return context
        case _:
            return Context(context.where, judges_candidates=False)
