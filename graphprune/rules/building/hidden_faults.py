"""Find faults that other faults hide.

Faulty values of a file are removed or replaced by valid placeholders. Building the remaining
entries then shows their own faults.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.nested import values_in
from graphprune.rules.building.actions import ActionBuilder
from graphprune.rules.building.budgets import build_budget
from graphprune.rules.building.checks import build_check
from graphprune.rules.building.file_faults import check_shape, find_at
from graphprune.rules.building.gather import Overrides, tell_of_unknown
from graphprune.rules.building.layers import build_custom_layer
from graphprune.rules.building.rule_file import FileShape, build_rule
from graphprune.rules.building.schedules import ScheduleShape, build_schedule
from graphprune.rules.matchers.keys import MatcherBuilder
from graphprune.rules.matchers.logic import Use
from graphprune.rules.text.document import Document, Notes, Path

_ROUNDS = 8
_NAMELESS = "-"
"""Placeholder for the id of an entry without one."""
_STAND_INS: Mapping[tuple[str, str], Any] = {
    ("rules", "id"): _NAMELESS,
    ("rules", "match"): "*",
    ("require", "id"): _NAMELESS,
    ("budgets", "sparsity"): 0.5,
}
"""Placeholders for required keys, by section and key."""
_CURVE = "step"
"""Placeholder for the curve of a schedule: the curve with the fewest required keys."""
_WHOLE: Mapping[str, Mapping[str, Any]] = {
    "rules": {"id": _NAMELESS, "match": "*", "keep": True},
    "require": {"id": _NAMELESS, "count": {"of": "*", "is": {"gte": 0}}},
}
"""Placeholders for whole entries."""


@dataclass(frozen=True, slots=True)
class Remains:
    """The valid values of a file.

    Attributes:
        shape: Their checked shape; None if nothing valid is left.
        lost: The paths of the removed values, by their first two steps, which name one entry of a
            section.
        texts: Every text in those entries; one of them may be meant as the name of a selector or a
            budget.
    """

    shape: FileShape | None = None
    lost: Mapping[Path, frozenset[Path]] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()

    def lost_in(self, path: Path) -> frozenset[Path]:
        """Return the paths of values removed from the entry at `path`.

        Empty if the entry is valid or was removed as a whole.
        """
        lost = self.lost.get(path, frozenset())
        return frozenset() if path in lost else lost


def take_out(
    document: Document, data: Any, paths: Iterable[Path], schedules: frozenset[str]
) -> Remains:
    """Return `data` without the values at the faulty `paths`.

    The rest is checked again, and values whose faults show only then are removed too.
    """
    rest, lost, paths = copy.deepcopy(data), set[Path](), tuple(paths)
    texts = frozenset(
        text
        for entry in {path[:2] for path in paths}
        for text in values_in(find_at(data, entry))
        if isinstance(text, str)
    )
    for _ in range(_ROUNDS if isinstance(data, dict) else 0):
        lost |= {_take(rest, path) for path in sorted(set(paths), key=len, reverse=True)}
        shape, _, paths = check_shape(document, rest, schedules)
        if shape is not None:
            return Remains(shape, _by_entry(lost), texts)
    return Remains(None, _by_entry(lost), texts)


def _by_entry(lost: Iterable[Path]) -> dict[Path, frozenset[Path]]:
    found: dict[Path, set[Path]] = {}
    for path in lost:
        found.setdefault(path[:2], set()).add(path)
    return {entry: frozenset(paths) for entry, paths in found.items()}


def _take(rest: Any, path: Path) -> Path:
    """Remove the value at `path` from `rest`; return the path of what was removed.

    If the value is required, its parent is removed.
    """
    if not path:
        return path
    *above, key = path
    parent = find_at(rest, tuple(above))
    if isinstance(parent, list) and isinstance(key, int) and key < len(parent):
        return _take_entry(rest, parent, path)
    if not isinstance(parent, dict):
        return path  # removed with its parent
    stand_in = _stand_in(path)
    if stand_in is not None:
        parent[str(key)] = stand_in
    elif key in parent:
        del parent[str(key)]
    else:
        return _take(rest, tuple(above))  # a mapping without a required key has no use
    return path


def _stand_in(path: Path) -> Any:
    """Return the placeholder for the value at `path` of a mapping; None if the key is optional."""
    if path == ("version",):
        return 1
    if path[-1] == "curve":
        return _CURVE
    return _STAND_INS.get((str(path[0]), str(path[-1]))) if len(path) == 3 else None


def _take_entry(rest: Any, entries: list[Any], path: Path) -> Path:
    index = path[-1]
    assert isinstance(index, int)
    entry, section = entries[index], str(path[0])
    if (
        len(path) == 2
        and section == "rules"
        and isinstance(entry, dict)
        and "id" in entry
        and "match" in entry
    ):
        entries[index] = (
            {name: value for name, value in entry.items() if name != "keep"}
            if "prune" in entry
            else {**entry, "keep": True}
        )
        return (*path, "keep")
    if len(path) == 2 and section in _WHOLE:
        entries[index] = copy.deepcopy(_WHOLE[section])
    elif entry in ("*", "-"):  # the placeholder of an earlier round is not valid
        return _take(rest, path[:-1])
    else:
        entries[index] = "*" if path[-2] in ("any", "all") else "-"
    return path


def find_hidden_faults(
    document: Document,
    remains: Remains,
    actions: ActionBuilder,
    selectors: Mapping[str, Use],
    known: frozenset[str],
) -> Iterator[Diagnostic]:
    """Yield the faults of entries from which values were removed.

    Args:
        document: The file.
        remains: Its valid values.
        actions, selectors: Those of all files.
        known: The ids of the rules of all files.
    """
    hidden = _Hidden(document, remains, actions, selectors, known)
    yield from hidden.in_list("rules", "rule")
    yield from hidden.in_list("require", "check")
    yield from hidden.in_mappings()


class _Hidden:
    def __init__(
        self,
        document: Document,
        remains: Remains,
        actions: ActionBuilder,
        selectors: Mapping[str, Use],
        known: frozenset[str],
    ) -> None:
        self._document = document
        self._remains = remains
        self._actions = actions
        self._selectors = selectors
        self._known = known

    def in_list(self, section: str, kind: str) -> Iterator[Diagnostic]:
        """Yield the faults of rules or checks; one without a valid id is named by its number."""
        for index, part in enumerate(self._section(section) or []):
            notes = self._notes((section, index), f"{kind} {index + 1}")
            if notes is not None:
                judge = self._judge_rule if section == "rules" else self._judge_check
                judge(part, (section, index), notes)
                yield from notes.faults

    def in_mappings(self) -> Iterator[Diagnostic]:
        """Yield the faults of selectors, schedules, budgets, custom layers and the defaults."""
        for section in ("selectors", "schedules", "budgets", "layers", "defaults"):
            entries = self._section(section) or {}
            for name, part in (
                entries.items()
                if isinstance(entries, dict)
                else [("prune", entries.given("prune"))]
            ):
                notes = self._notes((section, name))
                if notes is not None and part is not None:
                    self._judge_part(section, name, part, notes)
                    yield from notes.faults

    def _judge_part(self, section: str, name: str, part: Any, notes: Notes) -> None:
        path: Path = (section, name)
        match section:
            case "selectors":
                MatcherBuilder(notes, self._selectors).matcher(part, path, f"selector {name!r}: ")
            case "schedules":
                build_schedule(part, notes, path, name, f"schedule {name!r}: ")
            case "budgets":
                build_budget(part, notes, path, name, f"budget {name!r}: ")
            case "layers":
                build_custom_layer(name, part, notes)
            case "defaults":
                schedule = part.given("schedule")
                if isinstance(schedule, ScheduleShape):
                    build_schedule(schedule, notes, (*path, "schedule"), None, "defaults: ")

    def _judge_rule(self, part: Any, path: Path, notes: Notes) -> None:
        build_rule(part, path, notes, self._actions, self._selectors)
        if part.given("overrides") is not None:
            tell_of_unknown(
                part.id, Overrides(part.overrides, notes, (*path, "overrides")), self._known
            )

    def _judge_check(self, part: Any, path: Path, notes: Notes) -> None:
        build_check(part, path, notes, self._selectors)

    def _section(self, name: str) -> Any:
        return None if self._remains.shape is None else self._remains.shape.given(name)

    def _notes(self, path: Path, nameless: str = "") -> Notes | None:
        """Return notes for an entry from which values were removed; None for a valid one.

        `nameless` is its name in messages if its id was removed.
        """
        lost = self._remains.lost_in(path)
        called = nameless if (*path, "id") in lost else ""
        return Notes(self._document, lost=lost, called=called) if lost else None
