"""Close matches for names that do not exist."""

from __future__ import annotations

import difflib
import heapq
import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

SHORTLIST = 100
MAX_FILES = 10_000
"""Names in a folder that are looked at."""
MAX_NAME = 100
"""Letters of a name that are compared: names are shorter, and the time grows with their square."""


def closest(name: str, known: Iterable[str], *, count: int = 2) -> str:
    """Return `closest: 'a', 'b'`, best first, or "" where nothing is near.

    Example:
        >>> closest("tpye", ["name", "type", "config"])
        "closest: 'type'"
    """
    found = find_close(name, known, count=count)
    return f"closest: {', '.join(map(repr, found))}" if found else ""


def find_close(name: str, known: Iterable[str], *, count: int = 2) -> list[str]:
    """Return the known names nearest to `name`, best first; upper and lower case count as near."""
    candidates = _shortlist(name[:MAX_NAME], sorted(set(known)))
    by_folded = {text.casefold(): text for text in reversed(candidates)}
    found = difflib.get_close_matches(name[:MAX_NAME], candidates, n=count)
    return found or [
        by_folded[text]
        for text in difflib.get_close_matches(name[:MAX_NAME].casefold(), by_folded, n=count)
    ]


def ask_for_file(path: str, is_meant: Callable[[Path], bool]) -> str:
    """Return "did you mean FILE?" for a path that does not exist, or "" if no file is near.

    Only files that `is_meant` accepts are suggested.
    """
    given = Path(path)
    try:
        with os.scandir(given.parent) as entries:
            names = [entry.name for entry in islice(entries, MAX_FILES)]
    except (OSError, ValueError):
        return ""
    stems = set(find_close(given.stem, [Path(name).stem for name in names], count=5))
    near = [name for name in find_close(given.name, names, count=5) if Path(name).stem in stems]
    found = (given.parent / name for name in near)
    meant = next((each for each in found if each.exists() and is_meant(each)), None)
    return "" if meant is None else f"did you mean {meant}?"


def _shortlist(name: str, candidates: list[str]) -> list[str]:
    """Return the candidates with most letter pairs of `name`; difflib takes 50 ms for 10,000."""
    if len(candidates) <= SHORTLIST:
        return candidates
    folded = name.casefold()
    pairs = {folded[place : place + 2] for place in range(max(1, len(folded) - 1))}

    def likeness(text: str) -> float:
        other = text.casefold()
        return sum([pair in other for pair in pairs]) - abs(len(text) - len(name)) / 2

    return sorted(heapq.nlargest(SHORTLIST, candidates, key=likeness))
