"""What remains of a rule file when its faulty values are taken out: there the faults show that the
first ones hide.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphprune.rules.building.file_faults import check_shape, find_at
from graphprune.rules.building.rule_file import FileShape
from graphprune.rules.text.yaml_text import Document, Path

_ROUNDS = 8
_NAMELESS = "-"
"""The id of an entry that has none."""
_STAND_INS: Mapping[tuple[str, str], Any] = {
    ("rules", "id"): _NAMELESS,
    ("rules", "match"): "*",
    ("require", "id"): _NAMELESS,
    ("budgets", "sparsity"): 0.5,
}
"""What stands in for a key that must be there, by section and key."""
_CURVE = "step"
"""What stands in for the curve of a schedule, wherever it is written: the curve that needs least
besides.
"""
_WHOLE: Mapping[str, Mapping[str, Any]] = {
    "rules": {"id": _NAMELESS, "match": "*", "keep": True},
    "require": {"id": _NAMELESS, "count": {"of": "*", "is": {"gte": 0}}},
}
"""What stands in for a whole entry."""


@dataclass(frozen=True, slots=True)
class Remains:
    """The sound values of a file.

    Attributes:
        shape: Their shape; None where nothing sound is left.
        lost: The paths of the values that were taken out, by the first two steps of them: one entry
            of a section.
        texts: Every text in the entries that held them: one of them may be what was meant to name a
            selector or a budget.
    """

    shape: FileShape | None = None
    lost: Mapping[Path, frozenset[Path]] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()

    def lost_in(self, path: Path) -> frozenset[Path]:
        """Return what was taken out of the entry at `path`; nothing where it is sound, or gone as a
        whole.
        """
        lost = self.lost.get(path, frozenset())
        return frozenset() if path in lost else lost


def take_out(
    document: Document, data: Any, paths: Iterable[Path], schedules: frozenset[str]
) -> Remains:
    """Return what remains of `data` without the values at the faulty `paths`, and without those
    whose fault shows only then.
    """
    rest, lost, paths = copy.deepcopy(data), set[Path](), tuple(paths)
    texts = frozenset(
        text for entry in {path[:2] for path in paths} for text in _texts_in(find_at(data, entry))
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


def _texts_in(data: Any) -> Iterator[str]:
    waiting = [data]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _take(rest: Any, path: Path) -> Path:
    """Take the value at `path` out of `rest`, or of what holds it where it cannot be spared;
    returns the path of what is lost.
    """
    if not path:
        return path
    *above, key = path
    parent = find_at(rest, tuple(above))
    if isinstance(parent, list) and isinstance(key, int) and key < len(parent):
        return _take_entry(rest, parent, path)
    if not isinstance(parent, dict):
        return path  # it went with what held it
    stand_in = _stand_in(path)
    if stand_in is not None:
        parent[str(key)] = stand_in
    elif key in parent:
        del parent[str(key)]
    else:
        return _take(rest, tuple(above))  # without a required key the mapping says nothing
    return path


def _stand_in(path: Path) -> Any:
    """Return what stands in for the value at `path` of a mapping; None where it can be left out."""
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
    elif entry in ("*", "-"):  # the stand-in of an earlier round will not do
        return _take(rest, path[:-1])
    else:
        entries[index] = "*" if path[-2] in ("any", "all") else "-"
    return path
