"""Numbers that JSON does not have: NaN and the infinities, which configs of Keras hold (a mask of
minus infinity, an activation without an upper end).

Python writes them bare, and most other readers refuse the whole document. Here each is an object
`{"$float": "NaN"}`, `{"$float": "Infinity"}` or `{"$float": "-Infinity"}`; an object of a config
that has the one key `$float` itself is written as `{"$float": [value]}`, so that every value comes
back.
"""

from __future__ import annotations

import math
from typing import Any

MARK = "$float"
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_strict(value: Any) -> Any:
    """Return plain data in which JSON can say every number; lists for tuples.

    Example:
        >>> to_strict({"rate": float("-inf"), "shape": (1, 2.5)})
        {'rate': {'$float': '-Infinity'}, 'shape': [1, 2.5]}
    """
    if isinstance(value, dict):
        kept = {key: to_strict(item) for key, item in value.items()}
        return {MARK: [kept[MARK]]} if kept.keys() == {MARK} else kept
    if isinstance(value, list | tuple):
        return [to_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        infinity = "Infinity" if value > 0 else "-Infinity"
        return {MARK: "NaN" if math.isnan(value) else infinity}
    return value


def from_strict(value: Any) -> Any:
    """Return what `to_strict` was given; an object that it never writes stays as it is.

    Example:
        >>> from_strict(to_strict({"rate": float("inf"), "mine": {"$float": "NaN"}}))
        {'rate': inf, 'mine': {'$float': 'NaN'}}
    """
    if isinstance(value, dict):
        inner = value.get(MARK) if len(value) == 1 else None
        if isinstance(inner, str) and inner in _NUMBERS:
            return _NUMBERS[inner]
        if isinstance(inner, list) and len(inner) == 1:
            return {MARK: from_strict(inner[0])}
        return {key: from_strict(item) for key, item in value.items()}
    return [from_strict(item) for item in value] if isinstance(value, list) else value
