"""Numbers of rule files: counts, shares, magnitudes, each with its fault and JSON Schema."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from graphprune.rules.text.shape import Fault

_UNITS = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_OPERATORS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt", "=": "eq", "==": "eq", "!=": "ne"}
_COMPARISON = re.compile(r"([<>]=?|[=!]=|=)\s*([0-9]{1,18}[kMG]?)")
_SPELT = re.compile(r"([0-9]{1,3}(?:[,_ ][0-9]{3})+|[0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([kKmMgG]?)")
_NUMBER_IN_TEXT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*(percent|pct|per cent|)")
_COUNT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([kMG])")
_LARGEST = 3.4028234663852886e38  # of float32
_PERCENT = re.compile(r"([-+]?[0-9]{1,18}(?:\.[0-9]{1,18})?)\s*%")


def parse_percent(value: Any) -> float | None:
    """Return a hundredth of the number in text such as `90%`; None for any other value."""
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if match is None else float(Decimal(match[1]) / 100)


def parse_share(value: Any) -> float:
    """Return a share of zeros, 0 to below 1, from `0.9` or `90%`."""
    percent = parse_percent(value)
    if percent is not None:
        share = percent
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = value
    else:
        expectation = "must be a share such as 0.9 or 90%"
        raise Fault("value/type", expectation, _meant_share(value), form="shown")
    if not 0 <= share < 1:
        bounds = "must be at least 0 and below 1"
        if percent is not None:
            bounds = "must be at least 0% and below 100%"
        help = "it is the share of zeros: 0.9 or 90% leaves one weight in ten"
        if percent is None and 2 <= share < 100:
            help = f"did you mean {value:g}%?"
        elif share == 1:
            help = "100% leaves no weights; write for example 99%"
        raise Fault("value/range", bounds, help)
    return float(share)


def _meant_share(value: Any) -> str:
    """Return the likely meaning of text that is not a share."""
    number = _NUMBER_IN_TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
    if number is None:
        return ""
    share = float(number[1])
    if share < 1 and not number[2]:
        return f"delete the quotes: {number[1]}"
    return f"did you mean {number[1]}%?" if 1 <= share < 100 else ""


def parse_count(value: Any) -> int:
    """Return a whole number of 0 or more; text can end in k, M or G (decimal)."""
    whole = _whole(value)
    if whole is None:
        expectation = "must be a whole number, such as 12, 10k, 1.5M or 2G"
        raise Fault("value/type", expectation, _meant_count(value), form="shown")
    if whole < 0:
        raise Fault("value/range", "must be a whole number of 0 or more")
    return whole


def parse_positive_count(value: Any) -> int:
    """Return a whole number of 1 or more."""
    whole = _whole(value)
    if whole is None or whole < 1:
        raise Fault(
            "value/type" if whole is None else "value/range", "must be a whole number of 1 or more"
        )
    return whole


def _whole(value: Any) -> int | None:
    """Return a whole number; -1 for a number that is not whole, None for any other value."""
    if isinstance(value, str):
        match = _COUNT.fullmatch(value.strip())
        if match is None:
            return None
        value = Decimal(match[1]) * _UNITS[match[2]]
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        whole = int(value)
    except (OverflowError, ValueError, InvalidOperation):
        return -1
    return whole if whole == value else -1


def _meant_count(value: Any) -> str:
    """Return the likely meaning of a value that is not a count: a comparison, list or spelling."""
    if isinstance(value, list) and value:
        return "write {in: [...]} for one of several"
    text = value.strip() if isinstance(value, str) else ""
    comparison = _COMPARISON.fullmatch(text)
    if comparison is not None:
        return f"write {{{_OPERATORS[comparison[1]]}: {comparison[2]}}}"
    spelt = _SPELT.fullmatch(text)
    if spelt is None:
        return ""
    unit = {"K": "k", "m": "M", "g": "G"}.get(spelt[2], spelt[2])
    return f"write {re.sub('[,_ ]', '', spelt[1])}{unit}"


def parse_number(value: Any) -> float:
    """Return a number that is neither a bool nor NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault("value/type", "must be a number")
    if value != value:
        raise Fault("value/range", "must be a number")
    return value


def parse_magnitude(value: Any) -> float:
    """Return a magnitude: a finite number above 0."""
    if isinstance(value, str) and _PERCENT.fullmatch(value.strip()):
        raise Fault(
            "value/type",
            "must be a number such as 0.05",
            "a threshold is a magnitude of single weights; for a share of zeros write 'sparsity'",
        )
    magnitude = parse_number(value)
    if not 0 < magnitude <= _LARGEST:
        raise Fault(
            "value/range",
            "must be above 0 and finite",
            "weights whose magnitude is below it become zero, such as 0.05",
        )
    return float(magnitude)


def parse_power(value: Any) -> float:
    """Return a finite exponent above 0."""
    power = parse_number(value)
    if not 0 < power < 1e6:
        raise Fault("value/range", "must be above 0 and finite")
    return float(power)


def _number_or_text(kind: dict[str, Any], pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [kind, {"type": "string", "pattern": pattern}]})


_COUNT_TEXT = r"^\s*[0-9]{1,18}(\.[0-9]{1,18})?\s*[kMG]\s*$"
_SHARE_TEXT = r"^\s*(\+?0*[0-9]{1,2}(\.[0-9]{1,18})?|-0+(\.0{1,18})?)\s*%\s*$"
Share = Annotated[
    float,
    PlainValidator(parse_share),
    _number_or_text({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, _SHARE_TEXT),
]
Count = Annotated[
    int,
    PlainValidator(parse_count),
    _number_or_text({"type": "integer", "minimum": 0}, _COUNT_TEXT),
]
PositiveCount = Annotated[
    int,
    PlainValidator(parse_positive_count),
    _number_or_text({"type": "integer", "minimum": 1}, _COUNT_TEXT),
]
NumberValue = Annotated[float, PlainValidator(parse_number), WithJsonSchema({"type": "number"})]
Power = Annotated[
    float,
    PlainValidator(parse_power),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000}),
]
Magnitude = Annotated[
    float,
    PlainValidator(parse_magnitude),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": _LARGEST}),
]
