"""Rule files to a rule set: every fault of every file in one run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path as FilePath
from typing import Any

from graphprune.errors import Diagnostic, RuleError, Where
from graphprune.rules.action_build import ActionBuilder
from graphprune.rules.build import build_rule
from graphprune.rules.check_build import build_check
from graphprune.rules.checks import Check
from graphprune.rules.config_test import freeze
from graphprune.rules.custom_layers import CustomLayer, build_custom_layer
from graphprune.rules.file_faults import check_shape, show
from graphprune.rules.file_shape import FileShape
from graphprune.rules.matchers import Use
from graphprune.rules.notes import Notes
from graphprune.rules.rule_set import Rule, RuleSet
from graphprune.rules.selectors import Defined, build_selectors, find_unused
from graphprune.rules.shipped import find_rule_file
from graphprune.rules.variables import Variable, collect_variables, fill_in
from graphprune.rules.yaml_text import MAX_BYTES, Document, Path, parse_document
from graphprune.sparsity.schedules import Schedule

Indexes = Mapping[str, list[int]]
"""By section that is a list, which of its entries hold together."""

_LISTS = ("rules", "require")
_MAPPINGS = ("schedules", "vars", "selectors", "layers")


@dataclass(slots=True)
class _Parts:
    """What the files hold, as it is built."""

    rules: list[Rule] = field(default_factory=list)
    selectors: tuple[Use, ...] = ()
    checks: list[Check] = field(default_factory=list)
    custom_layers: list[CustomLayer] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)


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
    parts = _build(documents, variables, faults)
    if not faults and not parts.rules:
        where = Where(texts[-1][0] if texts else "rules")
        help = "add a list 'rules' with entries such as {id: dense-90, match: {type: Dense}, prune: ...}"
        faults.append(Diagnostic("key/missing", "there are no rules", where, help))
    if faults:
        order = {file: index for index, (file, _) in enumerate(texts)}
        raise RuleError(tuple(sorted(dict.fromkeys(faults), key=lambda fault: _sort_key(fault, order))))
    files = tuple((file, hashlib.sha256(text.encode()).hexdigest()) for file, text in texts)
    return RuleSet(
        files=files,
        rules=tuple(parts.rules),
        variables=variables,
        warnings=tuple(parts.warnings),
        selectors=parts.selectors,
        checks=tuple(parts.checks),
        custom_layers=tuple(parts.custom_layers),
    )


def _sort_key(fault: Diagnostic, order: Mapping[str, int]) -> tuple[int, str, int, int, str, str]:
    where = fault.where or Where("")
    return order.get(where.file, -1), where.file, where.line or 0, where.column or 0, fault.slug, fault.message


def _build(documents: Sequence[Document], variables: Mapping[str, Variable], faults: list[Diagnostic]) -> _Parts:
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
    defined = _defined_selectors(documents, filled, shapes)
    selectors = build_selectors(defined, faults)
    parts = _Parts(selectors=tuple(selectors.values()))
    for document, (shape, indexes) in zip(documents, shapes, strict=True):
        notes = Notes(document)
        rules = (build_rule(part, path, notes, schedules, selectors) for part, path in _listed(shape, "rules", indexes))
        parts.rules += [rule for rule in rules if rule is not None]
        parts.checks += [build_check(part, path, notes, selectors) for part, path in _listed(shape, "require", indexes)]
        parts.custom_layers += [build_custom_layer(name, part, notes) for name, part in (_given(shape, "layers") or {}).items()]
        faults += notes.faults
    parts.warnings += find_unused(defined, [part for shape, _ in shapes for section in ("rules", "require") for part in _given(shape, section) or []])
    return parts


def _listed(shape: FileShape | None, section: str, indexes: Mapping[str, list[int]]) -> list[tuple[Any, Path]]:
    """Return the parts of a section that is a list, each with its place in the file."""
    return [(part, (section, index)) for part, index in zip(_given(shape, section) or [], indexes[section], strict=True)]


def _given(shape: FileShape | None, section: str) -> Any:
    return None if shape is None else shape.given(section)


def _defined_selectors(documents: Sequence[Document], filled: Sequence[Any], shapes: Sequence[tuple[FileShape | None, Indexes]]) -> Defined:
    """Return the selectors of all files by name, those with faults of their own too."""
    defined: dict[str, tuple[Document, Any]] = {}
    for document, data, (shape, _) in zip(documents, filled, shapes, strict=True):
        sound = _given(shape, "selectors") or {}
        for name in _section(data, "selectors"):
            if isinstance(name, str):
                defined.setdefault(name, (document, sound.get(name)))
    return defined


def _forget_consequences(faults: list[Diagnostic]) -> None:
    """Drop what is said of a value only because its variable is unknown, or its text has a fault of its own."""
    places = {fault.where for fault in faults if fault.slug == "var/unknown" or fault.message.startswith("a variable must be")}
    faults[:] = [fault for fault in faults if fault.where not in places or fault.slug == "var/unknown" or fault.message.startswith("a variable must be")]


def _section(data: Any, name: str) -> dict[str, Any]:
    section = data.get(name) if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _checked(document: Document, data: Any, names: frozenset[str], faults: list[Diagnostic]) -> tuple[FileShape | None, Indexes]:
    """Return the shape of the parts of a file that hold together, and the places of its rules and checks in the file's own lists."""
    nothing: Indexes = {section: [] for section in _LISTS}
    shape, found, paths = check_shape(document, data, names)
    if any(path == ("version",) for path in paths) and isinstance(data, dict) and "version" in data:
        faults += [fault for fault, path in zip(found, paths, strict=True) if path == ("version",)]  # the rest may be right in its own version
        return None, nothing
    faults += found
    if not isinstance(data, dict):
        return shape, nothing
    listed = {section: data[section] if isinstance(data.get(section), list) else [] for section in _LISTS}
    bad = {path[:2] for path in paths if len(path) > 1}
    indexes = {section: [index for index in range(len(parts)) if (section, index) not in bad] for section, parts in listed.items()}
    if shape is not None:
        return shape, indexes
    shape = check_shape(document, _without(data, paths, indexes), names)[0]
    return shape, {section: sound if _given(shape, section) is not None else [] for section, sound in indexes.items()}


def _without(data: dict[str, Any], paths: tuple[Path, ...], indexes: Indexes) -> dict[str, Any]:
    """Return `data` without the parts that hold a fault."""
    whole = {path[0] for path in paths if len(path) == 1}
    rest: dict[str, Any] = {"version": 1} | {key: value for key, value in data.items() if key not in whole}
    for section, sound in indexes.items():
        if isinstance(rest.get(section), list):
            rest[section] = [rest[section][index] for index in sound]
    for section in _MAPPINGS:
        bad = {path[1] for path in paths if path[0] == section and len(path) > 1}
        if isinstance(rest.get(section), dict):
            rest[section] = {key: value for key, value in rest[section].items() if key not in bad}
    return rest


def _build_schedules(documents: Sequence[Document], shapes: Sequence[tuple[FileShape | None, Indexes]], faults: list[Diagnostic]) -> dict[str, Schedule]:
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
    """Return a fault for each id of a rule or check that is not unique, and for each name that two files define differently."""
    faults: list[Diagnostic] = []
    seen: dict[tuple[str, str], tuple[Where, Any]] = {}

    def meet(kind: str, name: str, where: Where, value: Any, help: str) -> None:
        first = seen.setdefault((kind, name), (where, value))
        if first[0] != where and (kind in ("rule", "check") or first[1] != value):
            faults.append(Diagnostic("id/duplicate", f"the {kind} {show(name)} is defined twice", where, f"first at {first[0]}; {help}"))

    for document, data in zip(documents, filled, strict=True):
        for kind, section in (("rule", "rules"), ("check", "require")):
            listed = data.get(section) if isinstance(data, dict) else None
            for index, part in enumerate(listed if isinstance(listed, list) else []):
                if isinstance(part, dict) and isinstance(part.get("id"), str):
                    meet(kind, part["id"], document.value((section, index, "id")), None, "ids are unique over all files: rename one")
        for kind, section in (("schedule", "schedules"), ("variable", "vars"), ("selector", "selectors"), ("layer type", "layers")):
            for name, value in _section(data, section).items():
                meet(kind, name, document.key((section, name)), freeze(value), "the files give it different values: rename one")
    return faults
