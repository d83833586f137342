"""How near layers come to a matcher: the share of its leaf conditions that each meets, counted for
all layers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from operator import add

from graphprune.rules.selecting.evaluate import Matches
from graphprune.rules.selecting.layer_set import LayerSet
from graphprune.rules.values.matchers import AllOf, AnyOf, Matcher, conditions_of, push_not

Shares = tuple[Sequence[int], Sequence[int]]
"""For each of some layers, in order: how many leaf conditions it meets, and of how many."""


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
