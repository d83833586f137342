"""Why one layer is outside a set: the conditions that it fails, and what it is instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import itemgetter, truediv

from graphprune.graph import Layer, Tensor
from graphprune.rules.selecting.evaluate import Matches, prunable_weights
from graphprune.rules.selecting.shares import count_shares
from graphprune.rules.selecting.weight_test import count_tests, failing_tests
from graphprune.rules.values.config_test import find_config_value, thaw
from graphprune.rules.values.describe import describe
from graphprune.rules.values.matchers import (
    AllOf,
    AnyOf,
    Calls,
    ConfigIs,
    FedBy,
    Feeds,
    Flag,
    HasWeight,
    IsA,
    Matcher,
    Params,
    TypeIs,
    conditions_of,
    push_not,
)

SHOWN = 3


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
        texts = ", ".join(self.describe(condition, address) for condition in failing)
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

    def describe(self, condition: Matcher, address: str) -> str:
        """Return a condition that a layer fails, and what the layer is: `padding: valid (is same)`."""
        layer = self.matches.graph.layers[address]
        match condition:
            case FedBy() | Feeds():
                return self._neighbour(condition, address)
            case ConfigIs(key):
                value = find_config_value(layer.config, key)
                found = "not there" if value is None else thaw(value)
            case TypeIs() | IsA():
                found = layer.type
            case Params():
                found = f"{prunable_weights(layer):,}"
            case HasWeight():
                return f"{describe(condition)} ({self._tensors(condition, layer)})"
            case Calls():
                found = str(layer.calls)
            case Flag(_, wanted):
                found = str(not wanted).lower()
            case _:
                return describe(condition)
        return f"{describe(condition)} (is {found})"

    def nearest_weight(self, condition: HasWeight) -> str | None:
        """Return the layer with the tensor that fails the fewest tests, and which; None where no
        tensor passes one.
        """
        candidates = self.matches.graph.candidates()
        if not candidates:
            return None
        layer = min(
            candidates,
            key=lambda layer: min(
                len(self._failing(condition, layer, tensor)) for tensor in layer.prunable
            ),
        )
        text = self._tensors(condition, layer)
        return None if text.startswith("is ") else f"{layer.address}, whose {text}"

    def _failing(self, condition: HasWeight, layer: Layer, tensor: Tensor) -> tuple[str, ...]:
        return failing_tests(
            condition, tensor, (self.matches.zeros or {}).get((layer.address, tensor.name))
        )

    def _tensors(self, condition: HasWeight, layer: Layer) -> str:
        """Return the prunable tensors; of several tests, also which the nearest tensor fails."""
        if not layer.prunable:
            return "has no prunable weights"
        best = min(layer.prunable, key=lambda tensor: len(self._failing(condition, layer, tensor)))
        failing = self._failing(condition, layer, best)
        is_part = len(failing) < count_tests(condition)
        zeros = self.matches.zeros or {}
        labels = ", ".join(
            _label(tensor, zeros.get((layer.address, tensor.name)))
            for tensor in ((best,) if is_part else layer.prunable)
        )
        return f"{labels} fails {', '.join(failing)}" if is_part else f"is {labels}"

    def _neighbour(self, condition: FedBy | Feeds, address: str) -> str:
        """Return which condition the nearest producer (or consumer) fails; where all is well with
        it, that there are too many or others.
        """
        key, links = (
            ("fed_by", self.matches.calls.before)
            if isinstance(condition, FedBy)
            else ("feeds", self.matches.calls.after)
        )
        near = [
            [self.matches.calls.address[other] for other in links[call]]
            for call in self.matches.calls.calls_of((address,))
        ]
        names = list(dict.fromkeys(name for others in near for name in others))
        if not names:
            return f"{describe(condition)} (is {key} nothing)".replace("is feeds", "feeds").replace(
                "is fed_by", "is fed by"
            )
        best = max(names, key=lambda name: self.share(condition.of, name))
        conditions = self.nearest_conditions(condition.of, best)
        failing = [part for part in conditions if best not in self.matches.of(part)]
        head = next(
            (describe(part) for part in conditions if isinstance(part, TypeIs | IsA)),
            describe(condition.of),
        )
        if not failing:
            quantity = "only " if condition.only else "nothing but "
            return f"{key} {quantity}{head} (there are {_listed(names)})"
        if isinstance(failing[0], TypeIs | IsA) or len(conditions) == 1:
            return f"{key} {self.describe(failing[0], best)}"
        return f"{key} {head} with {self.describe(failing[0], best)}"


def _label(tensor: Tensor, zeros: int | None) -> str:
    return (
        tensor.label()
        + (f" {tensor.dtype}" if tensor.dtype != "float32" else "")
        + (f" with {zeros:,} zeros" if zeros is not None else "")
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
