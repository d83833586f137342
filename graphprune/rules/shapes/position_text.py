"""Positions of a run as rule files write them, and what to write instead of a text that is none."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from graphprune.rules.shapes.scalars import Fault
from graphprune.sparsity.positions import Position, parse_position

MAX_POSITION = 1e15
FORMS = "write '4 epochs', '2000 steps' or '60%' (of the run)"
_UNIT = "needs one of the units epochs, steps or %"
_PARTS = re.compile(
    r"([-+]?[0-9.,_]*[0-9][0-9.,_]*(?:[eE][-+]?[0-9]{1,3})?)\s*([kMG]?)\s*([a-zA-Z%]*)"
)
_WORDS = {
    "percent": "%",
    "batch": "steps",
    "batches": "steps",
    "iterations": "steps",
    "iters": "steps",
    "updates": "steps",
    "epoche": "epochs",
}
_UNITS = {
    "epoch": "epochs",
    "epochs": "epochs",
    "step": "steps",
    "steps": "steps",
    "%": "%",
    **_WORDS,
}
_THOUSANDS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def parse_place(value: Any) -> Position:
    """Return a position of the run; it needs its unit.

    Example:
        >>> try:
        ...     parse_place("1e3 steps")
        ... except Fault as fault:
        ...     print(fault.expectation, "/", fault.help)
        must be a plain number with its unit / write '1000 steps'
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Fault("value/type", "must be a position in the run", FORMS)
    try:
        position = parse_position(str(value))
    except ValueError:
        raise _fault(str(value).strip()) from None
    if position.unit == "percent" and position.value > 100:
        raise Fault("value/range", "must be at most 100% of the run", FORMS)
    if position.value > MAX_POSITION:
        raise Fault("value/range", "must be at most 1e15", FORMS)
    return position


def _fault(text: str) -> Fault:
    """Return what is wrong with a text that is no position: its number, its unit, or all of it."""
    parts = _PARTS.fullmatch(text)
    unit = None if parts is None else _UNITS.get(parts[3].lower())
    if parts is None or unit is None:
        has_unit = text.rpartition(" ")[2] in _UNITS
        return Fault(
            "schedule/unit", "must be a plain number with its unit" if has_unit else _UNIT, FORMS
        )
    if text.startswith("-"):
        return Fault(
            "value/range",
            "must not be before the beginning of the run",
            f"the run begins at '0 {unit}'".replace("0 %", "0%"),
        )
    return Fault(
        "schedule/unit", "must be a plain number with its unit", _written(parts[1], parts[2], unit)
    )


def _written(number: str, thousands: str, unit: str) -> str:
    """Return the help that writes the number out."""
    plain = number.replace(",", "").replace("_", "")
    try:
        amount = float(plain) * _THOUSANDS[thousands]
    except ValueError:
        return FORMS
    if not 0 <= amount <= MAX_POSITION:
        return FORMS
    return f"write '{amount:.15g}{'' if unit == '%' else ' '}{unit}'"


PLACE_TEXT = (
    r"^\s*([0-9]+(\.[0-9]+)?\s*(epochs?|steps?)|0*(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)\s*%)\s*$"
)
Place = Annotated[
    Position, PlainValidator(parse_place), WithJsonSchema({"type": "string", "pattern": PLACE_TEXT})
]
