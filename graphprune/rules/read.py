"""Rule files to a rule set: every fault of every file in one run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path as FilePath
from typing import Any

from graphprune.errors import Diagnostic, RuleError, Where
from graphprune.rules.action_build import ActionBuilder
from graphprune.rules.build import build_rule
from graphprune.rules.config_test import freeze
from graphprune.rules.file_faults import check_shape, show
from graphprune.rules.file_shape import FileShape
from graphprune.rules.notes import Notes
from graphprune.rules.rule_set import Rule, RuleSet
from graphprune.rules.shipped import find_rule_file
from graphprune.rules.variables import Variable, collect_variables, fill_in
from graphprune.rules.yaml_text import MAX_BYTES, Document, Path, parse_document
from graphprune.sparsity.schedules import Schedule


def read_rules(*paths: str | FilePath, variables: Mapping[str, str] | None = None) -> RuleSet:
    """Return the rules of all files together; their order never changes meaning.

    Schedules and variables of one file are known in all; a name may be defined twice only with the same value.

    Args:
        *paths: Rule files (YAML or JSON), or `builtin:NAME` for one that ships.
        variables: Values for variables of the files, as text: `{"final": "0.8"}`.

    Raises:
        RuleError: with every fault of every file.
    """
    names = [str(path) if isinstance(path, FilePath) else path for path in paths]
    texts = [_read_text(name) for name in dict.fromkeys(names)]
    faults = [text for text in texts if isinstance(text, Diagnostic)]
    faults += [
        Diagnostic("id/duplicate", f"the rule file is given {count} times", Where(name), "give it once")
        for name, count in Counter(names).items()
        if name and count > 1
    ]
    return _parse_all([text for text in texts if not isinstance(text, Diagnostic)], variables or {}, faults)


def parse_rules(text: str, file: str, variables: Mapping[str, str] | None = None) -> RuleSet:
    r"""Return the rules in `text`; `file` is the name that faults print.

    Raises:
        RuleError: with every fault.

    Example:
        >>> rules = parse_rules("version: 1\nrules:\n- {id: stem, match: {name: conv_1}, keep: true}", "stem.yaml")
        >>> [(rule.id, str(rule.where)) for rule in rules.rules]
        [('stem', 'stem.yaml:3:3')]
    """
    return _parse_all([(file, text)], variables or {}, [])


def _read_text(path: str) -> tuple[str, str] | Diagnostic:
    where = Where(path or "''")
    if not path:
        return Diagnostic("file/unreadable", "the name of the rule file is empty", where, "give the path of a file; is a shell variable unset?")
    try:
        with find_rule_file(path).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except RuleError as err:
        return err.diagnostics[0]
    except FileNotFoundError:
        return Diagnostic(
            "file/unreadable",
            "no such rule file",
            where,
            "check the path; files that ship with graphprune are named builtin:NAME (graphprune rules lists them)",
        )
    except IsADirectoryError:
        return Diagnostic("file/unreadable", "a folder, not a rule file", where, "name the .yaml file inside it")
    except (OSError, ValueError) as err:
        return Diagnostic("file/unreadable", f"cannot be opened: {getattr(err, 'strerror', None) or err}", where)
    if len(content) > MAX_BYTES:
        return Diagnostic("file/unreadable", f"larger than {MAX_BYTES:,} bytes", where, "a rule file is a page or two of text; is this a model?")
    try:
        return path, content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content[: err.start].count(b"\n") + 1
        return Diagnostic("file/unreadable", "not text in UTF-8", Where(path, line), "save it as UTF-8; is this a model?")


def _parse_all(texts: Sequence[tuple[str, str]], overrides: Mapping[str, str], faults: list[Diagnostic]) -> RuleSet:
    documents = [parse_document(text, file) for file, text in texts]
    unread = bool(faults)
    faults += chain.from_iterable(document.faults for document in documents)
    unread = unread or not all(document.is_readable for document in documents)
    documents = [document for document in documents if document.is_readable]
    variables, more = collect_variables(documents, overrides)
    faults += [] if unread else more  # a variable may stand in a file that could not be read
    rules = _build(documents, variables, faults)
    if not faults and not rules:
        where = Where(texts[-1][0] if texts else "rules")
        help = "add a list 'rules' with entries such as {id: dense-90, match: {type: Dense}, prune: ...}"
        faults.append(Diagnostic("key/missing", "there are no rules", where, help))
    if faults:
        order = {file: index for index, (file, _) in enumerate(texts)}
        raise RuleError(tuple(sorted(dict.fromkeys(faults), key=lambda fault: _sort_key(fault, order))))
    files = tuple((file, hashlib.sha256(text.encode()).hexdigest()) for file, text in texts)
    return RuleSet(files=files, rules=tuple(rules), variables=variables)


def _sort_key(fault: Diagnostic, order: Mapping[str, int]) -> tuple[int, str, int, int, str, str]:
    where = fault.where or Where("")
    return order.get(where.file, -1), where.file, where.line or 0, where.column or 0, fault.slug, fault.message


def _build(documents: Sequence[Document], variables: Mapping[str, Variable], faults: list[Diagnostic]) -> list[Rule]:
    filled: list[Any] = []
    for document in documents:
        data, more = fill_in(document, variables)
        filled.append(data)
        faults += more
    names = frozenset(chain.from_iterable(_section(data, "schedules") for data in filled))
    shapes = [_checked(document, data, names, faults) for document, data in zip(documents, filled, strict=True)]
    _forget_consequences(faults)
    faults += _clashes(documents, filled)
    schedules = _build_schedules(documents, shapes, faults)
    rules = []
    for document, (shape, indexes) in zip(documents, shapes, strict=True):
        notes = Notes(document)
        parts = [] if shape is None else shape.given("rules") or []
        rules += [rule for part, index in zip(parts, indexes, strict=True) if (rule := build_rule(part, ("rules", index), notes, schedules)) is not None]
        faults += notes.faults
    return rules


def _forget_consequences(faults: list[Diagnostic]) -> None:
    """Drop what is said of a value only because its variable is unknown, or its text has a fault of its own."""
    places = {fault.where for fault in faults if fault.slug == "var/unknown" or fault.message.startswith("a variable must be")}
    faults[:] = [fault for fault in faults if fault.where not in places or fault.slug == "var/unknown" or fault.message.startswith("a variable must be")]


def _section(data: Any, name: str) -> dict[str, Any]:
    section = data.get(name) if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _checked(document: Document, data: Any, names: frozenset[str], faults: list[Diagnostic]) -> tuple[FileShape | None, list[int]]:
    """Return the shape of the parts of a file that hold together, and the places of its rules in the file's own list."""
    shape, found, paths = check_shape(document, data, names)
    if any(path == ("version",) for path in paths) and isinstance(data, dict) and "version" in data:
        faults += [fault for fault, path in zip(found, paths, strict=True) if path == ("version",)]  # the rest may be right in its own version
        return None, []
    faults += found
    rules = data.get("rules") if isinstance(data, dict) else None
    indexes = list(range(len(rules))) if isinstance(rules, list) else []
    if shape is not None or not isinstance(data, dict):
        return shape, indexes
    bad = {path[1] for path in paths if path[:1] == ("rules",) and len(path) > 1}
    indexes = [index for index in indexes if index not in bad]
    shape = check_shape(document, _without(data, paths, indexes), names)[0]
    return shape, indexes if shape is not None and shape.given("rules") is not None else []


def _without(data: dict[str, Any], paths: tuple[Path, ...], indexes: list[int]) -> dict[str, Any]:
    """Return `data` without the parts that hold a fault."""
    whole = {path[0] for path in paths if len(path) == 1}
    rest: dict[str, Any] = {"version": 1} | {key: value for key, value in data.items() if key not in whole}
    if isinstance(rest.get("rules"), list):
        rest["rules"] = [rest["rules"][index] for index in indexes]
    for section in ("schedules", "vars"):
        bad = {path[1] for path in paths if path[0] == section and len(path) > 1}
        if isinstance(rest.get(section), dict):
            rest[section] = {key: value for key, value in rest[section].items() if key not in bad}
    return rest


def _build_schedules(documents: Sequence[Document], shapes: Sequence[tuple[FileShape | None, list[int]]], faults: list[Diagnostic]) -> dict[str, Schedule]:
    schedules: dict[str, Schedule] = {}
    for document, (shape, _) in zip(documents, shapes, strict=True):
        builder = ActionBuilder(Notes(document), {})
        for name, part in ({} if shape is None else shape.given("schedules") or {}).items():
            schedule = builder.schedule(part, ("schedules", name), name, f"schedule {name!r}: ")
            if schedule is not None:
                schedules.setdefault(name, schedule)
        faults += builder.notes.faults
    return schedules


def _clashes(documents: Sequence[Document], filled: Sequence[Any]) -> list[Diagnostic]:
    """Return a fault for each rule id that is not unique, and for each schedule or variable that two files define differently."""
    faults: list[Diagnostic] = []
    seen: dict[tuple[str, str], tuple[Where, Any]] = {}

    def meet(kind: str, name: str, where: Where, value: Any, help: str) -> None:
        first = seen.setdefault((kind, name), (where, value))
        if first[0] != where and (kind == "rule" or first[1] != value):
            faults.append(Diagnostic("id/duplicate", f"the {kind} {show(name)} is defined twice", where, f"first at {first[0]}; {help}"))

    for document, data in zip(documents, filled, strict=True):
        rules = data.get("rules") if isinstance(data, dict) else None
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            if isinstance(rule, dict) and isinstance(rule.get("id"), str):
                meet("rule", rule["id"], document.value(("rules", index, "id")), None, "ids are unique over all files: rename one")
        for kind, section in (("schedule", "schedules"), ("variable", "vars")):
            for name, value in _section(data, section).items():
                meet(kind, name, document.key((section, name)), freeze(value), "the files give it different values: rename one")
    return faults
