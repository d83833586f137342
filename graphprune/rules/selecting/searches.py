"""The searches over calls that matchers ask for, and which of them can walk together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graphprune.rules.values.matchers import (
    After,
    Before,
    Between,
    First,
    Last,
    Matcher,
    Use,
    all_parts,
    parts_of,
)


@dataclass(frozen=True, slots=True)
class Search:
    """Everything strictly after (downstream), or strictly before, some call of the layers of `of`,
    on walks that do not go past a layer of `until`.
    """

    of: Matcher
    downstream: bool
    until: Matcher | None = None


def find_searches(matchers: Iterable[Matcher]) -> tuple[Search, ...]:
    """Return the searches, each once, that these matchers need and that need no other search first;
    those in selectors are not looked for.
    """
    found = (
        search
        for matcher in matchers
        for part in all_parts(matcher)
        for search in _searches_of(part)
    )
    return tuple(
        dict.fromkeys(
            search
            for search in found
            if _is_local(search.of) and (search.until is None or _is_local(search.until))
        )
    )


def _searches_of(matcher: Matcher) -> Iterator[Search]:
    match matcher:
        case First(inner):
            yield Search(inner, downstream=True)
        case Last(inner):
            yield Search(inner, downstream=False)
        case After(inner, None, until):
            yield Search(inner, True, until)
        case Before(inner, None, until):
            yield Search(inner, False, until)
        case Between(after, before):
            yield Search(after, downstream=True)
            yield Search(before, downstream=False)


def _is_local(matcher: Matcher) -> bool:
    """Return whether the set is known without any search, selectors looked through."""
    waiting = [matcher]
    seen: set[str] = set()
    while waiting:
        part = waiting.pop()
        if any(True for _ in _searches_of(part)) or isinstance(part, After | Before):
            return False
        if isinstance(part, Use) and part.name not in seen:
            seen.add(part.name)
            waiting.append(part.of)
        waiting += parts_of(part)
    return True
