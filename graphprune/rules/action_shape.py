"""The shape of what rules do: schedules and prune actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args

from pydantic import Discriminator, Field, PlainValidator, Tag, ValidationInfo, WithJsonSchema

from graphprune.rules.matcher_shape import TextOrList
from graphprune.rules.pattern_shape import PatternValue
from graphprune.rules.rule_set import Allocate, Misfit, Over
from graphprune.rules.scalars import Fault, Place, Power, Share, Text, parse_text
from graphprune.rules.shape import OPTIONAL, Shape
from graphprune.rules.suggestions import closest
from graphprune.sparsity.schedules import CURVES, Curve


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
    points: Annotated[dict[str, Share], Field(min_length=1)] = OPTIONAL


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

ALLOCATIONS: tuple[str, ...] = get_args(Allocate)
EXTENTS: tuple[str, ...] = get_args(Over)
MISFITS: tuple[str, ...] = get_args(Misfit)


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    """Return the check that a value is one of a few words."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Fault("value/type", f"must be one of {', '.join(choices)}")
        if value not in choices:
            raise Fault("value/range", f"must be one of {', '.join(choices)}", closest(value, choices))
        return value

    return check


LEAST: Any = Field(default=None, alias="min")
MOST: Any = Field(default=None, alias="max")


class BudgetShape(Shape):
    """A target that several layers share."""

    sparsity: Share
    allocate: Annotated[Allocate, PlainValidator(_one_of(ALLOCATIONS)), WithJsonSchema({"enum": list(ALLOCATIONS)})] = "uniform"
    over: Annotated[Over, PlainValidator(_one_of(EXTENTS)), WithJsonSchema({"enum": list(EXTENTS)})] = "claimed"
    minimum: Share = LEAST
    maximum: Share = MOST


class PruneFieldsShape(Shape):
    """The settings of a prune action; which of them must be there shows when `like` and `defaults` have filled in theirs."""

    sparsity: Share = OPTIONAL
    budget: Text = OPTIONAL
    schedule: ScheduleValue = OPTIONAL
    pattern: PatternValue = OPTIONAL
    weights: TextOrList = OPTIONAL
    misfit: Annotated[Misfit, PlainValidator(_one_of(MISFITS)), WithJsonSchema({"enum": list(MISFITS)})] = OPTIONAL


class PruneShape(PruneFieldsShape):
    """How a layer is pruned."""

    like: Text = OPTIONAL


class DefaultsShape(Shape):
    """What fills the missing fields of every action."""

    prune: PruneFieldsShape = OPTIONAL
