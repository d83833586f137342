"""Why one layer is outside a set: the conditions that it fails, and what it is instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import add, itemgetter, truediv

from graphprune.rules.matchers.layer_set import LayerSet
from graphprune.rules.matchers.logic import AllOf, AnyOf, conditions_of, push_not
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.matches import Matches

Shares = tuple[Sequence[int], Sequence[int]]
"""For each of some layers, in order: how many leaf conditions it meets, and of how many."""


class Failures:
    """Explains why layers of one graph are outside sets; what it found of a layer and a matcher is
    kept.
    """

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        self._shares: dict[tuple[Matcher, str], float] = {}

    def nearest(self, matcher: Matcher, addresses: Iterable[str]) -> str:
        """Return, of the layers outside the set, the one that meets the largest share of its
        conditions, and which it fails; "" where none meets any.

        Among equals one with prunable weights is named, and the first in the graph's order.
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
        """Return what a layer outside the set lacks: `Conv1 (Conv2D) holds 4 of 6 conditions; fails
        padding: valid (is same), ...`.
        """
        return (
            f"{address} ({self.matches.graph.layers[address].type}) {self.lacks(matcher, address)}"
        )

    def lacks(self, matcher: Matcher, address: str) -> str:
        """Return how many conditions a layer outside the set holds, and what it is where it fails:
        `holds 4 of 6 conditions; fails ...`.
        """
        conditions = self.nearest_conditions(matcher, address)
        failing = [
            condition for condition in conditions if address not in self.matches.of(condition)
        ]
        texts = ", ".join(condition.failing(self, address) for condition in failing)
        holds = (
            f"holds {len(conditions) - len(failing)} of {len(conditions)} conditions; "
            if len(conditions) > 1
            else ""
        )
        return f"{holds}fails {texts}"

    def share(self, matcher: Matcher, address: str) -> float:
        """Return the share of the conditions that a layer meets; of alternatives, that of the
        nearest.
        """
        key = matcher, address
        if key not in self._shares:
            conditions = self.nearest_conditions(matcher, address)
            self._shares[key] = sum(
                address in self.matches.of(condition) for condition in conditions
            ) / len(conditions)
        return self._shares[key]

    def nearest_conditions(self, matcher: Matcher, address: str) -> tuple[Matcher, ...]:
        """Return the leaf conditions that must all hold; of alternatives, those of the one that the
        layer is nearest to.
        """
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


def count_shares(matches: Matches, matcher: Matcher, among: LayerSet) -> Shares:
    """Return the shares of the leaf conditions, those inside selectors and under `not` too; of
    alternatives, those of the nearest.
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
