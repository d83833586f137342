"""What the rules of all files share: schedules, budgets, defaults, and references to rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from graphprune.rules.building.actions import ActionBuilder
from graphprune.rules.building.budgets import BudgetShape, build_budget
from graphprune.rules.building.prune_fields import DefaultsShape, Fields, Inheritance, fields_of
from graphprune.rules.building.rule_file import FileShape
from graphprune.rules.building.schedules import ScheduleShape, build_schedule
from graphprune.rules.text.document import Notes, Path
from graphprune.rules.values.rule_set import Budget
from graphprune.sparsity.schedules import Schedule
from graphprune.suggestions import closest


@dataclass(frozen=True, slots=True)
class Overrides:
    """The ids under `overrides` of one rule, and the position of the list."""

    ids: tuple[str, ...]
    notes: Notes
    path: Path


def follow_overrides(direct: Mapping[str, Overrides]) -> Mapping[str, frozenset[str]]:
    """Return the ids of all rules that each rule overrides, directly or not; note cycles.

    `direct` has the ids that each rule lists.
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
    """Note each id under `overrides` of rule `id` that is not the id of a rule."""
    for index, other in enumerate(overrides.ids):
        if other not in known:
            help = partial(_known_help, other, id, known)
            overrides.notes.fault(
                "override/unknown",
                f"{overrides.notes.name('rule', id)}: overrides must name a rule, got {other!r}",
                (*overrides.path, index),
                help,
            )


def _known_help(name: str, id: str, known: frozenset[str]) -> str:
    others = known - {id}
    return closest(name, others) or (
        f"available: {', '.join(sorted(others))}" if others else "there is no other rule; delete it"
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
    """Return the shortest chain of overrides from a rule back to itself."""
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


@dataclass(frozen=True, slots=True)
class FileParts:
    """One file: its faults, its plain values, and the checked shape of its valid entries.

    `indexes` maps each list section to the positions of the shape's entries in the file's list.
    """

    notes: Notes
    data: Any
    shape: FileShape | None
    indexes: Mapping[str, list[int]]

    def listed(self, section: str) -> list[tuple[Any, Path]]:
        """Return the valid entries of a list section, each with its position."""
        return [
            (part, (section, index))
            for part, index in zip(self.section(section) or [], self.indexes[section], strict=True)
        ]

    def section(self, name: str) -> Any:
        """Return the checked section of this name, or None."""
        return None if self.shape is None else self.shape.given(name)


def rule_ids(data: Any) -> Iterator[str]:
    """Yield the ids of all rules of a file, including those with faults."""
    rules = data.get("rules") if isinstance(data, Mapping) else None
    for rule in rules if isinstance(rules, list) else []:
        if isinstance(rule, Mapping) and isinstance(rule.get("id"), str):
            yield rule["id"]


def gather_actions(files: Sequence[FileParts]) -> ActionBuilder:
    """Return the builder of the actions of all files; faults go to the notes of each file."""
    schedules: dict[str, Schedule] = {}
    budgets: dict[str, Budget] = {}
    names: set[str] = set()
    for file in files:
        names |= _names_of(file.data, "budgets")
        for name, schedule in _schedules(file):
            schedules.setdefault(name, schedule)
        for name, budget in _budgets(file):
            budgets.setdefault(name, budget)
    return ActionBuilder(schedules, budgets, frozenset(names), _inheritance(files))


def gather_overrides(files: Sequence[FileParts]) -> Mapping[str, frozenset[str]]:
    """Return the ids of the rules that each rule overrides; faults go to the notes of each file."""
    direct: dict[str, Overrides] = {}
    known = known_ids(files)
    for file in files:
        for part, path in file.listed("rules"):
            if part.given("overrides") is not None:
                overrides = Overrides(part.overrides, file.notes, (*path, "overrides"))
                tell_of_unknown(part.id, overrides, known)
                direct.setdefault(part.id, overrides)
    return follow_overrides(direct)


def known_ids(files: Sequence[FileParts]) -> frozenset[str]:
    """Return the ids of all rules of all files, including those with faults."""
    return frozenset(id for file in files for id in rule_ids(file.data))


def _schedules(file: FileParts) -> Iterator[tuple[str, Schedule]]:
    shapes: Mapping[str, ScheduleShape] = file.section("schedules") or {}
    for name, shape in shapes.items():
        schedule = build_schedule(
            shape, file.notes, ("schedules", name), name, f"schedule {name!r}: "
        )
        if schedule is not None:
            yield name, schedule


def _budgets(file: FileParts) -> Iterator[tuple[str, Budget]]:
    shapes: Mapping[str, BudgetShape] = file.section("budgets") or {}
    for name, shape in shapes.items():
        budget = build_budget(shape, file.notes, ("budgets", name), name, f"budget {name!r}: ")
        if budget is not None:
            yield name, budget


def _inheritance(files: Sequence[FileParts]) -> Inheritance:
    actions: dict[str, Fields | None] = {}
    defaults: Fields = {}
    lost = False
    for file in files:
        for part, path in file.listed("rules"):
            prune = part.given("prune")
            actions.setdefault(
                part.id,
                (
                    None
                    if prune is None
                    else fields_of(prune, file.notes, (*path, "prune"), f"rule {part.id!r}: ")
                ),
            )
        section: DefaultsShape | None = file.section("defaults")
        prune = None if section is None else section.given("prune")
        defaults = defaults or fields_of(prune, file.notes, ("defaults", "prune"), "defaults: ")
        lost = lost or ("prune" in _names_of(file.data, "defaults") and prune is None)
    unread = frozenset(id for file in files for id in rule_ids(file.data)) - actions.keys()
    return Inheritance(actions, defaults, unread, lost)


def _names_of(data: Any, section: str) -> set[str]:
    found = data.get(section) if isinstance(data, Mapping) else None
    return set(found) if isinstance(found, Mapping) else set()
