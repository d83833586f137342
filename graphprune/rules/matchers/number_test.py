"""Tests of a number: their form in a rule file, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, Tag

from graphprune.rules.text.numbers import Count, PositiveCount, Share
from graphprune.rules.text.shape import Conditions, kind_of, optional

Number = int | float

BOUNDS_HELP = {
    "gt": "Greater than this.",
    "gte": "This or more.",
    "lt": "Less than this.",
    "lte": "This or less.",
}
COMPARISONS_HELP = {"eq": "Equal to this.", "ne": "Not equal to this.", **BOUNDS_HELP}
BOUNDS_MEANT = {
    "min": "gte",
    "max": "lte",
    "ge": "gte",
    "le": "lte",
    "above": "gt",
    "below": "lt",
    "at_least": "gte",
    "at_most": "lte",
}


class NumberTestShape(Conditions):
    """Tests of a whole number."""

    meant: ClassVar[Mapping[str, str]] = BOUNDS_MEANT | {
        "equals": "eq",
        "one_of": "in",
        "divisible_by": "multiple_of",
    }

    eq: Count = optional("Equal to this.", "10k")
    ne: Count = optional("Not equal to this.", "10k")
    gt: Count = optional(BOUNDS_HELP["gt"], "10k")
    gte: Count = optional(BOUNDS_HELP["gte"], "10k")
    lt: Count = optional(BOUNDS_HELP["lt"], "10k")
    lte: Count = optional(BOUNDS_HELP["lte"], "10k")
    one_of: Annotated[list[Count], Field(min_length=1)] = optional(
        "One of these.", "[3, 5]", alias="in"
    )
    multiple_of: PositiveCount = optional("Divisible by this.", "4")


NumberTestValue = Annotated[
    Annotated[Count, Tag("~value")] | Annotated[NumberTestShape, Tag("~mapping")],
    kind_of(False, "must be a number or a number test"),
]


class ShareTestShape(Conditions):
    """Tests of a share of zeros."""

    meant: ClassVar[Mapping[str, str]] = BOUNDS_MEANT | {"equals": "eq"}

    eq: Share = optional("Equal to this.", "80%")
    ne: Share = optional("Not equal to this.", "80%")
    gt: Share = optional(BOUNDS_HELP["gt"], "80%")
    gte: Share = optional(BOUNDS_HELP["gte"], "80%")
    lt: Share = optional(BOUNDS_HELP["lt"], "80%")
    lte: Share = optional(BOUNDS_HELP["lte"], "80%")


ShareTestValue = Annotated[
    Annotated[Share, Tag("~value")] | Annotated[ShareTestShape, Tag("~mapping")],
    kind_of(False, "must be a share or a test of shares"),
]

_PHRASES = {
    "eq": "{}",
    "ne": "other than {}",
    "gt": "above {}",
    "gte": "at least {}",
    "lt": "below {}",
    "lte": "at most {}",
    "multiple_of": "a multiple of {}",
}


@dataclass(frozen=True, slots=True)
class NumberTest:
    """Tests of a number that must all hold; with `is_share` the numbers are shares from 0 to 1.

    Example:
        >>> some = NumberTest(gte=1, lt=4)
        >>> str(some), some.accepts(3), some.accepts(4)
        ('at least 1 and below 4', True, False)
        >>> str(NumberTest(one_of=(1, 2, 5)))
        '1, 2 or 5'
        >>> str(NumberTest(gte=0.8, is_share=True))
        'at least 80%'
    """

    eq: Number | None = None
    ne: Number | None = None
    gt: Number | None = None
    gte: Number | None = None
    lt: Number | None = None
    lte: Number | None = None
    multiple_of: Number | None = None
    one_of: tuple[Number, ...] | None = None
    is_share: bool = False

    def accepts(self, number: Number) -> bool:
        """Return whether `number` passes every test."""
        return (
            (self.eq is None or number == self.eq)
            and (self.ne is None or number != self.ne)
            and (self.gt is None or number > self.gt)
            and (self.gte is None or number >= self.gte)
            and (self.lt is None or number < self.lt)
            and (self.lte is None or number <= self.lte)
            and (self.multiple_of is None or number % self.multiple_of == 0)
            and (self.one_of is None or number in self.one_of)
        )

    def is_empty(self) -> bool:
        """Return whether no whole number of 0 or more, or no share, can pass.

        Only single values and crossing bounds are checked.
        """
        if self.eq is not None:
            return not self.accepts(self.eq)
        if self.one_of is not None:
            return not any(self.accepts(number) for number in self.one_of)
        if self.is_share:
            return self._bounds_cross()
        lows = [0, self.gte, None if self.gt is None else self.gt + 1]
        highs = [self.lte, None if self.lt is None else self.lt - 1]
        low = max(bound for bound in lows if bound is not None)
        return any(bound < low for bound in highs if bound is not None)

    def _bounds_cross(self) -> bool:
        low = max(self.gte or 0, self.gt or 0)
        high = min(bound for bound in (1, self.lte, self.lt) if bound is not None)
        return high < low or (high == low and (low == self.gt or high == self.lt))

    def __str__(self) -> str:
        show = format_share if self.is_share else format_number
        parts = [
            _PHRASES[name].format(show(value))
            for name in _PHRASES
            if (value := getattr(self, name)) is not None
        ]
        if self.one_of is not None:
            texts = [show(value) for value in self.one_of]
            parts.append(texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}")
        return " and ".join(parts)


def format_number(value: Number) -> str:
    """Return `value` with thousands separators.

    Example:
        >>> format_number(1_000_000), format_number(0.5)
        ('1,000,000', '0.5')
    """
    return f"{value:,}"


def format_share(value: Number) -> str:
    """Return `value` in percent.

    Example:
        >>> format_share(0.8), format_share(0.995)
        ('80%', '99.5%')
    """
    return f"{value * 100:.10g}%"


def to_number_test(value: Any) -> NumberTest:
    """Return the typed test of a checked value; a number must be equal."""
    if not isinstance(value, NumberTestShape):
        return NumberTest(eq=value)
    given = {name: value.given(name) for name in _PHRASES}
    one_of = value.given("one_of")
    return NumberTest(**given, one_of=None if one_of is None else tuple(one_of))


def to_share_test(value: Any) -> NumberTest:
    """Return the typed test of a checked value; a share must be equal."""
    if not isinstance(value, Conditions):
        return NumberTest(eq=value, is_share=True)
    given = {name: value.given(name) for name in type(value).model_fields}
    return NumberTest(**given, is_share=True)
