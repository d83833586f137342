"""Why a rule matched less than its author expected."""

from __future__ import annotations

import re
from collections import Counter

from graphprune.rules.describe import describe
from graphprune.rules.evaluate import Matches
from graphprune.rules.matchers import Matcher, NameGlob, NameRegex, TypeIs, conditions_of
from graphprune.rules.suggestions import find_close

SHOWN = 3


def explain_misses(matches: Matches, matcher: Matcher) -> str:
    """Return the help for a rule that matches too little: nearest misses, a regex that only had to be wider, or what there is."""
    conditions = conditions_of(matcher)
    return (
        _nearest_misses(matches, matcher, conditions)
        or next((text for condition in conditions if (text := _wider(matches, condition))), "")
        or _what_there_is(matches)
    )


def _nearest_misses(matches: Matches, matcher: Matcher, conditions: tuple[Matcher, ...]) -> str:
    """Return the candidates outside that meet the most conditions, at least one of them."""
    if len(conditions) < 2:
        return ""
    sets = [(condition, matches.of(condition)) for condition in conditions]
    outside = list(matches.candidates - matches.of(matcher))
    met = {address: sum(address in found for _, found in sets) for address in outside}
    ranked = sorted((address for address in outside if met[address]), key=lambda address: -met[address])
    if not ranked:
        return ""
    texts = []
    for address in ranked[:SHOWN]:
        fails = ", ".join(describe(condition) for condition, found in sets if address not in found)
        texts.append(f"{address} ({met[address]} of {len(conditions)}; fails: {fails})")
    return f"nearest misses: {', '.join(texts)}"


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
