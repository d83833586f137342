"""Command-line changes to rule files: `--set` for fields, `--only` and `--off` for rules.

Setting a field of a rule's action changes only that rule, wherever the field is defined: if the
rule names its schedule, or gets it from `like` or `defaults`, it gets its own copy of the schedule
with that field changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.rules.building.patterns import fixes_sparsity
from graphprune.rules.building.prune_fields import TARGETS, PruneShape
from graphprune.rules.text.document import Document, Path, set_at
from graphprune.rules.text.shape import keys_of
from graphprune.rules.text.yaml_text import parse_document
from graphprune.rules.values.rule_set import Rule, Switches
from graphprune.suggestions import closest

_SECTIONS = {"budgets": "budget", "schedules": "schedule"}
_HELP = (
    "write RULE.prune.FIELD=VALUE, budgets.NAME.FIELD=VALUE, schedules.NAME.FIELD=VALUE or"
    " defaults.prune.FIELD=VALUE, as in dense-90.prune.sparsity=0.5"
)


class _Misdirected(Exception):
    """A path does not exist; holds the fault and what to write instead."""

    def __init__(self, slug: str, message: str, help: str) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(slug, message, help=help)


@dataclass(frozen=True, slots=True)
class _Value:
    """A value in the files, with its position."""

    document: Document
    path: Path
    data: Any


def change_settings(
    documents: Sequence[Document], settings: Sequence[tuple[str, str]]
) -> tuple[list[Document], list[Diagnostic]]:
    """Return the documents with each field set to its value, and the faults of paths and values.

    The position of a fault is its `--set` option.
    """
    changed, faults = list(documents), []
    for path, text in settings:
        where = Where(f"--set {path}={text}")
        value = parse_document(text, where.file, "value")
        if value.faults:
            faults += [replace(fault, where=where) for fault in value.faults]
            continue
        try:
            index, document = _change(changed, path, value.data, where)
            changed[index] = document
        except _Misdirected as err:
            faults.append(replace(err.diagnostic, where=where))
    return changed, faults


def _change(
    documents: Sequence[Document], path: str, value: Any, where: Where
) -> tuple[int, Document]:
    """Return the index of the document with the field at `path`, and that document changed."""
    id, dot, field = path.rpartition(".prune.")
    if dot and field and id == "defaults":
        return _change_defaults(documents, tuple(field.split(".")), value, where)
    if dot and field:
        return _change_rule(documents, id, tuple(field.split(".")), value, where)
    section, _, rest = path.partition(".")
    if section in _SECTIONS and "." in rest:
        index, target = _find_named(documents, section, rest)
        return index, documents[index].with_value(target, value, where)
    raise _Misdirected(
        "key/unknown",
        "no field of a rule's action, a budget or a schedule has this path",
        _meant(documents, path) or _HELP,
    )


def _meant(documents: Sequence[Document], path: str) -> str:
    """Return help for a path `RULE.FIELD` that lacks `prune`; "" for any other."""
    id, _, field = path.partition(".")
    is_action = field.partition(".")[0] in keys_of(PruneShape)
    return (
        f"write {id}.prune.{field}"
        if is_action
        and any(id == name for document in documents for _, name, _ in _rules(document))
        else ""
    )


def _change_rule(
    documents: Sequence[Document], id: str, field: tuple[str, ...], value: Any, where: Where
) -> tuple[int, Document]:
    index, place, rule = _find_rule(documents, id)
    if not isinstance(rule.get("prune"), dict):
        raise _Misdirected(
            "value/range",
            f"rule {id!r} has no prune action whose fields could be set",
            f"leave it out instead: --off {id}",
        )
    document, target = documents[index], ("rules", place, "prune")
    if len(field) == 1:
        document = _without_targets(document, target, field[0], value)
        return index, document.with_value((*target, field[0]), value, where)
    found = _in_effect(documents, id, field[0], [])
    if found is not None and field[0] == "budget":
        rest = ".".join(field[1:])
        raise _Misdirected(
            "key/unknown",
            f"rule {id!r} names its budget, which is set by itself",
            f"write budgets.{found.data}.{rest}",
        )
    if found is not None and field[0] == "schedule" and isinstance(found.data, str):
        found = _named_schedule(documents, id, found.data)
    if found is not None and isinstance(found.data, dict):
        document = _with_copy(document, (*target, field[0]), found)
    return index, document.with_value((*target, *field), value, where)


def _named_schedule(documents: Sequence[Document], id: str, name: str) -> _Value:
    for document in documents:
        found = _section(document, "schedules").get(name)
        if isinstance(found, dict):
            return _Value(document, ("schedules", name), found)
    message = f"rule {id!r} takes its schedule from {name!r}, which is not defined"
    raise _Misdirected(
        "schedule/unknown",
        message,
        f"set the whole schedule: {id}.prune.schedule={{curve: ..., begin: ..., end: ...}}",
    )


def _in_effect(
    documents: Sequence[Document], id: str, field: str, seen: list[str]
) -> _Value | None:
    """Return the effective field of a rule's action; None if there is none.

    It is the rule's own, or comes from its `like` or from the defaults.
    """
    if id not in seen and any(
        id == name for document in documents for _, name, _ in _rules(document)
    ):
        index, place, rule = _find_rule(documents, id)
        prune = rule.get("prune")
        own = prune if isinstance(prune, dict) else {}
        if field in own:
            return _Value(documents[index], ("rules", place, "prune", field), own[field])
        if isinstance(own.get("like"), str):
            return _in_effect(documents, own["like"], field, [*seen, id])
    for document in documents:
        prune = _section(document, "defaults").get("prune")
        if isinstance(prune, dict) and field in prune:
            return _Value(document, ("defaults", "prune", field), prune[field])
    return None


def _change_defaults(
    documents: Sequence[Document], field: tuple[str, ...], value: Any, where: Where
) -> tuple[int, Document]:
    index = next(
        (index for index, document in enumerate(documents) if _section(document, "defaults")), None
    )
    if index is None:
        raise _Misdirected(
            "key/unknown",
            "the files have no defaults whose fields could be set",
            "set the field of a rule, as in dense-90.prune.sparsity=0.5",
        )
    document, target = documents[index], ("defaults", "prune", *field)
    prune = _section(document, "defaults").get("prune")
    named = prune.get("schedule") if isinstance(prune, dict) else None
    if field[0] == "schedule" and len(field) > 1 and isinstance(named, str):
        document = _with_copy(document, target[:3], _named_schedule(documents, "defaults", named))
    return index, document.with_value(target, value, where)


def _find_rule(documents: Sequence[Document], id: str) -> tuple[int, int, Mapping[str, Any]]:
    """Return the rule's document, its index in the list, and its content."""
    for index, document in enumerate(documents):
        for place, name, rule in _rules(document):
            if name == id:
                return index, place, rule
    known = [name for document in documents for _, name, _ in _rules(document)]
    raise _Misdirected(
        "rule/unknown",
        f"no rule has the id {id!r}",
        closest(id, known) or f"available: {', '.join(sorted(known))}",
    )


def _find_named(documents: Sequence[Document], section: str, rest: str) -> tuple[int, Path]:
    """Return the document and the path of `NAME.FIELD` in a section; names may contain dots."""
    kind = _SECTIONS[section]
    known: list[str] = []
    for index, document in enumerate(documents):
        names = [
            name for name, value in _section(document, section).items() if isinstance(value, dict)
        ]
        for name in names:
            if rest.startswith(f"{name}."):
                return index, (section, name, *rest.removeprefix(f"{name}.").split("."))
        known += names
    name = rest.rpartition(".")[0]
    help = closest(name, known) or (
        f"available: {', '.join(sorted(known))}" if known else f"the files define no {section}"
    )
    raise _Misdirected(f"{kind}/unknown", f"no {kind} is named {name!r}", help)


def _rules(document: Document) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield index, id and content of each rule that has an id."""
    rules = document.data.get("rules") if isinstance(document.data, dict) else None
    for place, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, dict) and isinstance(rule.get("id"), str):
            yield place, rule["id"], rule


def _section(document: Document, name: str) -> Mapping[str, Any]:
    section = document.data.get(name) if isinstance(document.data, dict) else None
    return section if isinstance(section, dict) else {}


def _without_targets(document: Document, target: Path, field: str, value: Any) -> Document:
    """Return the document without the targets of the action at `target` if `field` sets one."""
    fixes = field in TARGETS or (field == "pattern" and fixes_sparsity(value))
    if not fixes:
        return document
    prune = document.data["rules"][target[1]]["prune"]
    left = {name: item for name, item in prune.items() if name not in TARGETS}
    return replace(document, data=set_at(document.data, target, left))


def _with_copy(document: Document, path: Path, source: _Value) -> Document:
    """Return the document with a copy of a value at `path`; its parts keep their positions."""

    def moved(places: Mapping[Path, Where]) -> dict[Path, Where]:
        length = len(source.path)
        return {
            (*path, *place[length:]): where
            for place, where in places.items()
            if place[:length] == source.path
        }

    data = set_at(document.data, path, source.data)
    return replace(
        document,
        data=data,
        values={**document.values, **moved(source.document.values)},
        keys={**document.keys, **moved(source.document.keys)},
    )


def select_rules(
    rules: Sequence[Rule], switches: Switches, known: frozenset[str]
) -> tuple[list[Rule], list[Diagnostic]]:
    """Return the rules to use, and the faults of the options.

    An id that is not in `known` is a fault, and so is an empty selection.
    """
    faults = [
        Diagnostic(
            "rule/unknown",
            f"no rule has the id {id!r}",
            Where(f"{option} {id}"),
            closest(id, known) or f"available: {', '.join(sorted(known))}",
        )
        for option, ids in (("--only", switches.only), ("--off", switches.off))
        for id in ids
        if id not in known
    ]
    left = [
        rule
        for rule in rules
        if (not switches.only or rule.id in switches.only) and rule.id not in switches.off
    ]
    if rules and not left and not faults:
        options = " ".join(
            [*(f"--only {id}" for id in switches.only), *(f"--off {id}" for id in switches.off)]
        )
        faults.append(
            Diagnostic(
                "rule/unknown",
                "no rule is left",
                Where(options),
                f"the files have {', '.join(sorted(known))}",
            )
        )
    return left, faults
