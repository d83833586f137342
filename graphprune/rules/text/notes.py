"""What is found wrong while a file's parts are built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from graphprune.diagnostics.diagnostic import MAX_OF_A_KIND, Diagnostic
from graphprune.rules.text.yaml_text import Document, Path

Help = str | Callable[[], str] | None
"""What to write instead, or how to find it: a search among thousands of names is made only for
faults that are listed.
"""


@dataclass(frozen=True, slots=True)
class Notes:
    """One file, and the faults that show only when its parts are built.

    `lost` are the paths of values that have faults of their own and were taken out: what is said of
    them, or of what held them, would be a consequence. `called` is the name of an entry whose id is
    among them, such as `rule 2`.
    """

    document: Document
    faults: list[Diagnostic] = field(default_factory=list)
    lost: frozenset[Path] = frozenset()
    called: str = ""
    counts: Counter[str] = field(default_factory=Counter)

    def fault(self, slug: str, message: str, path: Path, help: Help) -> None:
        """Note what is wrong with the value at `path`, unless that is a consequence."""
        if any(gone[: len(path)] == path or path[: len(gone)] == gone for gone in self.lost):
            return
        self.counts[slug] += 1
        if callable(help):
            help = help() if self.counts[slug] <= MAX_OF_A_KIND else None
        self.faults.append(Diagnostic(slug, message, self.document.value(path), help))

    def name(self, kind: str, id: str) -> str:
        """Return what messages call the rule or check of that id."""
        return self.called or f"{kind} {id!r}"

    def lacks(self, path: Path, *keys: str) -> bool:
        """Return whether one of these keys of the mapping at `path` was taken out."""
        return any((*path, key) in self.lost for key in keys)

    def has_unknown(self, path: Path, known: Collection[str]) -> bool:
        """Return whether the mapping at `path` had a key that is none of the `known`: it may be any
        of them, misspelt.
        """
        return any(gone[:-1] == path and gone[-1] not in known for gone in self.lost if gone)
