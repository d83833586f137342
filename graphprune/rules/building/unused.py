"""Names that rule files define and nobody uses: selectors, budgets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.rules.building.gather import FileParts
from graphprune.rules.building.selectors import Defined, find_unused
from graphprune.rules.text.yaml_text import Document

_USERS = ("rules", "require")


def find_unused_names(
    documents: Sequence[Document],
    files: Sequence[FileParts],
    defined: Defined,
    spare: Collection[str],
    faults: Sequence[Diagnostic],
) -> Iterator[Diagnostic]:
    """Yield a warning for each name that nobody uses.

    Beside a name that is not known nothing is said of its kind: the unknown one may be the one
    meant.

    Args:
        documents: The files as they are written, before the command line changes them: what `--set`
            replaces is used all the same.
        files: Their sound parts.
        defined: The selectors.
        spare: Texts in entries with faults; one of them may be what was meant to name something.
        faults: What is wrong with the files.
    """
    slugs = {fault.slug for fault in faults}
    if not slugs & {"selector/unknown", "selector/cycle"}:
        yield from find_unused(
            defined,
            [part for file in files for section in _USERS for part in file.section(section) or []],
            spare,
        )
    if "budget/unknown" not in slugs:
        yield from _unused_budgets(
            files,
            {
                *_named(
                    "budget",
                    [document.data for document in documents] + [file.data for file in files],
                ),
                *spare,
            },
        )


def _unused_budgets(files: Sequence[FileParts], used: Collection[str]) -> Iterator[Diagnostic]:
    for file in files:
        for name in file.section("budgets") or {}:
            if name not in used:
                place = file.notes.document.key(("budgets", name))
                yield Diagnostic(
                    "budget/unused",
                    f"no rule names the budget {name!r}",
                    place,
                    f"write 'budget: {name}', or delete it",
                    "warning",
                )


def _named(kind: str, values: Sequence[Any]) -> Iterator[str]:
    """Yield the texts that stand under the key `kind`, wherever it is."""
    waiting = list(values)
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            if isinstance(part.get(kind), str):
                yield part[kind]
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
