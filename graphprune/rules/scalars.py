"""The scalars of rule files: text and numbers to typed values, each with its own fault and its own line of JSON Schema."""

from __future__ import annotations

import re
import warnings
from decimal import Decimal, InvalidOperation
from re import _parser  # type: ignore[attr-defined]
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from graphprune.rules.regex_cost import find_excess
from graphprune.sparsity.positions import Position, parse_position

MAX_POSITION = 1e15
_UNITS = {"k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_COUNT = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kMG])")
_SIMPLER = "repeat each part once: '[a-z_0-9]+' instead of '([a-z_0-9]+)+', '.*' instead of '.*.*'; or split it into several patterns under 'all' or 'any'"
_PERCENT = re.compile(r"([-+]?\d{1,18}(?:\.\d{1,18})?)\s*%")


class Fault(ValueError):
    """One value is wrong; the message becomes `FIELD EXPECTATION, got VALUE`."""

    def __init__(self, slug: str, expectation: str, help: str = "") -> None:
        super().__init__(expectation)
        self.slug = slug
        self.expectation = expectation
        self.help = help


def parse_share(value: Any) -> float:
    """Return a share of zeros, 0 to below 1, from `0.9` or `90%`."""
    percent = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if percent is not None:
        share = float(Decimal(percent[1]) / 100)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = value
    else:
        raise Fault("value/type", "must be a share such as 0.9 or 90%")
    if not 0 <= share < 1:
        hint = f"did you mean {value:g}%?" if percent is None and 2 <= share < 100 else "all weights zero is no pruning; 99% is a share" if share == 1 else ""
        raise Fault("value/range", "must be at least 0 and below 1", hint)
    return float(share)


def parse_count(value: Any) -> int:
    """Return a whole number of 0 or more; text may end in k, M or G (decimal)."""
    if isinstance(value, str):
        match = _COUNT.fullmatch(value.strip())
        if match is None:
            raise Fault("value/type", "must be a whole number, such as 12, 10k, 1.5M or 2G")
        value = Decimal(match[1]) * _UNITS[match[2]]
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault("value/type", "must be a whole number, such as 12, 10k, 1.5M or 2G")
    try:
        whole = int(value)
    except (OverflowError, ValueError, InvalidOperation):
        whole = -1
    if whole < 0 or whole != value:
        raise Fault("value/range", "must be a whole number of 0 or more")
    return whole


def parse_positive_count(value: Any) -> int:
    """Return a whole number of 1 or more."""
    count = parse_count(value)
    if count < 1:
        raise Fault("value/range", "must be a whole number of 1 or more")
    return count


def parse_number(value: Any) -> float:
    """Return a number that is neither a bool nor NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault("value/type", "must be a number")
    if value != value:
        raise Fault("value/range", "must be a number")
    return value


def parse_power(value: Any) -> float:
    """Return a finite exponent above 0."""
    power = parse_number(value)
    if not 0 < power < 1e6:
        raise Fault("value/range", "must be above 0 and finite")
    return float(power)


def parse_place(value: Any) -> Position:
    """Return a position of the run; it needs its unit."""
    help = "write '4 epochs', '2000 steps' or '60%' (of the run)"
    if isinstance(value, str):
        try:
            position = parse_position(value)
        except ValueError:
            raise Fault("schedule/unit", "needs one of the units epochs, steps or %", help) from None
        if position.value > MAX_POSITION or (position.unit == "percent" and position.value > 100):
            raise Fault("value/range", "must lie inside a run of at most 100% and 1e15 steps")
        return position
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Fault("schedule/unit", "needs one of the units epochs, steps or %", help)
    raise Fault("value/type", "must be a position in the run", help)


def parse_regex(value: Any) -> str:
    """Return a regular expression that compiles."""
    if not isinstance(value, str):
        raise Fault("value/type", "must be a regular expression in quotes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flags = re.compile(value).flags
            excess = find_excess(_parser.parse(value), ignores_case=bool(flags & re.IGNORECASE))
    except (re.error, OverflowError, RecursionError) as err:
        raise Fault("regex/invalid", f"is not a regular expression: {err}") from None
    if excess is not None:
        raise Fault("regex/invalid", f"could take for ever to match: {excess}", _SIMPLER)
    return value


def parse_text(value: Any) -> str:
    """Return text that is not empty."""
    if not isinstance(value, str):
        raise Fault("value/type", "must be text", "put quotes around it" if isinstance(value, int | float) else "")
    if not value.strip():
        raise Fault("value/range", "must not be empty")
    return value


def parse_id(value: Any) -> str:
    """Return a rule id: text without blanks."""
    text = parse_text(value)
    if re.search(r"[\s\x00-\x1f,]", text):
        raise Fault("value/range", "must be one word without blanks and commas", "join the words with '-'")
    return text


def parse_bool(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Fault("value/type", "must be true or false")
    return value


def parse_choice(value: Any, choices: tuple[str, ...]) -> Any:
    """Return one of these words."""
    if not isinstance(value, str) or value not in choices:
        raise Fault("value/range", f"must be one of {', '.join(choices)}")
    return value


def parse_true(value: Any) -> bool:
    """Return true: the only thing `keep` can say."""
    if value is not True:
        raise Fault("value/type", "must be true", "delete the rule if its layers may be pruned")
    return True


def parse_version(value: Any) -> int:
    """Return the version of the rule language."""
    if value != 1 or isinstance(value, bool | float):
        raise Fault("value/range", "must be 1", "this graphprune reads version 1 of the rule language")
    return 1


def parse_variable(value: Any) -> str | int | float | bool:
    """Return a variable's default: text, a number, or a bool."""
    if not isinstance(value, str | int | float):
        raise Fault("value/type", "must be text, a number, true or false")
    return value


_ID = r"^[^\s,\u0000-\u001f]+$"
_NOT_BLANK = r"\S"


def _number_or_text(kind: dict[str, Any], pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [kind, {"type": "string", "pattern": pattern}]})


_COUNT_TEXT = r"^\s*\d{1,18}(\.\d{1,18})?\s*[kMG]\s*$"
_SHARE_TEXT = r"^\s*(\+?0*\d{1,2}(\.\d{1,18})?|-0+(\.0{1,18})?)\s*%\s*$"
_PLACE_TEXT = r"^\s*\d+(\.\d+)?\s*(epochs?|steps?|%)\s*$"

Share = Annotated[float, PlainValidator(parse_share), _number_or_text({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, _SHARE_TEXT)]
Count = Annotated[int, PlainValidator(parse_count), _number_or_text({"type": "integer", "minimum": 0}, _COUNT_TEXT)]
PositiveCount = Annotated[int, PlainValidator(parse_positive_count), _number_or_text({"type": "integer", "minimum": 1}, _COUNT_TEXT)]
NumberValue = Annotated[float, PlainValidator(parse_number), WithJsonSchema({"type": "number"})]
Power = Annotated[float, PlainValidator(parse_power), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000})]
Place = Annotated[Position, PlainValidator(parse_place), WithJsonSchema({"type": "string", "pattern": _PLACE_TEXT})]
RegexText = Annotated[str, PlainValidator(parse_regex), WithJsonSchema({"type": "string"})]  # Python's dialect, which "format: regex" is not
Text = Annotated[str, PlainValidator(parse_text), WithJsonSchema({"type": "string", "pattern": _NOT_BLANK})]
Identifier = Annotated[str, PlainValidator(parse_id), WithJsonSchema({"type": "string", "pattern": _ID})]
Truth = Annotated[bool, PlainValidator(parse_bool), WithJsonSchema({"type": "boolean"})]
OnlyTrue = Annotated[bool, PlainValidator(parse_true), WithJsonSchema({"const": True})]
Version = Annotated[int, PlainValidator(parse_version), WithJsonSchema({"const": 1})]
Variable = Annotated[str | int | float | bool, PlainValidator(parse_variable), WithJsonSchema({"type": ["string", "number", "boolean"]})]
