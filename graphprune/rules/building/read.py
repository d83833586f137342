"""Rule files to a rule set: every fault of every file in one run."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphprune.archive.collector import collector_paused
from graphprune.arguments import check_path, describe, wrong_type
from graphprune.errors import Diagnostic, RuleError, Where, sort_by_place
from graphprune.rules.building.axes import find_unknown_axes
from graphprune.rules.building.build import build_rule
from graphprune.rules.building.check_build import build_check
from graphprune.rules.building.gather import (
    FileParts,
    gather_actions,
    gather_overrides,
    known_ids,
    rule_ids,
)
from graphprune.rules.building.hidden_faults import find_hidden_faults
from graphprune.rules.building.layers_build import build_custom_layer
from graphprune.rules.building.remains import Remains, take_out
from graphprune.rules.building.selectors import Defined, build_selectors
from graphprune.rules.building.settings import change_settings
from graphprune.rules.building.switches import select_rules
from graphprune.rules.building.unused import find_unused_names
from graphprune.rules.building.variables import Variable, collect_variables, fill_in
from graphprune.rules.shapes.file_faults import check_shape, show
from graphprune.rules.shapes.file_shape import FileShape
from graphprune.rules.text.notes import Notes
from graphprune.rules.text.shipped import PREFIX, find_meant_file, find_rule_file
from graphprune.rules.text.text_encoding import decode_text
from graphprune.rules.text.yaml_text import MAX_BYTES, Document, Path, parse_document
from graphprune.rules.values.checks import Check
from graphprune.rules.values.config_test import freeze
from graphprune.rules.values.custom_layers import CustomLayer
from graphprune.rules.values.matchers import Use
from graphprune.rules.values.rule_set import Rule, RuleSet, Switches

Indexes = Mapping[str, list[int]]
"""By section that is a list, which of its entries hold together."""

_TAKEN = "the path of a rule file, 'builtin:NAME', or a dict"
_NOT_TAKEN = "rules that were read already are used as they are, as in make_plan(graph, rules)"
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
    """What the files hold, as it is built."""

    rules: list[Rule] = field(default_factory=list)
    selectors: tuple[Use, ...] = ()
    checks: list[Check] = field(default_factory=list)
    custom_layers: list[CustomLayer] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Checked:
    """The shape of a file's sound parts, where its sound rules and checks stand in the file's own
    lists, and what remains of the others.
    """

    shape: FileShape | None
    indexes: Indexes
    remains: Remains = field(default_factory=Remains)


def read_rules(
    *paths: str | os.PathLike[str] | Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    off: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> RuleSet:
    """Return the rules of all files together; their order never changes meaning.

    Schedules, budgets, defaults and variables of one file are known in all; a name may be defined
    twice only with the same value.

    Args:
        *paths: Rule files (YAML or JSON), or `builtin:NAME` for one that ships; or what such a file
            holds, as a dict.
        variables: Values for variables of the files, as text: `{"final": "0.8"}`.
        only: Ids of the rules that alone are used; none means all.
        off: Ids of rules that are not used.
        settings: Values for fields of actions and budgets, as YAML text:
            `{"dense-90.prune.sparsity": "0.5", "budgets.net.sparsity": "90%"}`.

    Raises:
        RuleError: with every fault of every file, and the warnings beside them; those of files
            without faults are in the rule set.
        TypeError: a rule file is neither a path nor a dict.
    """
    data = [path for path in paths if isinstance(path, Mapping)]
    names = [
        check_path("rules", path, _TAKEN, _NOT_TAKEN)
        for path in paths
        if not isinstance(path, Mapping)
    ]
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(
            os.path.realpath(name) if name and not name.startswith(PREFIX) else name, []
        ).append(name)
    texts = [
        *map(_read_text, (same[0] for same in spellings.values())),
        *itertools.starmap(_write_text, enumerate(data, start=1)),
    ]
    faults = [text for text in texts if isinstance(text, Diagnostic)]
    faults += [_given_again(same) for file, same in spellings.items() if file and len(same) > 1]
    switches = Switches(
        tuple(only), tuple(off), tuple((variables or {}).items()), tuple((settings or {}).items())
    )
    return _parse_all(
        [text for text in texts if not isinstance(text, Diagnostic)], switches, faults
    )


def rule_set_of(rules: Any) -> RuleSet:
    """Return `rules`, or the rules that it names: a rule file, `builtin:NAME`, a dict, or a list of
    these.

    Raises:
        RuleError: the rules have faults.
        TypeError: `rules` is something else.
    """
    if isinstance(rules, RuleSet):
        return rules
    if isinstance(rules, list | tuple) and rules:
        return read_rules(*rules)
    if not isinstance(rules, str | os.PathLike | Mapping):
        raise wrong_type("rules", f"a RuleSet, {_TAKEN}", rules)
    return read_rules(rules)


def _write_text(number: int, data: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the text of rules that were given as a dict; faults name the line of this
    text.
    """
    name = "<dict>" if number == 1 else f"<dict {number}>"
    try:
        return name, json.dumps(data, indent=2, ensure_ascii=False, default=_refuse_value)
    except ValueError as err:
        raise ValueError(
            f"rules: {name} cannot be written as JSON ({err}); give text, numbers, lists and dicts"
        ) from err


def _refuse_value(value: Any) -> None:
    raise wrong_type(
        "rules",
        "a dict of text, numbers, lists and dicts",
        value,
        "write it as a number or as text",
    )


def _given_again(names: Sequence[str]) -> Diagnostic:
    others = [repr(name) for name in dict.fromkeys(names) if name != names[0]]
    also = f", also as {' and '.join(others)}" if others else ""
    return Diagnostic(
        "id/duplicate",
        f"the rule file is given {len(names)} times{also}",
        Where(names[0]),
        "give it once",
    )


def parse_rules(
    text: str,
    file: str,
    variables: Mapping[str, str] | None = None,
    *,
    switches: Switches | None = None,
) -> RuleSet:
    r"""Return the rules in `text`; `file` is the name that faults print. `variables` are part of
    `switches` where those are given.

    Raises:
        RuleError: with every fault.

    Example:
        >>> rules = parse_rules("version: 1\nrules:\n- {id: stem, match: {name: conv_1}, keep: true}", "stem.yaml")
        >>> [(rule.id, str(rule.where)) for rule in rules.rules]
        [('stem', 'stem.yaml:3:3')]
    """
    return _parse_all(
        [(file, text)], switches or Switches(variables=tuple((variables or {}).items())), []
    )


def _read_text(path: str) -> tuple[str, str] | Diagnostic:
    where = Where(path or "''")
    if "\n" in path:
        help = "parse text with graphprune.rules.parse_rules(text, name), or write it to a file"
        return Diagnostic(
            "file/unreadable",
            "the rules themselves, where the path of a rule file is wanted",
            Where(describe(path)),
            help,
        )
    if not path:
        return Diagnostic(
            "file/unreadable",
            "the name of the rule file is empty",
            where,
            "give the path of a file; is a shell variable unset?",
        )
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
            find_meant_file(path)
            or "check the path; files that ship with graphprune are named builtin:NAME (graphprune rules lists them)",
        )
    except IsADirectoryError:
        return Diagnostic(
            "file/unreadable", "a folder, not a rule file", where, "name the .yaml file inside it"
        )
    except (OSError, ValueError) as err:
        return Diagnostic(
            "file/unreadable", f"cannot be opened: {getattr(err, 'strerror', None) or err}", where
        )
    if len(content) > MAX_BYTES:
        return Diagnostic(
            "file/unreadable",
            f"larger than {MAX_BYTES:,} bytes",
            where,
            "a rule file is a page or two of text; is this a model?",
        )
    text = decode_text(content, path)
    return text if isinstance(text, Diagnostic) else (path, text)


@collector_paused()
def _parse_all(
    texts: Sequence[tuple[str, str]], switches: Switches, faults: list[Diagnostic]
) -> RuleSet:
    documents = [parse_document(text, file) for file, text in texts]
    unread = bool(faults)
    faults += itertools.chain.from_iterable(document.faults for document in documents)
    unread = unread or not all(document.is_readable for document in documents)
    documents = [document for document in documents if document.is_readable]
    written = documents
    documents, more = change_settings(documents, switches.settings)
    faults += [] if unread else more  # what is set may stand in a file that could not be read
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
    for document in documents:
        data, more = fill_in(document, variables)
        filled.append(data)
        faults += more
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
        parts.checks += [
            build_check(part, path, file.notes, selectors) for part, path in file.listed("require")
        ]
        parts.custom_layers += [
            build_custom_layer(name, part, file.notes)
            for name, part in (file.section("layers") or {}).items()
        ]
    faults += itertools.chain.from_iterable(file.notes.faults for file in files)
    for document, one in zip(documents, checked, strict=True):
        faults += find_hidden_faults(document, one.remains, actions, selectors, known_ids(files))
    _forget_consequences(faults)
    spare = frozenset(itertools.chain.from_iterable(one.remains.texts for one in checked))
    parts.warnings += find_unknown_axes(parts.rules, parts.custom_layers)
    parts.warnings += find_unused_names((*written, *documents), files, defined, spare, faults)
    return parts


def _defined_selectors(files: Sequence[FileParts]) -> Defined:
    """Return the selectors of all files by name, those with faults of their own too."""
    defined: dict[str, tuple[Document, Any]] = {}
    for file in files:
        sound = file.section("selectors") or {}
        for name in _section(file.data, "selectors"):
            if isinstance(name, str):
                defined.setdefault(name, (file.notes.document, sound.get(name)))
    return defined


def _forget_consequences(faults: list[Diagnostic]) -> None:
    """Drop what is said of a value only because its variable is unknown, or its text has a fault of
    its own.
    """
    places = {
        fault.where
        for fault in faults
        if fault.slug == "var/unknown" or fault.message.startswith("a variable must be")
    }
    faults[:] = [
        fault
        for fault in faults
        if fault.where not in places
        or fault.slug == "var/unknown"
        or fault.message.startswith("a variable must be")
    ]


def _section(data: Any, name: str) -> dict[str, Any]:
    section = data.get(name) if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _checked(
    document: Document, data: Any, names: frozenset[str], faults: list[Diagnostic]
) -> _Checked:
    """Return the parts of a file that hold together, and what is left of the others; adds to
    `faults` what is wrong with its shape.
    """
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
    """Return a fault for each id of a rule or check that is not unique, and for each name, or the
    defaults, that two files define differently.
    """
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
                    "the files give it different values: rename one",
                )
        if _section(data, "defaults"):
            help = "the files give different defaults: move them into the rules"
            meet("section", "defaults", document.key(("defaults",)), freeze(data["defaults"]), help)
    return faults
