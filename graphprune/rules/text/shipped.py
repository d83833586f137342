"""The rule files that ship with graphprune, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import RuleError
from graphprune.shipped import shipped_file
from graphprune.suggestions import ask_for_file, closest, find_close

PREFIX = "builtin:"
ANY_MODEL = f"{PREFIX}all-90 prunes everything but the last layer of each branch"
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class ShippedRules:
    """A rule file that ships: its name, the first line of its header comment, and where it is."""

    name: str
    summary: str
    path: Path


def list_shipped_rules() -> tuple[ShippedRules, ...]:
    """Return the shipped rule files, by name."""
    paths = sorted(shipped_file("rules").glob("*.yaml"), key=lambda path: path.stem)
    return tuple(ShippedRules(path.stem, _summary(path), path) for path in paths)


def find_rule_file(name: str) -> Path:
    """Return the path of a rule file: `builtin:NAME` is one that ships, all else is a path as it
    stands.

    Raises:
        RuleError: no shipped rule file has that name.
    """
    return (
        find_shipped_rules(name.removeprefix(PREFIX)).path
        if name.startswith(PREFIX)
        else Path(name)
    )


def find_source(name: str) -> Path | None:
    """Return the path of a rule file as `find_rule_file` does; None where none that ships has the
    name.
    """
    if not name.startswith(PREFIX):
        return Path(name)
    shipped = (rules for rules in list_shipped_rules() if f"{PREFIX}{rules.name}" == name)
    return next((rules.path for rules in shipped), None)


def find_meant_file(name: str) -> str:
    """Return, as a question, which rule file was meant by a path that does not exist: one that
    ships, or one beside it; "" where none is near.
    """
    given = Path(name)
    shipped = find_close(
        given.name.removesuffix(".yaml"), [rules.name for rules in list_shipped_rules()], count=1
    )
    if shipped and given.parent == Path():
        return f"did you mean {PREFIX}{shipped[0]}? (graphprune rules lists the files that ship)"
    return ask_for_file(name, lambda near: near.suffix in _SUFFIXES)


def find_shipped_rules(name: str) -> ShippedRules:
    """Return the shipped rule file of that name (without `builtin:`).

    Raises:
        RuleError: none has it.
    """
    known = {shipped.name: shipped for shipped in list_shipped_rules()}
    if name in known:
        return known[name]
    help = closest(name, known) or f"there are {', '.join(known)}"
    raise RuleError(
        (
            Diagnostic(
                "file/unreadable",
                f"no rule file that ships is named {name!r}",
                Where(f"{PREFIX}{name}"),
                help,
            ),
        )
    )


def _summary(path: Path) -> str:
    with path.open(encoding="utf-8") as stream:
        first = stream.readline()
    return first.removeprefix("#").strip() if first.startswith("#") else ""
