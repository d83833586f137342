"""The shape of matchers: conditions on one layer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from graphprune.rules.shapes.scalars import (
    Count,
    Fault,
    NumberValue,
    PositiveCount,
    RegexText,
    Share,
    Text,
    Truth,
    parse_text,
)
from graphprune.rules.shapes.shape import NEGATION, OPTIONAL, Conditions, Shape, kind_of

Texts = Annotated[list[Text], Field(min_length=1)]


class NumberTestShape(Conditions):
    """Tests of a whole number."""

    eq: Count = OPTIONAL
    ne: Count = OPTIONAL
    gt: Count = OPTIONAL
    gte: Count = OPTIONAL
    lt: Count = OPTIONAL
    lte: Count = OPTIONAL
    one_of: Annotated[list[Count], Field(min_length=1, alias="in")] = OPTIONAL
    multiple_of: PositiveCount = OPTIONAL


NumberTestValue = Annotated[
    Annotated[Count, Tag("~value")] | Annotated[NumberTestShape, Tag("~mapping")],
    kind_of(False, "must be a number or a number test"),
]


class ShareTestShape(Conditions):
    """Tests of a share of zeros."""

    eq: Share = OPTIONAL
    ne: Share = OPTIONAL
    gt: Share = OPTIONAL
    gte: Share = OPTIONAL
    lt: Share = OPTIONAL
    lte: Share = OPTIONAL


ShareTestValue = Annotated[
    Annotated[Share, Tag("~value")] | Annotated[ShareTestShape, Tag("~mapping")],
    kind_of(False, "must be a share or a test of shares"),
]


class NamePatternShape(Shape):
    """A pattern for addresses: exactly one of the two."""

    glob: Text = OPTIONAL
    regex: RegexText = OPTIONAL

    @model_validator(mode="after")
    def check_one(self) -> NamePatternShape:
        """Refuse none and both."""
        if len(self.model_fields_set) != 1:
            raise Fault("value/range", "must be exactly one of {glob: ...} and {regex: ...}")
        return self


KernelValue = Annotated[
    Annotated[Annotated[list[PositiveCount], Field(min_length=1)], Tag("~list")]
    | Annotated[Count, Tag("~value")]
    | Annotated[NumberTestShape, Tag("~mapping")],
    Discriminator(
        lambda value: (
            "~mapping"
            if isinstance(value, dict)
            else "~list"
            if isinstance(value, list)
            else "~value"
        )
    ),
]

NameValue = Annotated[
    Annotated[Text, Tag("~text")]
    | Annotated[Texts, Tag("~list")]
    | Annotated[NamePatternShape, Tag("~mapping")],
    kind_of(True, "must be an address, a list of addresses, {glob: ...} or {regex: ...}"),
]


def _names(value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        return (parse_text(value),)
    if not isinstance(value, list):
        raise Fault("value/type", "must be a name or a list of names")
    if not value:
        raise Fault("value/range", "must not be empty")
    return tuple(value)


_NAME = {"type": "string", "pattern": r"\S"}
TextOrList = Annotated[
    tuple[Text, ...],
    BeforeValidator(_names),
    WithJsonSchema({"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}),
]


class ConfigTestShape(Conditions):
    """Tests of one value of a layer's config."""

    one_of: Annotated[list[Any], Field(min_length=1, alias="in")] = OPTIONAL
    negation: ConfigTestValue = NEGATION
    regex: RegexText = OPTIONAL
    gt: NumberValue = OPTIONAL
    gte: NumberValue = OPTIONAL
    lt: NumberValue = OPTIONAL
    lte: NumberValue = OPTIONAL
    exists: Truth = OPTIONAL


ConfigTestValue = Annotated[
    Annotated[Any, Tag("~value")] | Annotated[ConfigTestShape, Tag("~mapping")],
    kind_of(False, "must be a value or a test"),
]


class WeightShape(Conditions):
    """Tests of one prunable tensor; all must hold for the same one."""

    name: TextOrList = OPTIONAL
    rank: NumberTestValue = OPTIONAL
    inputs: Annotated[NumberTestValue, Field(alias="in")] = OPTIONAL
    outputs: Annotated[NumberTestValue, Field(alias="out")] = OPTIONAL
    kernel: KernelValue = OPTIONAL
    dtype: TextOrList = OPTIONAL
    sparsity: ShareTestValue = OPTIONAL


class MatcherShape(Conditions):
    """Conditions on one layer; all must hold."""

    name: NameValue = OPTIONAL
    type: TextOrList = OPTIONAL
    isa: TextOrList = OPTIONAL
    config: Annotated[dict[str, ConfigTestValue], Field(min_length=1)] = OPTIONAL
    params: NumberTestValue = OPTIONAL
    weight: WeightShape = OPTIONAL
    trainable: Truth = OPTIONAL
    wrapped: Truth = OPTIONAL
    produces_output: Truth = OPTIONAL
    calls: NumberTestValue = OPTIONAL
    inside: MatcherValue = OPTIONAL
    first: MatcherValue = OPTIONAL
    last: MatcherValue = OPTIONAL
    fed_by: NeighbourValue = OPTIONAL
    feeds: NeighbourValue = OPTIONAL
    after: ReachValue = OPTIONAL
    before: ReachValue = OPTIONAL
    between: BetweenShape = OPTIONAL
    all_of: Annotated[list[MatcherValue], Field(min_length=1, alias="all")] = OPTIONAL
    any_of: Annotated[list[MatcherValue], Field(min_length=1, alias="any")] = OPTIONAL
    negation: MatcherValue = NEGATION
    use: Text = OPTIONAL

    @model_validator(mode="after")
    def check_has_condition(self) -> MatcherShape:
        """Refuse a mapping that says only how far to look, and not for what."""
        if self.model_fields_set and not self.model_fields_set & MatcherShape.model_fields.keys():
            beside = " and ".join(
                name for name in type(self).model_fields if name not in MatcherShape.model_fields
            )
            raise Fault(
                "value/range",
                f"must hold a condition beside {beside}",
                "add one, such as 'type: Conv2D', or 'all: [\"*\"]' for any layer",
            )
        return self


class NeighbourShape(MatcherShape):
    """A matcher for direct producers or consumers."""

    every: Truth = OPTIONAL
    only: Truth = OPTIONAL


class ReachShape(MatcherShape):
    """A matcher for ancestors or descendants."""

    hops: PositiveCount = OPTIONAL
    until: MatcherValue = OPTIONAL


class BetweenShape(Shape):
    """The two ends of a region."""

    after: MatcherValue
    before: MatcherValue


def _matcher_kind(value: Any) -> str | None:
    return "~mapping" if isinstance(value, dict) else "~star" if value == "*" else None


_MATCHER_KIND = Discriminator(
    _matcher_kind,
    custom_error_type="value/type",
    custom_error_message='must be a mapping of conditions, such as {name: conv_1}, or "*"',
)
_Star = Annotated[Literal["*"], Tag("~star")]
MatcherValue = Annotated[_Star | Annotated[MatcherShape, Tag("~mapping")], _MATCHER_KIND]
NeighbourValue = Annotated[_Star | Annotated[NeighbourShape, Tag("~mapping")], _MATCHER_KIND]
ReachValue = Annotated[_Star | Annotated[ReachShape, Tag("~mapping")], _MATCHER_KIND]


class MatchShape(Shape):
    """One matcher alone, as `graphprune layers --match` takes it."""

    match: MatcherValue


for _shape in (
    ConfigTestShape,
    WeightShape,
    MatcherShape,
    NeighbourShape,
    ReachShape,
    BetweenShape,
    MatchShape,
):
    _shape.model_rebuild()
