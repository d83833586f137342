"""The shape of patterns: axes are named, never counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from graphprune.rules.shapes.choices import choice
from graphprune.rules.shapes.scalars import Fault, PositiveCount, Text
from graphprune.rules.shapes.shape import Shape, optional, required
from graphprune.sparsity.patterns import POOLS, UNSTRUCTURED, Block, Channel, KeepOf, Pattern, Pool
from graphprune.suggestions import closest, find_close

_FORMS = "unstructured, {keep: 2, of: 4, along: in}, {block: {in: 4, out: 1}} or {channel: out}"
_RATIO = re.compile(r"([0-9]{1,6})\s*:\s*([0-9]{1,6})")
_OF = re.compile(r"(?:keep\s*)?([0-9]{1,6})\s*of\s*([0-9]{1,6})")
_BY_NAME = {
    "channel": "{channel: out}",
    "channels": "{channel: out}",
    "filter": "{channel: out}",
    "filters": "{channel: out}",
    "block": "{block: {in: 4, out: 1}}",
}
_BY_NAME |= {
    "blocks": "{block: {in: 4, out: 1}}",
    "n:m": "{keep: 2, of: 4, along: in}",
    "none": "unstructured",
    "dense": "unstructured",
}
_SIZES = re.compile(r"([0-9]{1,6})\s*[xX]\s*([0-9]{1,6})")
_KIND_OF_KEY = {
    "keep": "~keep",
    "of": "~keep",
    "along": "~keep",
    "block": "~block",
    "pool": "~block",
    "channel": "~channel",
}


PoolName = Annotated[
    Pool,
    *choice(
        POOLS,
        {"avg": "pool: mean", "average": "pool: mean", "maximum": "pool: max"},
        "a block goes by the mean of its magnitudes, or by the largest",
    ),
]


class KeepOfShape(Shape):
    """In each group of `of` neighbours along an axis, the `keep` largest stay."""

    missing: ClassVar[Mapping[str, str]] = {
        "keep": "write how many stay of each group: {keep: 2, of: 4, along: in}",
        "of": "write how long a group is: {keep: 2, of: 4, along: in}",
        "along": "name the axis that groups run along: {keep: 2, of: 4, along: in}",
    }

    keep: PositiveCount = required("How many weights of each group stay.", "2")
    of: PositiveCount = required("How many weights a group has.", "4")
    along: Text = required("The axis that groups run along: in or out.", "in")


class BlockShape(Shape):
    """Blocks of weights that are zeroed whole: their length along each named axis, and how a block
    is scored.
    """

    missing: ClassVar[Mapping[str, str]] = {
        "block": "write its length along each axis: {block: {in: 4, out: 1}}"
    }

    block: Annotated[dict[str, PositiveCount], Field(min_length=1)] = required(
        "Lengths of a block by axis: {in: 4, out: 1}.", "{in: 4, out: 1}"
    )
    pool: PoolName = optional(
        "How a block is scored: mean or max of its magnitudes.", "mean", default="mean"
    )


class ChannelShape(Shape):
    """All weights at one place of an axis."""

    channel: Text = required("The axis whose slices are zeroed whole: out.", "out")


def _named_pattern(value: str) -> str:
    if value == "unstructured":
        return value
    ratio, sizes = _RATIO.fullmatch(value.strip()), _SIZES.fullmatch(value.strip())
    if ratio is not None:
        raise Fault(
            "value/range", "must say what is kept", _ratio_help(int(ratio[1]), int(ratio[2]))
        )
    if sizes is not None:
        raise Fault("value/range", "must name its axes", _sizes_help(sizes[1], sizes[2]))
    kept = _OF.fullmatch(value.strip())
    form = (
        f"{{keep: {kept[1]}, of: {kept[2]}, along: in}}"
        if kept
        else _BY_NAME.get(value.strip().lower())
    )
    raise Fault(
        "value/range",
        f"must be one of {_FORMS}",
        f"write 'pattern: {form}'" if form else closest(value, ["unstructured"]),
    )


def _ratio_help(first: int, second: int) -> str:
    text = (
        "half of the pruning tools read N as kept, the other half as pruned; for 1:4 that is 75%"
        " or 25%"
    )
    kept = dict.fromkeys(count for count in (first, second - first) if 1 <= count < second)
    forms = [
        f"{{keep: {count}, of: {second}, along: in}} ({second - count}"
        f" {'zero' if second - count == 1 else 'zeros'} in each {second})"
        for count in kept
    ]
    return f"{text}.  Write {' or '.join(forms)}" if forms else text


def _sizes_help(first: str, second: str) -> str:
    forms = dict.fromkeys(
        (f"{{block: {{in: {first}, out: {second}}}}}", f"{{block: {{in: {second}, out: {first}}}}}")
    )
    return f"tools disagree on which axis comes first.  Write {' or '.join(forms)}"


def _pattern_kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "~text"
    if not isinstance(value, dict):
        return None
    return next((kind for key, kind in _KIND_OF_KEY.items() if key in value), None)


def _check_keys(value: Any) -> Any:
    """Refuse a mapping that has none of the keys which tell the patterns apart, with the nearest of
    them.
    """
    if isinstance(value, dict) and value and _pattern_kind(value) is None:
        near = next(
            (word for key in value for word in find_close(str(key), _KIND_OF_KEY, count=1)), None
        )
        raise Fault(
            "value/type", f"must be one of {_FORMS}", f"did you mean {near!r}?" if near else ""
        )
    return value


PatternValue = Annotated[
    Annotated[
        str, PlainValidator(_named_pattern), WithJsonSchema({"const": "unstructured"}), Tag("~text")
    ]
    | Annotated[KeepOfShape, Tag("~keep")]
    | Annotated[BlockShape, Tag("~block")]
    | Annotated[ChannelShape, Tag("~channel")],
    Discriminator(
        _pattern_kind,
        custom_error_type="value/type",
        custom_error_message=f"must be one of {_FORMS}",
    ),
    BeforeValidator(_check_keys),
]
PatternShape = Literal["unstructured"] | KeepOfShape | BlockShape | ChannelShape


def to_pattern(shape: PatternShape) -> Pattern:
    """Return the pattern of a checked shape, the axes of a block in alphabetical order.

    Raises:
        ValueError: `keep` is not below `of`.
    """
    match shape:
        case KeepOfShape():
            return KeepOf(shape.keep, shape.of, shape.along)
        case BlockShape():
            return Block(tuple(sorted(shape.block.items())), shape.pool)
        case ChannelShape():
            return Channel(shape.channel)
    return UNSTRUCTURED
