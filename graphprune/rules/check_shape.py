"""The shape of `require`: checks on the model and on the finished plan."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from graphprune.rules.matcher_shape import MatcherValue, NumberTestValue, ShareTestValue
from graphprune.rules.scalars import Fault, Identifier, Text, parse_choice
from graphprune.rules.shape import OPTIONAL, Shape

FORMS = ("count", "every", "covers", "result")
ONE_FORM = "must have exactly one of count, every (with satisfies), covers and result"


class CountShape(Shape):
    """How many layers match."""

    of: MatcherValue
    test: NumberTestValue = Field(alias="is")


Side = Annotated[
    Literal["inputs", "outputs"],
    PlainValidator(lambda value: parse_choice(value, ("inputs", "outputs"))),
    WithJsonSchema({"enum": ["inputs", "outputs"]}),
]
Severity = Annotated[
    Literal["error", "warn"], PlainValidator(lambda value: parse_choice(value, ("error", "warn"))), WithJsonSchema({"enum": ["error", "warn"]})
]


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
        if len(given) != 1 or ("satisfies" in self.model_fields_set) != (given == ["every"]):
            raise Fault("value/range", ONE_FORM, "write 'every: M' and 'satisfies: N' side by side, or split the entry into two")
        return self
