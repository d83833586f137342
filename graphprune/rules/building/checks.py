"""The section `require`: checks on the model and on the finished plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_validator

from graphprune.rules.matchers.failures import find_contradiction
from graphprune.rules.matchers.keys import MatcherBuilder, MatcherValue
from graphprune.rules.matchers.logic import Use
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.number_test import NumberTestValue, ShareTestValue
from graphprune.rules.text.document import Notes, Path
from graphprune.rules.text.shape import Fault, Shape, optional, required
from graphprune.rules.text.words import Identifier, Text, choice
from graphprune.rules.values.checks import (
    Check,
    Condition,
    CountIs,
    Covers,
    EachSatisfies,
    ResultIs,
)

Side = Annotated[
    Literal["inputs", "outputs"],
    *choice(
        ("inputs", "outputs"),
        {
            "start": "from: inputs",
            "begin": "from: inputs",
            "end": "from: outputs",
            "top": "from: outputs",
        },
        "inputs checks every path from the model's inputs, outputs every path to its outputs",
    ),
]
Severity = Annotated[
    Literal["error", "warn"],
    *choice(
        ("error", "warn"),
        {
            "warning": "severity: warn",
            "fatal": "severity: error",
            "info": "severity: warn",
            "note": "severity: warn",
        },
        "error stops the plan, warn only reports",
    ),
]

FORMS = ("count", "every", "covers", "result")
_FORM = "'count: {of: {type: Dense}, is: {gte: 1}}'"


class CountShape(Shape):
    """How many layers match."""

    of: MatcherValue = required("Which layers are counted.", "{type: Dense}")
    test: NumberTestValue = required("The number, or a test of it.", "{gte: 1}", alias="is")


class CoversShape(Shape):
    """The layers of which every path must contain one."""

    start: Side = required("Where the paths begin: inputs or outputs.", "inputs", alias="from")
    by: MatcherValue = required("The layers of which each path must contain one.", "{type: Conv2D}")


class ResultShape(Shape):
    """The sparsity of layers in the finished plan."""

    of: MatcherValue = required("The layers, taken together.", "{type: Dense}")
    sparsity: ShareTestValue = required("Their share of zeros in the finished plan.", "{gte: 80%}")


class CheckShape(Shape):
    """One check."""

    meant: ClassVar[Mapping[str, str]] = {"name": "id", "level": "severity", "all": "every"}
    missing: ClassVar[Mapping[str, str]] = {
        "id": "add one, such as 'id: has-dense'; plans list checks by id"
    }

    id: Identifier = required("The check's name, unique over all files.", "has-dense")
    message: Text = optional("A message to show when it fails.", "the classifier is missing")
    severity: Severity = optional("error (stops the plan) or warn.", "warn")
    count: CountShape = optional("How many layers match.", "{of: {type: Dense}, is: {gte: 1}}")
    every: MatcherValue = optional(
        "Each layer that matches this must match 'satisfies' too.", "{after: {name: stem}}"
    )
    satisfies: MatcherValue = optional(
        "What each layer of 'every' must match.", "{type: [Conv2D, ReLU]}"
    )
    covers: CoversShape = optional(
        (
            "Every path from the inputs forward, or from the outputs backward, contains a layer"
            " that matches."
        ),
        "{from: inputs, by: {type: Conv2D}}",
    )
    result: ResultShape = optional(
        "The sparsity of the matching layers in the finished plan.",
        "{of: {type: Dense}, sparsity: {gte: 80%}}",
    )

    @model_validator(mode="after")
    def check_one_form(self) -> CheckShape:
        """Refuse a check with no form, with several forms, or with half of one."""
        given = [form for form in FORMS if form in self.model_fields_set]
        has_satisfies = "satisfies" in self.model_fields_set
        if given == ["every"] and not has_satisfies:
            raise Fault(
                "key/missing",
                "the key 'satisfies' is missing beside 'every'",
                "add what each of those layers must match: 'satisfies: {type: Conv2D}'",
                says_all=True,
            )
        if not given and has_satisfies:
            raise Fault(
                "key/missing",
                "the key 'every' is missing beside 'satisfies'",
                "add which layers must match it: 'every: {after: {type: Conv2D}}'",
                says_all=True,
            )
        if len(given) != 1 or has_satisfies != (given == ["every"]):
            found = given
            if has_satisfies and "every" not in given:
                found = [*given, "satisfies"]
            got = " beside ".join(found) or "none of them"
            help = "make an entry of each" if found else f"add one, such as {_FORM}"
            raise Fault(
                "value/range",
                "must have exactly one of count, every (with satisfies), covers and result, got"
                f" {got}",
                help,
                says_all=True,
            )
        return self


def build_check(shape: CheckShape, path: Path, notes: Notes, selectors: Mapping[str, Use]) -> Check:
    """Return the check at `path`."""
    builder = _CheckBuilder(notes, selectors, f"{notes.name('check', shape.id)}: ")
    condition = builder.condition(shape, path)
    return Check(
        shape.id,
        notes.document.value(path),
        condition,
        shape.given("message") or "",
        shape.given("severity") or "error",
    )


class _CheckBuilder:
    def __init__(self, notes: Notes, selectors: Mapping[str, Use], subject: str) -> None:
        self._notes = notes
        self._matchers = MatcherBuilder(notes, selectors)
        self._subject = subject

    def condition(self, shape: CheckShape, path: Path) -> Condition:
        if shape.given("count") is not None:
            test = self._matchers.number_test(
                shape.count.test, (*path, "count", "is"), self._subject
            )
            return CountIs(self._matcher(shape.count.of, (*path, "count", "of")), test)
        if shape.given("covers") is not None:
            return Covers(
                shape.covers.start, self._matcher(shape.covers.by, (*path, "covers", "by"))
            )
        if shape.given("result") is not None:
            sparsity = self._matchers.share_test(
                shape.result.sparsity, (*path, "result", "sparsity"), self._subject
            )
            return ResultIs(self._matcher(shape.result.of, (*path, "result", "of")), sparsity)
        return EachSatisfies(
            self._matcher(shape.every, (*path, "every")),
            self._matcher(shape.satisfies, (*path, "satisfies")),
        )

    def _matcher(self, shape: Any, path: Path) -> Matcher:
        matcher = self._matchers.matcher(shape, path, self._subject)
        found = find_contradiction(matcher)
        if found is not None:
            self._notes.fault(
                "match/contradiction",
                f"{self._subject}{path[-1]} cannot hold for any layer: {found.reason}",
                path,
                found.help,
            )
        return matcher
