"""What a rule says of a model that is not so: addresses, classes and config keys that do not exist,
layers that cannot be pruned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from graphprune.errors import Diagnostic, Where
from graphprune.rules.matchers.logic import AllOf, AnyOf, Not, Use, conditions_of
from graphprune.rules.matchers.matcher import Context, Matcher
from graphprune.rules.matchers.matches import Matches
from graphprune.rules.values.rule_set import Rule


def find_model_faults(matches: Matches, rule: Rule) -> Iterator[Diagnostic]:
    """Yield each name in the rule's match that the model does not know."""
    yield from find_matcher_faults(matches, rule.matcher, rule.where, judges_candidates=True)


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
