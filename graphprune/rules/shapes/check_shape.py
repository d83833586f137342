"""The shape of `require`: checks on the model and on the finished plan."""

from __future__ import annotations

from pydantic import Field, model_validator

from graphprune.rules.shapes.choices import Severity, Side
from graphprune.rules.shapes.matcher_shape import MatcherValue, NumberTestValue, ShareTestValue
from graphprune.rules.shapes.scalars import Fault, Identifier, Text
from graphprune.rules.shapes.shape import OPTIONAL, Shape

FORMS = ("count", "every", "covers", "result")
_FORM = "'count: {of: {type: Dense}, is: {gte: 1}}'"


class CountShape(Shape):
    """How many layers match."""

    of: MatcherValue
    test: NumberTestValue = Field(alias="is")


class CoversShape(Shape):
    """What every path meets."""

    start: Side = Field(alias="from")
    by: MatcherValue


class ResultShape(Shape):
    """How sparse the plan makes layers."""

    of: MatcherValue
    sparsity: ShareTestValue


class CheckShape(Shape):
    """One check."""

    id: Identifier
    message: Text = OPTIONAL
    severity: Severity = OPTIONAL
    count: CountShape = OPTIONAL
    every: MatcherValue = OPTIONAL
    satisfies: MatcherValue = OPTIONAL
    covers: CoversShape = OPTIONAL
    result: ResultShape = OPTIONAL

    @model_validator(mode="after")
    def check_one_form(self) -> CheckShape:
        """Refuse none, two, and half of one."""
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
            found = [
                *given,
                *(
                    ["satisfies"]
                    if has_satisfies and given != ["every"] and "every" not in given
                    else []
                ),
            ]
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
