"""The shape of patterns, in which axes are named and not numbered."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from graphprune.rules.text.numbers import PositiveCount
from graphprune.rules.text.shape import FORM_SHOWN, Fault, Shape, keys_of, optional, required
from graphprune.rules.text.words import Text, choice
from graphprune.sparsity.patterns import POOLS, UNSTRUCTURED, Block, Channel, KeepOf, Pattern, Pool
from graphprune.suggestions import closest, find_close

_RATIO = re.compile(r"([0-9]{1,6})\s*:\s*([0-9]{1,6})")
_OF = re.compile(r"(?:keep\s*)?([0-9]{1,6})\s*of\s*([0-9]{1,6})")
_SIZES = re.compile(r"([0-9]{1,6})\s*[xX]\s*([0-9]{1,6})")

PoolName = Annotated[
    Pool,
    *choice(
        POOLS,
        {"avg": "pool: mean", "average": "pool: mean", "maximum": "pool: max"},
        "a block is scored by the mean of its magnitudes, or by the largest",
    ),
]


class PatternShape(Shape):
    """A pattern as a mapping; its first key identifies it.

    Attributes:
        form: An example of the whole mapping, for messages and the reference.
        called: Common other names for the pattern.
        fixes_sparsity: Whether its values set how many weights become zero.
    """

    form: ClassVar[str]
    fixes_sparsity: ClassVar[bool] = False
    called: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def to_pattern(self) -> Pattern:
        """Return the pattern.

        Raises:
            ValueError: no pattern has these values.
        """


class KeepOfShape(PatternShape):
    """In each group of `of` neighbours along an axis, the `keep` largest weights are kept."""

    form: ClassVar[str] = "{keep: 2, of: 4, along: in}"
    fixes_sparsity: ClassVar[bool] = True
    called: ClassVar[tuple[str, ...]] = ("n:m",)
    missing: ClassVar[Mapping[str, str]] = {
        "keep": "write how many weights each group keeps: {keep: 2, of: 4, along: in}",
        "of": "write how many weights a group has: {keep: 2, of: 4, along: in}",
        "along": "name the axis that groups run along: {keep: 2, of: 4, along: in}",
    }

    keep: PositiveCount = required("How many weights of each group are kept.", "2")
    of: PositiveCount = required("How many weights a group has.", "4")
    along: Text = required("The axis that groups run along: in or out.", "in")

    def to_pattern(self) -> Pattern:
        """Return the pattern; `keep` must be below `of`."""
        return KeepOf(self.keep, self.of, self.along)


class BlockShape(PatternShape):
    """Blocks of weights that are zeroed together: their lengths, and how one is scored."""

    form: ClassVar[str] = "{block: {in: 4, out: 1}}"
    called: ClassVar[tuple[str, ...]] = ("block", "blocks")
    missing: ClassVar[Mapping[str, str]] = {
        "block": "write its length along each axis: {block: {in: 4, out: 1}}"
    }

    block: Annotated[dict[str, PositiveCount], Field(min_length=1)] = required(
        "Lengths of a block by axis: {in: 4, out: 1}.", "{in: 4, out: 1}"
    )
    pool: PoolName = optional(
        "How a block is scored: mean or max of its magnitudes.", "mean", default="mean"
    )

    def to_pattern(self) -> Pattern:
        """Return the pattern, its axes in alphabetical order."""
        return Block(tuple(sorted(self.block.items())), self.pool)


class ChannelShape(PatternShape):
    """Whole slices along an axis, such as the filters of a convolution, which become dead."""

    form: ClassVar[str] = "{channel: out}"
    called: ClassVar[tuple[str, ...]] = ("channel", "channels", "filter", "filters")

    channel: Text = required("The axis whose slices are zeroed as a whole: out.", "out")

    def to_pattern(self) -> Pattern:
        """Return the pattern."""
        return Channel(self.channel)


PATTERN_SHAPES: tuple[type[PatternShape], ...] = (KeepOfShape, BlockShape, ChannelShape)


def _tag(shape: type[PatternShape]) -> str:
    return f"~{keys_of(shape)[0]}"


*_MOST, _LAST = ("unstructured", *(shape.form for shape in PATTERN_SHAPES))
_FORMS = f"{', '.join(_MOST)} or {_LAST}"
_BY_NAME = {word: shape.form for shape in PATTERN_SHAPES for word in shape.called} | {
    "none": "unstructured",
    "dense": "unstructured",
}
_KIND_OF_KEY = {key: _tag(shape) for shape in PATTERN_SHAPES for key in keys_of(shape)}


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
    form = _BY_NAME.get(value.strip().lower())
    if kept is not None:
        form = f"{{keep: {kept[1]}, of: {kept[2]}, along: in}}"
    help = f"write 'pattern: {form}'" if form else closest(value, ["unstructured"])
    raise Fault("value/range", f"must be one of {_FORMS}", help, form="shown")


def _ratio_help(first: int, second: int) -> str:
    text = "some pruning tools read N as kept, others as pruned; for 1:4 that is 75% or 25%"
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
    """Refuse a mapping without the key of any pattern, and name the nearest key."""
    if isinstance(value, dict) and value and _pattern_kind(value) is None:
        near = next(
            (word for key in value for word in find_close(str(key), _KIND_OF_KEY, count=1)), None
        )
        help = f"did you mean {near!r}?" if near else ""
        raise Fault("value/type", f"must be one of {_FORMS}", help, form="shown")
    return value


if TYPE_CHECKING:
    PatternValue = Any
else:
    _Text = Annotated[
        str, PlainValidator(_named_pattern), WithJsonSchema({"const": "unstructured"}), Tag("~text")
    ]
    _Mappings = (Annotated[shape, Tag(_tag(shape))] for shape in PATTERN_SHAPES)
    PatternValue = Annotated[
        reduce(or_, _Mappings, _Text),
        Discriminator(
            _pattern_kind,
            custom_error_type=FORM_SHOWN,
            custom_error_message=f"must be one of {_FORMS}",
        ),
        BeforeValidator(_check_keys),
    ]


def to_pattern(value: Any) -> Pattern:
    """Return the pattern from a checked value.

    Raises:
        ValueError: the values are not valid for the pattern.
    """
    return value.to_pattern() if isinstance(value, PatternShape) else UNSTRUCTURED


def fixes_sparsity(value: Any) -> bool:
    """Return whether a pattern, checked or plain, sets how many weights become zero."""
    if isinstance(value, PatternShape):
        return value.fixes_sparsity
    fixing = {_tag(shape) for shape in PATTERN_SHAPES if shape.fixes_sparsity}
    return isinstance(value, dict) and _pattern_kind(value) in fixing
