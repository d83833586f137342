"""Which rules beat which: `overrides` of all files, followed to their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from graphprune.rules.text.notes import Notes
from graphprune.rules.text.yaml_text import Path
from graphprune.suggestions import closest


@dataclass(frozen=True, slots=True)
class Overrides:
    """The ids under `overrides` of one rule, and where the list stands."""

    ids: tuple[str, ...]
    notes: Notes
    path: Path


def follow_overrides(direct: Mapping[str, Overrides]) -> Mapping[str, frozenset[str]]:
    """Return the ids of all rules that each rule beats: those it names, those that they name, and
    so on; `direct` is what each rule names. Cycles are noted.
    """
    found = {id: _reached(id, direct) for id in direct}
    told: set[str] = set()
    for id in sorted(direct):
        if id in found[id] and id not in told:
            told |= {other for other in found[id] if id in found.get(other, ())}
            _tell_of_cycle(id, direct)
    return {id: beaten - {id} for id, beaten in found.items()}


def _reached(id: str, direct: Mapping[str, Overrides]) -> frozenset[str]:
    reached: set[str] = set()
    waiting = list(direct[id].ids)
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += direct[other].ids if other in direct else ()
    return frozenset(reached)


def tell_of_unknown(id: str, overrides: Overrides, known: frozenset[str]) -> None:
    """Note each id under `overrides` of rule `id` that is not among those of all rules of all
    files.
    """
    for index, other in enumerate(overrides.ids):
        if other not in known:
            help = partial(_known_help, other, id, known)
            overrides.notes.fault(
                "override/unknown",
                f"{overrides.notes.name('rule', id)}: overrides names no rule, got {other!r}",
                (*overrides.path, index),
                help,
            )


def _known_help(name: str, id: str, known: frozenset[str]) -> str:
    others = known - {id}
    return closest(name, others) or (
        f"there are {', '.join(sorted(others))}" if others else "there is no other rule; delete it"
    )


def _tell_of_cycle(id: str, direct: Mapping[str, Overrides]) -> None:
    text = " > ".join(_way_back(id, direct))
    direct[id].notes.fault(
        "override/cycle",
        f"rule {id!r} overrides itself: {text}",
        direct[id].path,
        "delete one of these overrides",
    )


def _way_back(id: str, direct: Mapping[str, Overrides]) -> Sequence[str]:
    """Return the shortest way from a rule back to itself."""
    ways: list[tuple[str, ...]] = [(id,)]
    seen: set[str] = set()
    for way in ways:
        for other in direct[way[-1]].ids if way[-1] in direct else ():
            if other == id:
                return (*way, id)
            if other not in seen:
                seen.add(other)
                ways.append((*way, other))
    raise AssertionError(f"{id} does not override itself")
