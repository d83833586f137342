"""Why a matcher holds for fewer layers than intended.

For a layer: the conditions that it fails, and its own values. For any model: contradictions that
are visible in the matcher itself. For one model: names that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from operator import add, itemgetter, truediv

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import RuleError
from graphprune.rules.matchers.classes import TypeIs
from graphprune.rules.matchers.facts import Flag
from graphprune.rules.matchers.layer_set import LayerSet
from graphprune.rules.matchers.logic import (
    AllOf,
    AnyOf,
    Everything,
    Not,
    Use,
    conditions_of,
    push_not,
)
from graphprune.rules.matchers.matcher import Context, Matcher
from graphprune.rules.matchers.matches import Matches
from graphprune.rules.matchers.names import NameIs
from graphprune.rules.matchers.reach import After, Before

Shares = tuple[Sequence[int], Sequence[int]]
"""For each layer of a list: how many leaf conditions it meets, and of how many."""


class Failures:
    """Explains why layers of one graph are not in a set, and caches the results."""

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        self._shares: dict[tuple[Matcher, str], float] = {}

    def nearest(self, matcher: Matcher, addresses: Iterable[str]) -> str:
        """Return the layer outside the set that meets most conditions, and which it fails.

        "" if no layer meets any. Among equals, layers with prunable weights come first, then the
        order of the graph counts.
        """
        outside = self.matches.order.of(addresses) - self.matches.of(matcher)
        met, total = count_shares(self.matches, matcher, outside)
        ranked = zip(
            map(truediv, met, total),
            compress(self.matches.candidates.marks, outside.marks),
            outside,
            strict=True,
        )
        share, _, best = max(ranked, key=itemgetter(0, 1), default=(0.0, 0, ""))
        return f"nearest: {self.explain(matcher, best)}" if share else ""

    def explain(self, matcher: Matcher, address: str) -> str:
        """Return the address and class of a layer outside the set, and what it fails.

        For example `Conv1 (Conv2D) holds 4 of 6 conditions; fails padding: valid (is same)`.
        """
        return (
            f"{address} ({self.matches.graph.layers[address].type}) {self.lacks(matcher, address)}"
        )

    def lacks(self, matcher: Matcher, address: str) -> str:
        """Return how many conditions a layer outside the set meets, and which it fails.

        For example `holds 4 of 6 conditions; fails padding: valid (is same)`.
        """
        conditions = self.nearest_conditions(matcher, address)
        failing = [
            condition for condition in conditions if address not in self.matches.of(condition)
        ]
        texts = ", ".join(self._failing(condition, address) for condition in failing)
        holds = (
            f"holds {len(conditions) - len(failing)} of {len(conditions)} conditions; "
            if len(conditions) > 1
            else ""
        )
        return f"{holds}fails {texts}"

    def _failing(self, condition: Matcher, address: str) -> str:
        unconnected = explain_unconnected(self.matches, condition, address)
        if unconnected:
            return f"{condition.words()} ({unconnected})"
        return condition.failing(self, address)

    def share(self, matcher: Matcher, address: str) -> float:
        """Return the share of conditions that a layer meets; for alternatives, the largest."""
        key = matcher, address
        if key not in self._shares:
            conditions = self.nearest_conditions(matcher, address)
            self._shares[key] = sum(
                address in self.matches.of(condition) for condition in conditions
            ) / len(conditions)
        return self._shares[key]

    def nearest_conditions(self, matcher: Matcher, address: str) -> tuple[Matcher, ...]:
        """Return the leaf conditions that must all hold; for alternatives, the nearest ones."""
        found: list[Matcher] = []
        for condition in map(push_not, conditions_of(matcher)):
            if isinstance(condition, AllOf):
                found += self.nearest_conditions(condition, address)
            elif isinstance(condition, AnyOf):
                found += self.nearest_conditions(
                    max(condition.parts, key=lambda part: self.share(part, address)), address
                )
            else:
                found.append(condition)
        return tuple(dict.fromkeys(found))


def explain_unconnected(matches: Matches, matcher: Matcher, address: str) -> str:
    """Return why a condition on connections never holds for a layer inside a custom layer."""
    holder = matches.graph.layers[address].holder
    if holder is None or not matcher.needs_connections:
        return ""
    return f"is inside {holder or 'the model'}, whose connections the file does not have"


def count_shares(matches: Matches, matcher: Matcher, among: LayerSet) -> Shares:
    """Return how many leaf conditions each layer meets, and of how many.

    Conditions inside selectors and under `not` count too; of alternatives, the best one counts.
    """
    met: Sequence[int] = [0] * len(among)
    total = met
    for condition in map(push_not, conditions_of(matcher)):
        more_met, more_total = _condition_shares(matches, condition, among)
        met, total = list(map(add, met, more_met)), list(map(add, total, more_total))
    return met, total


def _condition_shares(matches: Matches, condition: Matcher, among: LayerSet) -> Shares:
    if isinstance(condition, AllOf):
        return count_shares(matches, condition, among)
    if isinstance(condition, AnyOf):
        alternatives = [
            zip(*count_shares(matches, part, among), strict=True) for part in condition.parts
        ]
        nearest = [
            max(shares, key=lambda share: share[0] / share[1])
            for shares in zip(*alternatives, strict=True)
        ]
        return [met for met, _ in nearest], [total for _, total in nearest]
    return list(compress(matches.of(condition).marks, among.marks)), [1] * len(among)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Why nothing can match, and how to fix it."""

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
    """Return why a condition on other layers, or each alternative, can hold for no layer.

    Selectors are checked at their definition.
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
    """Yield a fault for each name in a matcher and its selectors that the model does not have.

    Args:
        matches: The model.
        matcher: What to look at.
        where: The position of faults without one of their own.
        judges_candidates: Whether only layers with prunable weights may be named.
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
        if part.needs_connections and not matches.graph.is_connected:
            yield _unconnected(matches, part, where)
        yield from part.faults(matches, context)
        around = _context_inside(part, context)
        waiting += [(inner, around) for inner in reversed(part.inner())]


def _unconnected(matches: Matches, matcher: Matcher, where: Where) -> Diagnostic:
    kind, key = matches.graph.type, matcher.spelled().partition(":")[0]
    return Diagnostic(
        "model/invalid",
        f"{key!r} needs the connections of the layers, which the config of {kind} does not"
        " describe",
        where,
        "select the layers by name, type, weights or size",
    )


def _context_inside(matcher: Matcher, context: Context) -> Context:
    """Return the context of the matchers inside another; relations refer to other layers."""
    match matcher:
        case AllOf():
            return replace(context, beside=(*context.beside, *conditions_of(matcher)))
        case AnyOf() | Not():
            return context
        case _:
            return Context(context.where, judges_candidates=False)


def find_matched(matches: Matches, matcher: Matcher, place: str) -> tuple[LayerSet, str]:
    """Return the layers of all kinds that `matcher` holds for.

    Also return, if there are none, the nearest layer and the conditions that it fails, else "".

    Args:
        matches: The model.
        matcher: What to look for.
        place: The position of faults without one of their own.

    Raises:
        RuleError: the matcher names a layer, class or config key that the model does not have; the
            help has close matches.
    """
    faults = tuple(
        dict.fromkeys(find_matcher_faults(matches, matcher, Where(place), judges_candidates=False))
    )
    if faults:
        raise RuleError(faults)
    found = matches.of(matcher)
    return found, "" if found else Failures(matches).nearest(matcher, matches.universe)
