"""The shape of a rule file as pydantic models: the one source of the checker and of the JSON Schema.

Models see plain values (variables already filled in) and a context: `schedules`, the names that any of the files defines, and `shapes`, into which
each model writes the identity of the mapping that it judged, so that a fault can tell which keys are known there. Tags of unions begin with `~`; they
are not part of a place.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, ValidationInfo, WithJsonSchema, model_validator

from graphprune.rules.scalars import (
    Count,
    Fault,
    Identifier,
    NumberValue,
    OnlyTrue,
    Place,
    PositiveCount,
    Power,
    RegexText,
    Share,
    Text,
    Truth,
    Variable,
    Version,
    parse_text,
)
from graphprune.rules.suggestions import closest
from graphprune.sparsity.schedules import CURVES, Curve

ONE_ACTION = "must have exactly one of 'prune' and 'keep'"
ACTION_HELP = "write 'prune: {sparsity: 90%, schedule: ...}' or 'keep: true'"

# A field with this default may be left out, but not be empty: an empty `name:` is a fault, not a condition that is always true.
OPTIONAL: Any = Field(default=None)
NEGATION: Any = Field(default=None, alias="not")


class Shape(BaseModel):
    """One mapping of the file; unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def remember_shape(cls, data: Any, info: ValidationInfo) -> Any:
        """Note in the context which model judges this mapping."""
        if isinstance(data, dict) and info.context is not None:
            info.context["shapes"][id(data)] = cls
        return data

    def given(self, name: str) -> Any:
        """Return a field's value, or None where the file leaves it out."""
        return getattr(self, name) if name in self.model_fields_set else None


class Conditions(Shape):
    """A mapping that must say something."""

    @model_validator(mode="after")
    def check_not_empty(self) -> Conditions:
        """Refuse `{}`."""
        if not self.model_fields_set:
            raise Fault("value/range", "must hold at least one condition")
        return self


def keys_of(shape: type[Shape]) -> tuple[str, ...]:
    """Return the keys that a mapping of this shape may have."""
    return tuple(info.alias or name for name, info in shape.model_fields.items())


def _kind(text: bool, expectation: str) -> Discriminator:
    """Return the union switch of `text | list | mapping` (with `text`), or `anything | mapping`."""

    def kind(value: Any) -> str | None:
        if isinstance(value, dict):
            return "~mapping"
        if not text:
            return "~value"
        return "~text" if isinstance(value, str) else "~list" if isinstance(value, list) else None

    return Discriminator(kind, custom_error_type="value/type", custom_error_message=expectation)


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


NumberTestValue = Annotated[Annotated[Count, Tag("~value")] | Annotated[NumberTestShape, Tag("~mapping")], _kind(False, "must be a number or a number test")]


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
    _kind(True, "must be an address, a list of addresses, {glob: ...} or {regex: ...}"),
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


ConfigTestValue = Annotated[Annotated[Any, Tag("~value")] | Annotated[ConfigTestShape, Tag("~mapping")], _kind(False, "must be a value or a test")]


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


def _curve(value: Any) -> Curve:
    if not isinstance(value, str):
        raise Fault("value/type", f"must be one of {', '.join(CURVES)}")
    if value not in CURVES:
        raise Fault("value/range", f"must be one of {', '.join(CURVES)}", closest(value, CURVES))
    return value  # type: ignore[return-value]


class ScheduleShape(Shape):
    """When masks change, and the way to the target."""

    curve: Annotated[Curve, PlainValidator(_curve), WithJsonSchema({"enum": list(CURVES)})]
    initial: Share = Field(default=0.0, alias="from")
    begin: Place = OPTIONAL
    end: Place = OPTIONAL
    every: Place = OPTIONAL
    power: Power = Field(default=3.0)


def _known_schedule(value: Any, info: ValidationInfo) -> str:
    name = parse_text(value)
    names = sorted(info.context["schedules"]) if info.context is not None else [name]
    if name not in names:
        raise Fault("schedule/unknown", "must name a schedule that is defined", closest(name, names) or _defined(names))
    return name


def _defined(names: list[str]) -> str:
    return f"defined: {', '.join(names)}" if names else "none is defined; add it under 'schedules', or write it inline: {curve: step, begin: 0 steps}"


def _schedule_kind(value: Any) -> str | None:
    return "~mapping" if isinstance(value, dict) else "~text" if isinstance(value, str) else None


ScheduleValue = Annotated[
    Annotated[str, PlainValidator(_known_schedule), WithJsonSchema({"type": "string"}), Tag("~text")] | Annotated[ScheduleShape, Tag("~mapping")],
    Discriminator(_schedule_kind, custom_error_type="value/type", custom_error_message="must be the name of a schedule, or a schedule"),
]

_RATIO_HELP = (
    "half of the pruning tools read N as kept, the other half as pruned; for 1:4 that is 75% or 25%. "
    "This version prunes 'unstructured' only, by its own 'sparsity'"
)
_BLOCK_HELP = "tools disagree on which axis of a block comes first; this version prunes 'unstructured' only"


def _pattern(value: Any) -> Literal["unstructured"]:
    if value != "unstructured":
        digits = value.replace(" ", "") if isinstance(value, str) else ""
        help = _RATIO_HELP if ":" in digits else _BLOCK_HELP if "x" in digits and digits[:1].isdigit() else ""
        raise Fault("value/range", "must be unstructured", help or "leave 'pattern' out: unstructured is the default and the only pattern of this version")
    return "unstructured"


class PruneShape(Shape):
    """How a layer is pruned."""

    sparsity: Share
    schedule: ScheduleValue
    pattern: Annotated[Literal["unstructured"], PlainValidator(_pattern), WithJsonSchema({"enum": ["unstructured"]})] = "unstructured"
    weights: TextOrList = OPTIONAL


class RuleShape(Shape):
    """One rule: which layers, and what to do with them."""

    id: Identifier
    note: str = OPTIONAL
    match: MatcherValue
    prune: PruneShape = OPTIONAL
    keep: OnlyTrue = OPTIONAL
    expect: NumberTestValue = OPTIONAL

    @model_validator(mode="after")
    def check_action(self) -> RuleShape:
        """Refuse a rule without an action, and one with two."""
        if ("prune" in self.model_fields_set) == ("keep" in self.model_fields_set):
            raise Fault("value/range", ONE_ACTION, ACTION_HELP)
        return self


class FileShape(Shape):
    """A whole rule file, without its `x-` keys."""

    version: Version
    vars: dict[str, Variable] = OPTIONAL
    schedules: dict[str, ScheduleShape] = OPTIONAL
    rules: list[RuleShape] = OPTIONAL


for _shape in (ConfigTestShape, MatcherShape, RuleShape, FileShape):
    _shape.model_rebuild()
