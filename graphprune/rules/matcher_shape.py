"""The shape of matchers: conditions on one layer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PlainValidator, Tag, WithJsonSchema, model_validator

from graphprune.rules.scalars import Count, Fault, NumberValue, PositiveCount, RegexText, Text, Truth, parse_text
from graphprune.rules.shape import NEGATION, OPTIONAL, Conditions, Shape, kind_of

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


NumberTestValue = Annotated[Annotated[Count, Tag("~value")] | Annotated[NumberTestShape, Tag("~mapping")], kind_of(False, "must be a number or a number test")]


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


NameValue = Annotated[
    Annotated[Text, Tag("~text")] | Annotated[Texts, Tag("~list")] | Annotated[NamePatternShape, Tag("~mapping")],
    kind_of(True, "must be an address, a list of addresses, {glob: ...} or {regex: ...}"),
]


def _text_or_list(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (parse_text(value),)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item.strip() for item in value):
        raise Fault("value/type", "must be a name or a list of names")
    return tuple(value)


TextOrList = Annotated[
    tuple[str, ...], PlainValidator(_text_or_list), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
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


ConfigTestValue = Annotated[Annotated[Any, Tag("~value")] | Annotated[ConfigTestShape, Tag("~mapping")], kind_of(False, "must be a value or a test")]


class MatcherShape(Conditions):
    """Conditions on one layer; all must hold."""

    name: NameValue = OPTIONAL
    type: TextOrList = OPTIONAL
    isa: TextOrList = OPTIONAL
    config: Annotated[dict[str, ConfigTestValue], Field(min_length=1)] = OPTIONAL
    params: NumberTestValue = OPTIONAL
    trainable: Truth = OPTIONAL
    wrapped: Truth = OPTIONAL
    produces_output: Truth = OPTIONAL
    calls: NumberTestValue = OPTIONAL
    inside: MatcherValue = OPTIONAL
    first: MatcherValue = OPTIONAL
    last: MatcherValue = OPTIONAL
    all_of: Annotated[list[MatcherValue], Field(min_length=1, alias="all")] = OPTIONAL
    any_of: Annotated[list[MatcherValue], Field(min_length=1, alias="any")] = OPTIONAL
    negation: MatcherValue = NEGATION


def _matcher_kind(value: Any) -> str | None:
    return "~mapping" if isinstance(value, dict) else "~star" if value == "*" else None


MatcherValue = Annotated[
    Annotated[Literal["*"], Tag("~star")] | Annotated[MatcherShape, Tag("~mapping")],
    Discriminator(_matcher_kind, custom_error_type="value/type", custom_error_message='must be a mapping of conditions, such as {name: conv_1}, or "*"'),
]


class MatchShape(Shape):
    """One matcher alone, as `graphprune layers --match` takes it."""

    match: MatcherValue


for _shape in (ConfigTestShape, MatcherShape):
    _shape.model_rebuild()
