"""Selectors (named matchers, available in all files), and unused names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.nested import mappings_in
from graphprune.rules.building.gather import FileParts
from graphprune.rules.matchers.failures import find_contradiction
from graphprune.rules.matchers.keys import MatcherBuilder, MatcherShape
from graphprune.rules.matchers.logic import Everything, Use
from graphprune.rules.text.document import Document, Notes
from graphprune.rules.text.shape import Shape

SECTION = "selectors"

Defined = Mapping[str, tuple[Document, Any]]
"""By name, the file that defines a selector and the checked shape of its matcher; the shape is None
if it has a fault of its own.
"""


def build_selectors(defined: Defined, faults: list[Diagnostic]) -> dict[str, Use]:
    """Return the selectors, each after those that it uses; add to `faults`."""
    order, cycles = _order({name: tuple(uses_in(shape)) for name, (_, shape) in defined.items()})
    faults += [_cycle(cycle, defined) for cycle in cycles]
    broken = {name for cycle in cycles for name in cycle}
    # Selectors with faults match every layer, so that their users get no further faults.
    selectors = {
        name: Use(name, Everything())
        for name, (_, shape) in defined.items()
        if shape is None or name in broken
    }
    for name in order:
        document, shape = defined[name]
        if name not in selectors:
            notes = Notes(document)
            matcher = MatcherBuilder(notes, selectors).matcher(
                shape, (SECTION, name), f"selector {name!r}: "
            )
            found = find_contradiction(matcher)
            if found is not None:
                notes.fault(
                    "match/contradiction",
                    f"selector {name!r}: it cannot hold for any layer: {found.reason}",
                    (SECTION, name),
                    found.help,
                )
            selectors[name] = Use(name, Everything() if notes.faults else matcher)
            faults += notes.faults
    return {name: selectors[name] for name in order}


def find_unused(
    defined: Defined, users: Iterable[Any], also: Iterable[str] = ()
) -> Iterator[Diagnostic]:
    """Yield a warning for each selector that no shape in `users` uses, directly or indirectly.

    The names in `also` count as used.
    """
    waiting = [*also, *(name for shape in users for name in uses_in(shape))]
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in defined and name not in used:
            used.add(name)
            waiting += uses_in(defined[name][1])
    for name, (document, shape) in defined.items():
        if name not in used and shape is not None:
            yield Diagnostic(
                "selector/unused",
                f"selector {name!r} is used by no rule and no check",
                document.key((SECTION, name)),
                f"write '{{use: {name}}}' where it is meant, or delete it",
                severity="warning",
            )


def uses_in(shape: Any) -> Iterator[str]:
    """Yield the names of the selectors that a checked shape uses."""
    waiting = [shape]
    while waiting:
        part = waiting.pop()
        if isinstance(part, MatcherShape) and part.given("use") is not None:
            yield part.given("use")
        if isinstance(part, Shape):
            waiting += [
                getattr(part, name)
                for name in type(part).model_fields
                if name in part.model_fields_set
            ]
        elif isinstance(part, list):
            waiting += part


def _order(uses: Mapping[str, Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return the names, each before those that use it, and the cycles among them.

    The depth-first search does not recurse, as chains may be long.
    """
    order: list[str] = []
    cycles: list[list[str]] = []
    done: set[str] = set()
    for root in uses:
        path: dict[str, None] = {}
        waiting = [(root, False)]
        while waiting:
            name, is_left = waiting.pop()
            if is_left:
                path.popitem()
                done.add(name)
                order.append(name)
            elif name in path:
                cycles.append(list(path)[list(path).index(name) :])
            elif name not in done and name in uses:
                path[name] = None
                waiting.append((name, True))
                waiting += [(other, False) for other in dict.fromkeys(uses[name])]
    return order, cycles


def _cycle(cycle: Sequence[str], defined: Defined) -> Diagnostic:
    first = min(cycle)
    at = cycle.index(first)
    names = [*cycle[at:], *cycle[:at], first]
    message = (
        f"selector {first!r} uses itself"
        if len(cycle) == 1
        else f"selectors refer to one another in a cycle: {' > '.join(names)}"
    )
    return Diagnostic(
        "selector/cycle",
        message,
        defined[first][0].key((SECTION, first)),
        "write out the conditions in one of them",
    )


_USERS = ("rules", "require")


def find_unused_names(
    documents: Sequence[Document],
    files: Sequence[FileParts],
    defined: Defined,
    spare: Collection[str],
    faults: Sequence[Diagnostic],
) -> Iterator[Diagnostic]:
    """Yield a warning for each unused name.

    If a name of some kind is unknown, no unused name of that kind is reported: the unknown one may
    be a misspelt one of them.

    Args:
        documents: The files as written, before command-line changes: values that `--set` replaces
            count as used.
        files: Their valid parts.
        defined: The selectors.
        spare: Texts in entries with faults, each of which may be meant as a name.
        faults: The faults of the files.
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
    """Yield the texts under the key `kind` at any depth."""
    return (
        part[kind]
        for value in values
        for part in mappings_in(value)
        if isinstance(part.get(kind), str)
    )
