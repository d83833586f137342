"""Why a rule matched less than its author expected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from graphprune.rules.describe import describe
from graphprune.rules.evaluate import Matches
from graphprune.rules.failures import Failures
from graphprune.rules.matchers import AllOf, AnyOf, Matcher, NameGlob, NameRegex, TypeIs, conditions_of, push_not
from graphprune.rules.suggestions import find_close

SHOWN = 3


def explain_misses(matches: Matches, matcher: Matcher) -> str:
    """Return the help for a rule that matches too little: nearest misses, a regex that only had to be wider, or what there is."""
    misses = find_misses(matches, matcher)
    return (
        (f"nearest misses: {', '.join(map(str, misses))}" if misses else "")
        or next((text for condition in conditions_of(matcher) if (text := _wider(matches, condition))), "")
        or _what_there_is(matches)
    )


@dataclass(frozen=True, slots=True)
class Miss:
    """A candidate outside that meets some of the leaf conditions: which it fails, and how many there are."""

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
    """Return the candidates outside that meet the largest share of the leaf conditions, at least one of them; equals in the graph's order."""
    inside = matches.claimed(matcher)
    outside = [layer.address for layer in matches.graph.candidates() if layer.address not in inside]
    shares = _shares(matches, matcher, outside)
    ranked = sorted((address for address in outside if shares[address][0]), key=lambda address: -shares[address][0] / shares[address][1])
    return tuple(_miss(Failures(matches), matcher, address) for address in ranked[:count])


def _miss(failures: Failures, matcher: Matcher, address: str) -> Miss:
    conditions = failures.nearest_conditions(matcher, address)
    return Miss(address, tuple(describe(condition) for condition in conditions if address not in failures.matches.of(condition)), len(conditions))


def _shares(matches: Matches, matcher: Matcher, addresses: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return for each layer how many leaf conditions it meets, and of how many; of alternatives, those of the nearest. One walk serves all layers."""
    total = dict.fromkeys(addresses, (0, 0))
    for condition in map(push_not, conditions_of(matcher)):
        if isinstance(condition, AnyOf):
            alternatives = [_shares(matches, part, addresses) for part in condition.parts]
            part = {address: max((found[address] for found in alternatives), key=_ratio) for address in addresses}
        elif isinstance(condition, AllOf):
            part = _shares(matches, condition, addresses)
        else:
            members = matches.of(condition)
            part = {address: (int(address in members), 1) for address in addresses}
        total = {address: (total[address][0] + part[address][0], total[address][1] + part[address][1]) for address in addresses}
    return total


def _ratio(share: tuple[int, int]) -> float:
    return share[0] / share[1]


def _wider(matches: Matches, condition: Matcher) -> str:
    addresses = [layer.address for layer in matches.graph.candidates()]
    match condition:
        case NameRegex(regex) if not matches.claimed(condition):
            found = [address for address in addresses if re.search(regex, address)]
            return f"a regex must match the whole address; did you mean '.*{regex}.*'? It finds {_listed(found)}" if found else _close(regex, addresses)
        case NameGlob(glob) if not matches.claimed(condition):
            wide = NameGlob(f"**{glob}")
            found = [address for address in addresses if address in matches.of(wide)]
            if found and not glob.startswith("**"):
                return f"'*' stays inside one model; did you mean '**{glob}'? It finds {_listed(found)}"
            return _close(glob.replace("*", ""), addresses)
        case TypeIs() if not matches.claimed(condition):
            return _what_there_is(matches)
    return ""


def _close(text: str, addresses: list[str]) -> str:
    close = find_close(text, addresses, count=SHOWN)
    return f"closest: {', '.join(map(repr, close))}" if close else ""


def _what_there_is(matches: Matches) -> str:
    types = Counter(layer.type for layer in matches.graph.candidates())
    if not types:
        return "the model has no layer with prunable weights"
    return f"the model's prunable layers are {', '.join(f'{count} {kind}' for kind, count in sorted(types.items()))}"


def _listed(addresses: list[str]) -> str:
    shown = ", ".join(map(repr, addresses[:SHOWN]))
    return shown if len(addresses) <= SHOWN else f"{shown} and {len(addresses) - SHOWN} more"
