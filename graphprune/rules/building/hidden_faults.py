"""Faults of entries that have others besides: what shows when an entry is built from the values
that are sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.rules.building.actions import ActionBuilder, build_budget
from graphprune.rules.building.checks import build_check
from graphprune.rules.building.gather import Overrides, tell_of_unknown
from graphprune.rules.building.layers import build_custom_layer
from graphprune.rules.building.remains import Remains
from graphprune.rules.building.rule_file import build_rule
from graphprune.rules.building.schedules import ScheduleShape, build_schedule
from graphprune.rules.matchers.keys import MatcherBuilder
from graphprune.rules.matchers.logic import Use
from graphprune.rules.text.notes import Notes
from graphprune.rules.text.yaml_text import Document, Path


def find_hidden_faults(
    document: Document,
    remains: Remains,
    actions: ActionBuilder,
    selectors: Mapping[str, Use],
    known: frozenset[str],
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the entries of a file from which values were taken out.

    Args:
        document: The file.
        remains: What is left of it.
        actions, selectors: Of all files.
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
        """Yield the faults of rules or checks; one without a usable id is called by its number."""
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
        """Return notes for an entry from which values were taken out; None for a sound one.
        `nameless` is what it is called where its id was taken out.
        """
        lost = self._remains.lost_in(path)
        called = nameless if (*path, "id") in lost else ""
        return Notes(self._document, lost=lost, called=called) if lost else None
