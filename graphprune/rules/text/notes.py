"""What is found wrong while a file's parts are built."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from graphprune.errors import Diagnostic
from graphprune.rules.text.yaml_text import Document, Path


@dataclass(frozen=True, slots=True)
class Notes:
    """One file, and the faults that show only when its parts are built.

    `lost` are the paths of values that have faults of their own and were taken out: what is said of them, or of what held them, would be a consequence.
    """

    document: Document
    faults: list[Diagnostic] = field(default_factory=list)
    lost: frozenset[Path] = frozenset()

    def fault(self, slug: str, message: str, path: Path, help: str | None) -> None:
        """Note what is wrong with the value at `path`, unless that is a consequence."""
        if not any(gone[: len(path)] == path or path[: len(gone)] == gone for gone in self.lost):
            self.faults.append(Diagnostic(slug, message, self.document.value(path), help))

    def lacks(self, path: Path, *keys: str) -> bool:
        """Return whether one of these keys of the mapping at `path` was taken out."""
        return any((*path, key) in self.lost for key in keys)

    def has_unknown(self, path: Path, known: Collection[str]) -> bool:
        """Return whether the mapping at `path` had a key that is none of the `known`: it may be any of them, misspelt."""
        return any(gone[:-1] == path and gone[-1] not in known for gone in self.lost if gone)
