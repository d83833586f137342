"""Rule tests as values: rules, graphs, and the layers that the rules should select."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from graphprune.diagnostics.diagnostic import Diagnostic, Where, sort_by_place
from graphprune.diagnostics.slugs import read_slugs
from graphprune.errors import RuleError
from graphprune.rules.building.file_faults import check_document
from graphprune.rules.text.document import Document, Path
from graphprune.rules.text.files import PREFIX, read_text
from graphprune.rules.text.shape import Fault, Shape, optional, required
from graphprune.rules.text.words import Text, TextOrList, Version
from graphprune.rules.text.yaml_text import parse_document
from graphprune.suggestions import closest

SUFFIXES = ("_test.yaml", "_test.yml", "_test.json")
SNAPSHOTS = "__snapshots__"
_NO_FILE = "name a file of rule tests, or its folder"
_SLUG = re.compile(r"[a-z]+/[a-z-]+")


def _snapshot(value: Any) -> Literal["snapshot"]:
    if value != "snapshot":
        raise Fault(
            "value/range",
            "must be snapshot",
            f"write 'plan: snapshot'; graphprune test --update writes the plan into {SNAPSHOTS}",
        )
    return "snapshot"


def _slug(value: Any) -> str:
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise Fault(
            "value/range",
            "must be the slug of a diagnostic, such as rule/no-match",
            "graphprune lint --explain list names them",
        )
    if value not in read_slugs():
        raise Fault(
            "value/range",
            "must be the slug of a diagnostic",
            closest(value, read_slugs()) or "graphprune lint --explain list names them",
        )
    return value


Slug = Annotated[
    str, PlainValidator(_slug), WithJsonSchema({"type": "string", "pattern": f"^{_SLUG.pattern}$"})
]


class CaseShape(Shape):
    """One case: a graph and the expected result of the rules."""

    takes_variables: ClassVar[bool] = False

    graph: Text = required(
        (
            "Path of a graph (written by `graphprune graph MODEL -o FILE.json`) or a model,"
            " relative to this file's folder."
        ),
        "lenet.json",
    )
    rule: Text = optional(
        "The rule that 'selects' and 'spares' refer to. Default: all rules that prune.", "dense-90"
    )
    selects: list[Text] = optional("Layers that the rule must decide.", "[fc1, fc2]")
    spares: list[Text] = optional("Layers that the rule must not decide.", "[predictions]")
    plan: Annotated[
        Literal["snapshot"], PlainValidator(_snapshot), WithJsonSchema({"const": "snapshot"})
    ] = optional(
        "snapshot: the plan must equal the one saved by graphprune test --update.", "snapshot"
    )
    fails: Annotated[list[Slug], Field(min_length=1)] = optional(
        (
            "Slugs of the diagnostics that are expected, such as rule/no-match. Other errors fail"
            " the case."
        ),
        "[rule/no-match]",
    )


class CaseFileShape(Shape):
    """A whole file of rule tests."""

    takes_variables: ClassVar[bool] = False
    noun: ClassVar[str] = "rule test file"
    opening: ClassVar[str] = "begin with 'version: 1', 'rules' and a list 'cases'"

    version: Version = required("The version of the rule language: 1.", "1")
    rules: TextOrList = required(
        (
            "The rule file, or a list of them, relative to this file's folder; builtin:NAME for a"
            " built-in one."
        ),
        "prune.yaml",
    )
    cases: Annotated[list[CaseShape], Field(min_length=1)] = required(
        "The cases: a graph and the expected result for each.",
        "[{graph: lenet.json, rule: dense-90, selects: [fc1]}]",
    )


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a test file, with its position."""

    name: str
    where: Where


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a test file.

    Attributes:
        graph: The graph's path as written; `graph_path` is the resolved path.
        rule: The rule that `selects` and `spares` refer to; None means all rules that prune.
        selects, spares: Layers that the rule must decide, and must not decide.
        has_snapshot: Whether the plan is compared with the snapshot saved beside the file.
        fails: The slugs of the diagnostics that are expected.
    """

    where: Where
    graph: str
    graph_path: str
    rule: Named | None
    selects: tuple[Named, ...]
    spares: tuple[Named, ...]
    has_snapshot: bool
    fails: tuple[Named, ...]

    @property
    def name(self) -> str:
        """The case in one line: the graph, and the rule if one is given."""
        return self.graph if self.rule is None else f"{self.graph}  {self.rule.name}"

    @property
    def words(self) -> tuple[str, ...]:
        """The texts that a search covers: the name, `snapshot`, and the expected slugs."""
        return (
            self.name,
            *(("snapshot",) if self.has_snapshot else ()),
            *(slug.name for slug in self.fails),
        )


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A file of rule tests; its paths are relative to its folder."""

    path: str
    rules: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def snapshot_path(self) -> FilePath:
        """The path of the file's snapshots."""
        path = FilePath(self.path)
        return path.parent / SNAPSHOTS / f"{path.stem}.json"


def find_case_files(place: str) -> tuple[str, ...]:
    """Return the files of rule tests at `place`: a file, or a folder with all below it, sorted.

    Raises:
        RuleError: no such file exists.
    """
    root = FilePath(place)
    if root.is_file():
        return (place,)
    found = sorted(
        str(path)
        for path in root.rglob("*")
        if path.name.endswith(SUFFIXES) and not _is_aside(path.relative_to(root))
    )
    if not found:
        message = "no rule tests here" if root.is_dir() else "no such file or folder"
        help = f"rule tests are files named *{SUFFIXES[0]}; graphprune test --help shows one"
        raise RuleError((Diagnostic("file/unreadable", message, Where(place), help),))
    return tuple(found)


def _is_aside(path: FilePath) -> bool:
    return any(part == SNAPSHOTS or part.startswith(".") for part in path.parts)


def read_cases(paths: Iterable[str]) -> tuple[CaseFile, ...]:
    """Return the rule tests in the files at `paths`.

    Raises:
        RuleError: with every fault of every file.
    """
    read = [_read(path) for path in paths]
    faults = [fault for found in read if not isinstance(found, CaseFile) for fault in found]
    if faults:
        raise RuleError(sort_by_place(faults))
    return tuple(found for found in read if isinstance(found, CaseFile))


def _read(path: str) -> CaseFile | tuple[Diagnostic, ...]:
    """Return the rule tests in a file, or all of its faults."""
    text = read_text(FilePath(path), path, CaseFileShape.noun, lambda: _NO_FILE)
    if isinstance(text, Diagnostic):
        return (text,)
    document = parse_document(text, path, CaseFileShape.noun)
    shape, faults = check_document(CaseFileShape, document) if document.is_readable else (None, ())
    if shape is None or document.faults:
        return (*document.faults, *faults)
    folder = os.path.dirname(path)
    rules = tuple(
        rule if rule.startswith(PREFIX) else os.path.normpath(os.path.join(folder, rule))
        for rule in shape.rules
    )
    return CaseFile(
        path,
        rules,
        tuple(
            _case(document, part, ("cases", index), folder)
            for index, part in enumerate(shape.cases)
        ),
    )


def _case(document: Document, shape: CaseShape, path: Path, folder: str) -> Case:
    def named(key: str) -> tuple[Named, ...]:
        return tuple(
            Named(name, document.value((*path, key, index)))
            for index, name in enumerate(shape.given(key) or ())
        )

    rule = shape.given("rule")
    return Case(
        where=document.value(path),
        graph=shape.graph,
        graph_path=os.path.normpath(os.path.join(folder, shape.graph)),
        rule=None if rule is None else Named(rule, document.value((*path, "rule"))),
        selects=named("selects"),
        spares=named("spares"),
        has_snapshot=shape.given("plan") is not None,
        fails=named("fails"),
    )
