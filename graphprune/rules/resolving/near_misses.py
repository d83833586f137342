"""Why a rule matched less than its author expected."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

from graphprune.graph.out_of_reach import NEVER_BUILT, describe_out_of_reach, find_out_of_reach
from graphprune.rules.selecting.evaluate import Matches, prunable_weights
from graphprune.rules.selecting.failures import Failures
from graphprune.rules.selecting.shares import count_shares
from graphprune.rules.text.regexes import compile_regex
from graphprune.rules.values.config_test import find_config_value, thaw
from graphprune.rules.values.matchers import (
    ConfigIs,
    HasWeight,
    IsA,
    Matcher,
    NameGlob,
    NameRegex,
    Params,
    TypeIs,
    conditions_of,
)
from graphprune.suggestions import find_close

SHOWN = 3


def explain_misses(matches: Matches, matcher: Matcher) -> str:
    """Return the help for a rule that matches too little: nearest misses, a regex that only had to
    be wider, or what there is.
    """
    unreached = find_out_of_reach(matches.graph)
    if unreached and not matches.candidates and unreached[0].reason == NEVER_BUILT:
        return NEVER_BUILT
    misses = find_misses(matches, matcher)
    told = (
        f"; out of reach: {' '.join(describe_out_of_reach(unreached[:1])).rstrip('.')}"
        if unreached and not matches.claimed(matcher)
        else ""
    )
    told += f" ({len(unreached) - 1} more such layers)" if told and len(unreached) > 1 else ""
    return (
        (f"nearest misses: {', '.join(map(str, misses))}" if misses else "")
        or next(
            (text for condition in conditions_of(matcher) if (text := _wider(matches, condition))),
            "",
        )
        or _what_there_is(matches)
    ) + told


@dataclass(frozen=True, slots=True)
class Miss:
    """A candidate outside that meets some of the leaf conditions: which it fails, and how many
    there are.
    """

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
    """Return the candidates outside that meet the largest share of the leaf conditions, at least
    one of them; equals in the graph's order.
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
        failures.describe(condition, address)
        for condition in conditions
        if address not in failures.matches.of(condition)
    )
    return Miss(address, fails, len(conditions))


def _wider(matches: Matches, condition: Matcher) -> str:
    addresses = [layer.address for layer in matches.graph.candidates()]
    match condition:
        case NameRegex(regex) if not matches.claimed(condition):
            found = [
                address for address in addresses if compile_regex(regex).find(address) is not None
            ]
            return (
                f"a regex must match the whole address; did you mean '.*{regex}.*'? It finds"
                f" {_listed(found)}"
                if found
                else _close(regex, addresses)
            )
        case NameGlob(glob) if not matches.claimed(condition):
            wide = NameGlob(f"**{glob}")
            found = [address for address in addresses if address in matches.of(wide)]
            if found and not glob.startswith("**"):
                return (
                    f"'*' stays inside one model; did you mean '**{glob}'? It finds"
                    f" {_listed(found)}"
                )
            return _close(glob.replace("*", ""), addresses)
        case TypeIs(types) if not matches.claimed(condition):
            bases = [name for name in types if matches.claimed(IsA((name,)))]
            return (
                f"{bases[0]} is a base class here; did you mean 'isa: {bases[0]}'?"
                if bases
                else _what_there_is(matches)
            )
        case ConfigIs(key) if not matches.claimed(condition):
            return _values_of(matches, key)
        case Params() if not matches.claimed(condition):
            sizes = sorted(prunable_weights(layer) for layer in matches.graph.candidates())
            return (
                f"the layers have from {sizes[0]:,} to {sizes[-1]:,} prunable weights"
                if sizes
                else ""
            )
        case HasWeight() if not matches.claimed(condition):
            return _nearest_weight(matches, condition)
    return ""


def _values_of(matches: Matches, key: str) -> str:
    """Return the values that a config key has in the layers that rules can claim, the most frequent
    first.
    """
    found = (find_config_value(layer.config, key) for layer in matches.graph.candidates())
    values = Counter(thaw(value) for value in found if value is not None)
    shown = ", ".join(f"{value} ({count})" for value, count in values.most_common(SHOWN))
    more = f" and {len(values) - SHOWN} other values" if len(values) > SHOWN else ""
    return f"{key!r} is {shown}{more}" if values else ""


def _nearest_weight(matches: Matches, condition: HasWeight) -> str:
    """Return the layer whose tensor fails the fewest tests, and which; where none passes one, the
    largest tensors that there are.
    """
    near = Failures(matches).nearest_weight(condition)
    if near is not None:
        return f"nearest: {near}"
    tensors = (
        (layer.address, tensor) for layer in matches.graph.candidates() for tensor in layer.prunable
    )
    largest = heapq.nlargest(SHOWN, tensors, key=lambda found: found[1].size)
    return (
        "the largest weights are"
        f" {', '.join(f'{tensor.label()} of {address!r}' for address, tensor in largest)}"
        if largest
        else ""
    )


def _close(text: str, addresses: list[str]) -> str:
    close = find_close(text, addresses, count=SHOWN)
    return f"closest: {', '.join(map(repr, close))}" if close else ""


def _what_there_is(matches: Matches) -> str:
    types = Counter(layer.type for layer in matches.graph.candidates())
    if not types:
        return "the model has no layer with prunable weights"
    return (
        "the model's prunable layers are"
        f" {', '.join(f'{count} {kind}' for kind, count in sorted(types.items()))}"
    )


def _listed(addresses: list[str]) -> str:
    shown = ", ".join(map(repr, addresses[:SHOWN]))
    return shown if len(addresses) <= SHOWN else f"{shown} and {len(addresses) - SHOWN} more"
