"""The shape of what rules do: schedules and prune actions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, PlainValidator, Tag, ValidationInfo, WithJsonSchema

from graphprune.rules.shapes.choices import AllocateName, CurveName, MisfitName, OverName
from graphprune.rules.shapes.matcher_shape import TextOrList
from graphprune.rules.shapes.pattern_shape import PatternValue
from graphprune.rules.shapes.position_text import PLACE_TEXT, Place
from graphprune.rules.shapes.scalars import Fault, Magnitude, Power, Share, Text, parse_text
from graphprune.rules.shapes.shape import OPTIONAL, Shape
from graphprune.sparsity.schedules import CURVES
from graphprune.suggestions import closest


class ScheduleShape(Shape):
    """When masks change, and the way to the target."""

    curve: CurveName
    initial: Share = Field(default=0.0, alias="from")
    begin: Place = OPTIONAL
    end: Place = OPTIONAL
    every: Place = OPTIONAL
    power: Power = Field(default=3.0)
    points: Annotated[
        dict[str, Share],
        Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": PLACE_TEXT}}),
    ] = OPTIONAL


def _known_schedule(value: Any, info: ValidationInfo) -> str:
    name = parse_text(value)
    known = info.context["schedules"] if info.context is not None else (name,)
    if name not in known:
        raise Fault(
            "schedule/unknown",
            "must name a schedule that is defined",
            lambda: closest(name, known) or _curve_help(name) or _defined(sorted(known)),
        )
    return name


def _curve_help(name: str) -> str:
    return (
        f"{name} is a curve; write it inline, such as {{curve: {name}, begin: 0 epochs, end: 4"
        " epochs, every: 100 steps}"
        if name in CURVES
        else ""
    )


def _defined(names: list[str]) -> str:
    return (
        f"defined: {', '.join(names)}"
        if names
        else (
            "none is defined; add it under 'schedules', or write it inline: {curve: step, begin: 0"
            " steps}"
        )
    )


def _schedule_kind(value: Any) -> str | None:
    return "~mapping" if isinstance(value, dict) else "~text" if isinstance(value, str) else None


ScheduleValue = Annotated[
    Annotated[
        str,
        PlainValidator(_known_schedule),
        WithJsonSchema({"type": "string", "pattern": r"\S"}),
        Tag("~text"),
    ]
    | Annotated[ScheduleShape, Tag("~mapping")],
    Discriminator(
        _schedule_kind,
        custom_error_type="value/type",
        custom_error_message="must be the name of a schedule, or a schedule",
    ),
]


LEAST: Any = Field(default=None, alias="min")
MOST: Any = Field(default=None, alias="max")


class BudgetShape(Shape):
    """A target that several layers share."""

    sparsity: Share
    allocate: AllocateName = "uniform"
    over: OverName = "claimed"
    minimum: Share = LEAST
    maximum: Share = MOST


TARGETS = ("sparsity", "budget", "threshold")
"""The fields of a prune action that say how many weights become zero: a rule has exactly one of
them, or a pattern that fixes the share.
"""


class PruneFieldsShape(Shape):
    """The settings of a prune action; which of them must be there shows when `like` and `defaults`
    have filled in theirs.
    """

    sparsity: Share = OPTIONAL
    budget: Text = OPTIONAL
    threshold: Magnitude = OPTIONAL
    schedule: ScheduleValue = OPTIONAL
    pattern: PatternValue = OPTIONAL
    weights: TextOrList = OPTIONAL
    misfit: MisfitName = OPTIONAL


class PruneShape(PruneFieldsShape):
    """How a layer is pruned."""

    like: Text = OPTIONAL


class DefaultsShape(Shape):
    """What fills the missing fields of every action."""

    prune: PruneFieldsShape = OPTIONAL
