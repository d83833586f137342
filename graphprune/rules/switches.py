"""What the command line changes in rule files: fields set (`--set`), rules left out (`--only`, `--off`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.errors import Diagnostic, Where
from graphprune.rules.rule_set import Rule, Switches
from graphprune.rules.suggestions import closest
from graphprune.rules.yaml_text import Document, Path, parse_document

_HELP = "write RULE.prune.FIELD=VALUE or budgets.NAME.FIELD=VALUE, as in dense-90.prune.sparsity=0.5"


def change_settings(documents: Sequence[Document], settings: Sequence[tuple[str, str]]) -> tuple[list[Document], list[Diagnostic]]:
    """Return the documents with each field given its value, and what is wrong with the paths; a fault in a value is told at its `--set`."""
    changed, faults = list(documents), []
    for path, text in settings:
        where = Where(f"--set {path}={text}")
        value = parse_document(text, where.file)
        if value.faults:
            faults += [replace(fault, where=where) for fault in value.faults]
            continue
        found = _find(changed, path)
        if isinstance(found, tuple):
            index, target = found
            changed[index] = _with_value(changed[index], target, value.data, where)
        else:
            faults.append(Diagnostic(found.slug, found.message, where, found.help))
    return changed, faults


def select_rules(rules: Sequence[Rule], switches: Switches, known: frozenset[str]) -> tuple[list[Rule], list[Diagnostic]]:
    """Return the rules that are used, and a fault for each id that names none of `known`, or where no rule is left."""
    faults = [
        Diagnostic("rule/unknown", f"no rule has the id {id!r}", Where(f"{option} {id}"), closest(id, known) or f"there are {', '.join(sorted(known))}")
        for option, ids in (("--only", switches.only), ("--off", switches.off))
        for id in ids
        if id not in known
    ]
    left = [rule for rule in rules if (not switches.only or rule.id in switches.only) and rule.id not in switches.off]
    if rules and not left and not faults:
        options = " ".join([*(f"--only {id}" for id in switches.only), *(f"--off {id}" for id in switches.off)])
        faults.append(Diagnostic("rule/unknown", "no rule is left", Where(options), f"the files have {', '.join(sorted(known))}"))
    return left, faults


def _find(documents: Sequence[Document], path: str) -> tuple[int, Path] | Diagnostic:
    """Return which document holds the field, and its path there."""
    id, dot, field = path.rpartition(".prune.")
    if dot and field:
        return _find_rule(documents, id, field)
    section, _, rest = path.partition(".")
    name, dot, field = rest.rpartition(".")
    if section == "budgets" and dot and name and field:
        return _find_budget(documents, name, field)
    return Diagnostic("key/unknown", "no field of a rule's action or of a budget has this path", help=_HELP)


def _find_rule(documents: Sequence[Document], id: str, field: str) -> tuple[int, Path] | Diagnostic:
    known = [name for document in documents for _, name, _ in _rules(document)]
    for index, document in enumerate(documents):
        for place, name, rule in _rules(document):
            if name == id and isinstance(rule.get("prune"), dict):
                return index, ("rules", place, "prune", *field.split("."))
            if name == id:
                return Diagnostic("value/range", f"rule {id!r} has no prune action whose fields could be set", help=f"leave it out instead: --off {id}")
    return Diagnostic("rule/unknown", f"no rule has the id {id!r}", help=closest(id, known) or f"there are {', '.join(sorted(known))}")


def _find_budget(documents: Sequence[Document], name: str, field: str) -> tuple[int, Path] | Diagnostic:
    known: list[str] = []
    for index, document in enumerate(documents):
        budgets = document.data.get("budgets") if isinstance(document.data, dict) else None
        names = [key for key, value in budgets.items() if isinstance(value, dict)] if isinstance(budgets, dict) else []
        if name in names:
            return index, ("budgets", name, field)
        known += names
    help = closest(name, known) or (f"there are {', '.join(sorted(known))}" if known else "the files define no budgets")
    return Diagnostic("budget/unknown", f"no budget is named {name!r}", help=help)


def _rules(document: Document) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield place, id and content of each rule that has an id."""
    rules = document.data.get("rules") if isinstance(document.data, dict) else None
    for place, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, dict) and isinstance(rule.get("id"), str):
            yield place, rule["id"], rule


def _with_value(document: Document, path: Path, value: Any, where: Where) -> Document:
    """Return the document with `value` at `path`, whose place is then the option that set it."""
    kept = {place: there for place, there in document.values.items() if place[: len(path)] != path}
    keys = {place: there for place, there in document.keys.items() if place[: len(path)] != path}
    return replace(document, data=_set(document.data, path, value), values={**kept, path: where}, keys={**keys, path: where})


def _set(data: Any, path: Path, value: Any) -> Any:
    """Return a copy of `data` with `value` at `path`; mappings that are not there, or are no mappings, are made."""
    if not path:
        return value
    if isinstance(data, list):
        return [_set(item, path[1:], value) if index == path[0] else item for index, item in enumerate(data)]
    known = data if isinstance(data, dict) else {}
    return {**known, str(path[0]): _set(known.get(str(path[0])), path[1:], value)}
