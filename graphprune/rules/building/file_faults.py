"""Validation errors of pydantic as diagnostics in the terms of the rule language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from graphprune.diagnostics.diagnostic import MAX_OF_A_KIND, Diagnostic, count_rest
from graphprune.rules.building.key_hints import meant_key, missing_help, unknown_help, value_help
from graphprune.rules.building.rule_file import FileShape, two_actions
from graphprune.rules.matchers.config import freeze, thaw
from graphprune.rules.matchers.keys import MatchShape
from graphprune.rules.text.document import Document, Path
from graphprune.rules.text.shape import FORM_SHOWN, MATCHER_WANTED, Fault, Form, Shape
from graphprune.rules.text.words import QUOTES

AnyShape = TypeVar("AnyShape", bound=Shape)

_EXPECTED = {
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "string_type": "must be text",
    "too_short": "must not be empty",
    "invalid_key": "must have text as keys",
    "recursion_loop": "must not contain itself",
}
_FORM_OF_TYPE: Mapping[str, Form] = {FORM_SHOWN: "shown", MATCHER_WANTED: "matcher"}
_PARTS = {
    "rules": "rule",
    "schedules": "schedule",
    "budgets": "budget",
    "vars": "variable",
    "selectors": "selector",
    "require": "check",
    "layers": "layer type",
    "cases": "case",
}
_PLAIN = {name: f"{name}: " for name in ("defaults", "train", "checkpoints", "on", "load", "show")}
"""Sections that hold keys, and no named entries."""


def check_shape(
    document: Document, data: Any, schedules: frozenset[str]
) -> tuple[FileShape | None, tuple[Diagnostic, ...], tuple[Path, ...]]:
    """Return the file's shape (None with faults), the faults, and their paths.

    Args:
        document: The file, with the positions of its values.
        data: The document's values with variables substituted and without `x-` keys.
        schedules: The names of the schedules of all files.
    """
    return _validate(FileShape, document, data, schedules)


def check_match_shape(document: Document) -> tuple[MatchShape | None, tuple[Diagnostic, ...]]:
    """Return the shape of a document with one `match` (None with faults), and the faults."""
    shape, faults, _ = _validate(MatchShape, document, document.data, frozenset())
    return shape, faults


def check_document(
    kind: type[AnyShape], document: Document
) -> tuple[AnyShape | None, tuple[Diagnostic, ...]]:
    """Return the shape of a document that is not a rule file (None with faults), and the faults."""
    shape, faults, _ = _validate(kind, document, document.data, frozenset())
    return shape, faults


def _validate(
    kind: type[AnyShape], document: Document, data: Any, schedules: frozenset[str]
) -> tuple[AnyShape | None, tuple[Diagnostic, ...], tuple[Path, ...]]:
    context: dict[str, Any] = {"schedules": schedules, "shapes": {}}
    try:
        return kind.model_validate(data, context=context), (), ()
    except ValidationError as err:
        found = [(_path(detail), detail) for detail in err.errors()]
        found = _without_misspelt(found, data, context["shapes"])
        faults = _diagnostics(kind, document, data, found, context["shapes"])
        judged = {path for path, _ in found}
        faults += [fault for path, fault in _two_actions(document, data) if path not in judged]
        return None, tuple(faults), tuple(path for path, _ in found)


def _diagnostics(
    kind: type[Shape],
    document: Document,
    data: Any,
    found: list[tuple[Path, Any]],
    shapes: Mapping[int, type[Shape]],
) -> list[Diagnostic]:
    """Return the faults as diagnostics: the first of each kind, and a count of the rest.

    Help needs a search, so only the listed faults have one.
    """
    seen: Counter[str] = Counter()
    listed: list[Diagnostic] = []
    for path, detail in found:
        slug = _slug(detail)
        seen[slug] += 1
        if seen[slug] <= MAX_OF_A_KIND:
            if not path:
                listed.append(_whole_fault(kind, document, data, detail))
            else:
                listed.append(_diagnostic(document, data, path, detail, shapes))
    return listed + [
        count_rest(slug, "error", count - MAX_OF_A_KIND)
        for slug, count in seen.items()
        if count > MAX_OF_A_KIND
    ]


def _slug(detail: Mapping[str, Any]) -> str:
    return {"extra_forbidden": "key/unknown", "missing": "key/missing"}.get(
        detail["type"]
    ) or _fault(detail).slug


def _without_misspelt(
    found: list[tuple[Path, Any]], data: Any, shapes: Mapping[int, type[Shape]]
) -> list[tuple[Path, Any]]:
    """Return the faults without missing keys that are only misspelt: one typo is one fault."""
    unknown = [path for path, detail in found if detail["type"] == "extra_forbidden"][
        :MAX_OF_A_KIND
    ]
    meant = {
        (*path[:-1], meant_key(shapes[id(find_at(data, path[:-1]))], str(path[-1])))
        for path in unknown
    }
    return [
        (path, detail) for path, detail in found if detail["type"] != "missing" or path not in meant
    ]


def _two_actions(document: Document, data: Any) -> Iterator[tuple[Path, Diagnostic]]:
    """Yield a fault for each rule with both actions.

    Pydantic skips the checks of a whole rule if its parts have faults.
    """
    rules = data.get("rules") if isinstance(data, Mapping) else None
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, Mapping) and {"prune", "keep"} <= rule.keys():
            path: Path = ("rules", index)
            fault = two_actions()
            yield (
                path,
                Diagnostic(
                    fault.slug,
                    f"{subject_of(data, path)}{fault.expectation}",
                    document.value(path),
                    fault.help,
                ),
            )


def subject_of(data: Any, path: Path) -> str:
    """Return the beginning of a message about the value at `path`: the entry that it belongs to.

    Example:
        >>> subject_of({"rules": [{"id": "wide"}]}, ("rules", 0, "prune"))
        "rule 'wide': "
        >>> subject_of({}, ("schedules", "ramp", "end"))
        "schedule 'ramp': "
    """
    if len(path) < 2 or path[0] not in _PARTS:
        return _PLAIN.get(str(path[0]), "") if len(path) > 1 else ""
    kind = _PARTS[str(path[0])]
    if kind not in ("rule", "check", "case"):
        return f"{kind} {path[1]!r}: "
    part = find_at(data, path[:2])
    name = part.get("id") if isinstance(part, Mapping) else None
    return (
        f"{kind} {name!r}: "
        if isinstance(name, str) and name.strip()
        else f"{kind} {int(path[1]) + 1}: "
    )


def find_at(data: Any, path: Path) -> Any:
    """Return the value at `path`, or None if there is none."""
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def show(value: Any) -> str:
    """Return a value as messages quote it, shortened if it is long.

    Example:
        >>> show("90 %"), show(1.2), show(True), show(None), show({"a": 1})
        ("'90 %'", '1.2', 'true', 'nothing', '{a: 1}')
    """
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else thaw(freeze(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path(detail: Mapping[str, Any]) -> Path:
    return tuple(
        step for step in detail["loc"] if not (isinstance(step, str) and step.startswith("~"))
    )


def _whole_fault(
    kind: type[Shape], document: Document, data: Any, detail: Mapping[str, Any]
) -> Diagnostic:
    """Return the fault of a file that is no mapping."""
    fault = _fault(detail)
    return Diagnostic(
        fault.slug,
        f"a {kind.noun} {fault.expectation}, got {show(data)}",
        document.value(()),
        kind.opening,
    )


def _diagnostic(
    document: Document,
    data: Any,
    path: Path,
    detail: Mapping[str, Any],
    shapes: Mapping[int, type[Shape]],
) -> Diagnostic:
    subject, kind = subject_of(data, path), detail["type"]
    help: str | None
    if kind == "extra_forbidden":
        help = unknown_help(
            shapes[id(find_at(data, path[:-1]))],
            str(path[-1]),
            _last_key(path[:-1]),
            find_at(data, path),
        )
        return Diagnostic(
            _slug(detail),
            f"{subject}unknown key {path[-1]!r}{_within(path)}",
            document.key(path),
            help,
        )
    if kind == "missing":
        help = missing_help(shapes[id(find_at(data, path[:-1]))], str(path[-1]))
        return Diagnostic(
            _slug(detail),
            f"{subject}the key {path[-1]!r} is missing{_within(path)}",
            document.value(path[:-1]),
            help,
        )
    fault = _fault(detail)
    if fault.says_all:
        return Diagnostic(
            fault.slug, f"{subject}{fault.expectation}", document.value(path), fault.help
        )
    help = fault.help or _value_help(data, path, fault.form, shapes)
    return Diagnostic(
        fault.slug,
        f"{subject}{field_name(path)}{fault.expectation}, got {show(find_at(data, path))}",
        document.value(path),
        help,
    )


def _fault(detail: Mapping[str, Any]) -> Fault:
    """Return an error about one value in the terms of the rule language."""
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, Fault):
        return error
    kind = detail["type"]
    slug = "value/range" if kind == "too_short" else "value/type"
    is_number = kind == "string_type" and isinstance(detail["input"], int | float)
    return Fault(
        slug,
        _EXPECTED.get(kind, detail["msg"]),
        QUOTES if is_number else "",
        form=_FORM_OF_TYPE.get(kind, "example"),
    )


def _value_help(data: Any, path: Path, form: Form, shapes: Mapping[int, type[Shape]]) -> str | None:
    """Return help on how to write the value at `path`, from its nearest known key."""
    label = f"{path[-1]}: " if isinstance(path[-1], str) else ""
    for length in range(len(path), 0, -1):
        shape = shapes.get(id(find_at(data, path[: length - 1])))
        if shape is not None and isinstance(path[length - 1], str):
            return value_help(shape, str(path[length - 1]), find_at(data, path), form, label)
    return None


def _last_key(path: Path) -> str:
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _within(path: Path) -> str:
    names = [step for step in path[2:-1] if isinstance(step, str)]
    return f" in {names[-1]}" if names else ""


def field_name(path: Path) -> str:
    """Return the field that a fault at `path` is about, followed by a space.

    "" if the subject of the message already names it.
    """
    skipped = {"match": 0, **dict.fromkeys(_PARTS, 2), **dict.fromkeys(_PLAIN, 1)}
    if path[0] not in skipped or len(path) == 1:
        return f"{path[0]} "
    names = [step for step in path[skipped[str(path[0])] :] if isinstance(step, str)]
    return f"{names[-1]} " if names else ""
