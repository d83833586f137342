"""Parse the text of rule files to a rule set, with every fault of every file in one run."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphprune.archive.files import collector_paused
from graphprune.diagnostics.diagnostic import Diagnostic, Where, sort_by_place
from graphprune.errors import RuleError
from graphprune.rules.building.checks import build_check
from graphprune.rules.building.file_faults import check_shape, show
from graphprune.rules.building.gather import (
    FileParts,
    gather_actions,
    gather_overrides,
    known_ids,
    rule_ids,
)
from graphprune.rules.building.hidden_faults import Remains, find_hidden_faults, take_out
from graphprune.rules.building.layers import build_custom_layer, find_unknown_axes
from graphprune.rules.building.rule_file import FileShape, build_rule
from graphprune.rules.building.selectors import Defined, build_selectors, find_unused_names
from graphprune.rules.building.settings import change_settings, select_rules
from graphprune.rules.building.variables import Variable, collect_variables, fill_in
from graphprune.rules.matchers.config import freeze
from graphprune.rules.matchers.logic import Use
from graphprune.rules.text.document import Document, Notes, Path
from graphprune.rules.text.yaml_text import parse_document
from graphprune.rules.values.checks import Check
from graphprune.rules.values.custom_layers import CustomLayer
from graphprune.rules.values.rule_set import Rule, RuleSet, Switches

Indexes = Mapping[str, list[int]]
"""For each list section, the indexes of its valid entries."""

_LISTS = ("rules", "require")
_MAPPINGS = ("schedules", "budgets", "defaults", "vars", "selectors", "layers")
_NAMED = (
    ("schedule", "schedules"),
    ("budget", "budgets"),
    ("variable", "vars"),
    ("selector", "selectors"),
    ("layer type", "layers"),
)


@dataclass(slots=True)
class _Parts:
    """The content of the files while it is built."""

    rules: list[Rule] = field(default_factory=list)
    selectors: tuple[Use, ...] = ()
    checks: list[Check] = field(default_factory=list)
    custom_layers: list[CustomLayer] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Checked:
    """The shape of a file's valid entries, their indexes, and the valid values of the others."""

    shape: FileShape | None
    indexes: Indexes
    remains: Remains = field(default_factory=Remains)


def parse_rules(
    text: str,
    file: str,
    variables: Mapping[str, str] | None = None,
    *,
    switches: Switches | None = None,
) -> RuleSet:
    r"""Return the rules in `text`; `file` is the name that faults print.

    If `switches` is given, `variables` is not used.

    Raises:
        RuleError: with every fault.

    Example:
        >>> text = "version: 1\nrules:\n- {id: stem, match: {name: conv_1}, keep: true}"
        >>> rules = parse_rules(text, "stem.yaml")
        >>> [(rule.id, str(rule.where)) for rule in rules.rules]
        [('stem', 'stem.yaml:3:3')]
    """
    return parse_texts(
        [(file, text)], switches or Switches(variables=tuple((variables or {}).items())), []
    )


@collector_paused()
def parse_texts(
    texts: Sequence[tuple[str, str]], switches: Switches, faults: list[Diagnostic]
) -> RuleSet:
    """Return the rules of all texts.

    Args:
        texts: (name, text) of each file; faults print the name.
        switches: Changes made on the command line.
        faults: Faults of files that could not be read.

    Raises:
        RuleError: with every fault.
    """
    documents = [parse_document(text, file) for file, text in texts]
    unread = bool(faults)
    faults += itertools.chain.from_iterable(document.faults for document in documents)
    unread = unread or not all(document.is_readable for document in documents)
    documents = [document for document in documents if document.is_readable]
    written = documents
    documents, more = change_settings(documents, switches.settings)
    faults += [] if unread else more  # the field to set may be in a file that could not be read
    variables, more = collect_variables(documents, dict(switches.variables))
    faults += [] if unread else more
    parts = _build(documents, written, variables, faults)
    rules, more = select_rules(
        parts.rules,
        switches,
        frozenset(id for document in documents for id in rule_ids(document.data)),
    )
    faults += [] if unread else more
    if not faults and not rules:
        where = documents[-1].value(("rules",)) if documents else Where("rules")
        help = (
            "add a list 'rules' with entries such as {id: dense-90, match: {type: Dense}, prune:"
            " ...}"
        )
        faults.append(Diagnostic("key/missing", "there are no rules", where, help))
    if faults:
        raise RuleError(sort_by_place([*faults, *([] if unread else parts.warnings)]))
    files = tuple((file, hashlib.sha256(text.encode()).hexdigest()) for file, text in texts)
    return RuleSet(
        files=files,
        rules=tuple(rules),
        variables=variables,
        warnings=sort_by_place(parts.warnings),
        switches=switches,
        selectors=parts.selectors,
        checks=tuple(parts.checks),
        custom_layers=tuple(parts.custom_layers),
    )


def _build(
    documents: Sequence[Document],
    written: Sequence[Document],
    variables: Mapping[str, Variable],
    faults: list[Diagnostic],
) -> _Parts:
    filled: list[Any] = []
    unfilled: list[Diagnostic] = []
    for document in documents:
        data, more = fill_in(document, variables)
        filled.append(data)
        unfilled += more
    faults += unfilled
    names = frozenset(itertools.chain.from_iterable(_section(data, "schedules") for data in filled))
    checked = [
        _checked(document, data, names, faults)
        for document, data in zip(documents, filled, strict=True)
    ]
    faults += _clashes(documents, filled)
    files = [
        FileParts(Notes(document), data, one.shape, one.indexes)
        for document, data, one in zip(documents, filled, checked, strict=True)
    ]
    actions, beaten = gather_actions(files), gather_overrides(files)
    defined = _defined_selectors(files)
    selectors = build_selectors(defined, faults)
    parts = _Parts(selectors=tuple(selectors.values()))
    for file in files:
        rules = (
            build_rule(part, path, file.notes, actions, selectors)
            for part, path in file.listed("rules")
        )
        parts.rules += [
            replace(rule, overrides=beaten.get(rule.id, frozenset()))
            for rule in rules
            if rule is not None
        ]
        _add_checks_and_layers(parts, file, selectors)
    faults += itertools.chain.from_iterable(file.notes.faults for file in files)
    for document, one in zip(documents, checked, strict=True):
        faults += find_hidden_faults(document, one.remains, actions, selectors, known_ids(files))
    _forget_consequences(faults, unfilled)
    spare = frozenset(itertools.chain.from_iterable(one.remains.texts for one in checked))
    parts.warnings += find_unknown_axes(parts.rules, parts.custom_layers)
    parts.warnings += find_unused_names((*written, *documents), files, defined, spare, faults)
    return parts


def _add_checks_and_layers(parts: _Parts, file: FileParts, selectors: Mapping[str, Use]) -> None:
    parts.checks += [
        build_check(part, path, file.notes, selectors) for part, path in file.listed("require")
    ]
    parts.custom_layers += [
        build_custom_layer(name, part, file.notes)
        for name, part in (file.section("layers") or {}).items()
    ]


def _defined_selectors(files: Sequence[FileParts]) -> Defined:
    """Return the selectors of all files by name, including those with faults."""
    defined: dict[str, tuple[Document, Any]] = {}
    for file in files:
        sound = file.section("selectors") or {}
        for name in _section(file.data, "selectors"):
            if isinstance(name, str):
                defined.setdefault(name, (file.notes.document, sound.get(name)))
    return defined


def _forget_consequences(faults: list[Diagnostic], unfilled: Sequence[Diagnostic]) -> None:
    """Drop the faults of values with an unknown variable.

    `unfilled` has the faults of the variables themselves.
    """
    places, causes = {fault.where for fault in unfilled}, set(unfilled)
    faults[:] = [fault for fault in faults if fault in causes or fault.where not in places]


def _section(data: Any, name: str) -> dict[str, Any]:
    section = data.get(name) if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _checked(
    document: Document, data: Any, names: frozenset[str], faults: list[Diagnostic]
) -> _Checked:
    """Return the valid entries of a file and the valid values of the others; add to `faults`."""
    nothing: Indexes = {section: [] for section in _LISTS}
    shape, found, paths = check_shape(document, data, names)
    faults += found
    if not isinstance(data, dict):
        return _Checked(shape, nothing)
    listed = {
        section: data[section] if isinstance(data.get(section), list) else [] for section in _LISTS
    }
    bad = {path[:2] for path in paths if len(path) > 1}
    indexes = {
        section: [index for index in range(len(parts)) if (section, index) not in bad]
        for section, parts in listed.items()
    }
    if shape is not None:
        return _Checked(shape, indexes)
    shape = check_shape(document, _without(data, paths, indexes), names)[0]
    indexes = {
        section: sound if shape is not None and shape.given(section) is not None else []
        for section, sound in indexes.items()
    }
    return _Checked(shape, indexes, take_out(document, data, paths, names))


def _without(data: dict[str, Any], paths: tuple[Path, ...], indexes: Indexes) -> dict[str, Any]:
    """Return `data` without the parts that hold a fault."""
    whole = {path[0] for path in paths if len(path) == 1}
    rest: dict[str, Any] = {key: value for key, value in data.items() if key not in whole} | {
        "version": 1
    }
    for section, sound in indexes.items():
        if isinstance(rest.get(section), list):
            rest[section] = [rest[section][index] for index in sound]
    for section in _MAPPINGS:
        bad = {path[1] for path in paths if path[0] == section and len(path) > 1}
        if isinstance(rest.get(section), dict):
            rest[section] = {key: value for key, value in rest[section].items() if key not in bad}
    return rest


def _clashes(documents: Sequence[Document], filled: Sequence[Any]) -> list[Diagnostic]:
    """Return a fault for each id used twice, and each name that files define differently."""
    faults: list[Diagnostic] = []
    seen: dict[tuple[str, str], tuple[Where, Any]] = {}

    def meet(kind: str, name: str, where: Where, value: Any, help: str) -> None:
        first = seen.setdefault((kind, name), (where, value))
        if first[0] != where and (kind in ("rule", "check") or first[1] != value):
            faults.append(
                Diagnostic(
                    "id/duplicate",
                    f"the {kind} {show(name)} is defined twice",
                    where,
                    f"first at {first[0]}; {help}",
                )
            )

    for document, data in zip(documents, filled, strict=True):
        for kind, section in (("rule", "rules"), ("check", "require")):
            listed = data.get(section) if isinstance(data, dict) else None
            for index, part in enumerate(listed if isinstance(listed, list) else []):
                if isinstance(part, dict) and isinstance(part.get("id"), str):
                    meet(
                        kind,
                        part["id"],
                        document.value((section, index, "id")),
                        None,
                        "ids are unique over all files: rename one",
                    )
        for kind, section in _NAMED:
            for name, value in _section(data, section).items():
                meet(
                    kind,
                    name,
                    document.key((section, name)),
                    freeze(value),
                    "the files define it differently: rename one",
                )
        if _section(data, "defaults"):
            help = "the files give different defaults: move them into the rules"
            meet("section", "defaults", document.key(("defaults",)), freeze(data["defaults"]), help)
    return faults
