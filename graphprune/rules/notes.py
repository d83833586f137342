"""What is found wrong while a file's parts are built."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphprune.errors import Diagnostic
from graphprune.rules.yaml_text import Document, Path


@dataclass(frozen=True, slots=True)
class Notes:
    """One file, and the faults that show only when its parts are built."""

    document: Document
    faults: list[Diagnostic] = field(default_factory=list)

    def fault(self, slug: str, message: str, path: Path, help: str | None) -> None:
        """Note what is wrong with the value at `path`."""
        self.faults.append(Diagnostic(slug, message, self.document.value(path), help))
