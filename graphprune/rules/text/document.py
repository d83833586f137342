"""A rule file as plain values with their positions, and the faults found while it is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphprune.diagnostics.diagnostic import MAX_OF_A_KIND, Diagnostic, Where

Path = tuple[str | int, ...]
"""The path of a value: keys of mappings, and indexes of lists from 0."""
Help = str | Callable[[], str] | None
"""What to write instead, or a function that finds it: only listed faults cost a search among
thousands of names.
"""


@dataclass(frozen=True, slots=True)
class Document:
    """One rule file as plain values.

    Attributes:
        file: The name in messages.
        data: Mappings, lists, text, numbers, bools and None.
        keys: The position of each mapping key, by path.
        values: The position of each value, by path.
        faults: The faults of the text itself; with a syntax error `data` is None.
    """

    file: str
    data: Any
    keys: Mapping[Path, Where] = field(default_factory=dict)
    values: Mapping[Path, Where] = field(default_factory=dict)
    faults: tuple[Diagnostic, ...] = ()
    is_readable: bool = True

    def key(self, path: Path) -> Where:
        """Return the position of the key at `path`, or of its nearest enclosing value."""
        return self.keys.get(path) or self.value(path)

    def value(self, path: Path) -> Where:
        """Return the position of the value at `path`, or of its nearest enclosing value."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Where(self.file, 1, 1)

    def with_value(self, path: Path, value: Any, where: Where) -> Document:
        """Return the document with `value` at `path`; its position is the option that set it.

        New mappings around it get the same position.
        """
        kept = {place: there for place, there in self.values.items() if place[: len(path)] != path}
        keys = {place: there for place, there in self.keys.items() if place[: len(path)] != path}
        made = {
            path[:length]: where for length in range(1, len(path) + 1) if path[:length] not in kept
        }
        return replace(
            self,
            data=set_at(self.data, path, value),
            values={**kept, **made},
            keys={**keys, **made},
        )


def set_at(data: Any, path: Path, value: Any) -> Any:
    """Return a copy of `data` with `value` at `path`; missing parent mappings are added."""
    if not path:
        return value
    if isinstance(data, list):
        return [
            set_at(item, path[1:], value) if index == path[0] else item
            for index, item in enumerate(data)
        ]
    known = data if isinstance(data, dict) else {}
    return {**known, str(path[0]): set_at(known.get(str(path[0])), path[1:], value)}


@dataclass(frozen=True, slots=True)
class Notes:
    """One file, and the faults that appear only when its parts are built.

    `lost` are the paths of values that were removed because of their own faults: further faults of
    them, or of their parents, are consequences. `called` is the name of an entry whose id was
    removed, such as `rule 2`.
    """

    document: Document
    faults: list[Diagnostic] = field(default_factory=list)
    lost: frozenset[Path] = frozenset()
    called: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    def fault(self, slug: str, message: str, path: Path, help: Help) -> None:
        """Note a fault of the value at `path`, unless it is a consequence."""
        if any(gone[: len(path)] == path or path[: len(gone)] == gone for gone in self.lost):
            return
        self.counts[slug] += 1
        if callable(help):
            help = help() if self.counts[slug] <= MAX_OF_A_KIND else None
        self.faults.append(Diagnostic(slug, message, self.document.value(path), help))

    def name(self, kind: str, id: str) -> str:
        """Return the name of a rule or check in messages."""
        return self.called or f"{kind} {id!r}"

    def lacks(self, path: Path, *keys: str) -> bool:
        """Return whether one of these keys of the mapping at `path` was removed."""
        return any((*path, key) in self.lost for key in keys)

    def has_unknown(self, path: Path, known: Collection[str]) -> bool:
        """Return whether the mapping at `path` had a key that is not `known`.

        Such a key may be a misspelt known one.
        """
        return any(gone[:-1] == path and gone[-1] not in known for gone in self.lost if gone)
