"""The shape of what rules do: schedules and prune actions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, PlainValidator, Tag, ValidationInfo, WithJsonSchema

from graphprune.rules.matcher_shape import TextOrList
from graphprune.rules.scalars import Fault, Place, Power, Share, parse_text
from graphprune.rules.shape import OPTIONAL, Shape
from graphprune.rules.suggestions import closest
from graphprune.sparsity.patterns import UNSTRUCTURED, Pattern
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


def _pattern(value: Any) -> Pattern:
    if value != "unstructured":
        digits = value.replace(" ", "") if isinstance(value, str) else ""
        help = _RATIO_HELP if ":" in digits else _BLOCK_HELP if "x" in digits and digits[:1].isdigit() else ""
        raise Fault("value/range", "must be unstructured", help or "leave 'pattern' out: unstructured is the default and the only pattern of this version")
    return UNSTRUCTURED


class PruneShape(Shape):
    """How a layer is pruned."""

    sparsity: Share
    schedule: ScheduleValue
    pattern: Annotated[Pattern, PlainValidator(_pattern), WithJsonSchema({"enum": ["unstructured"]})] = UNSTRUCTURED
    weights: TextOrList = OPTIONAL
