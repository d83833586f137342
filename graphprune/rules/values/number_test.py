"""Tests of a number, such as how many layers a rule must match."""

from __future__ import annotations

from dataclasses import dataclass

Number = int | float

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
    """All the given tests must hold; `is_share` says that the numbers are shares from 0 to 1 and
    not whole.

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
        """Return whether no whole number of 0 or more, or no share, can pass (found for single
        values, and where bounds cross).
        """
        if self.eq is not None:
            return not self.accepts(self.eq)
        if self.one_of is not None:
            return not any(self.accepts(number) for number in self.one_of)
        if self.is_share:
            return self._bounds_cross()
        low = max(0 if self.gte is None else self.gte, 0 if self.gt is None else self.gt + 1)
        high = min(low if self.lte is None else self.lte, low if self.lt is None else self.lt - 1)
        return high < low

    def _bounds_cross(self) -> bool:
        low, high = (
            max(self.gte or 0, self.gt or 0),
            min(1 if self.lte is None else self.lte, 1 if self.lt is None else self.lt),
        )
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
