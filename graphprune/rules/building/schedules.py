"""Schedules: their shape and values, and positions in a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, PlainValidator, Tag, ValidationInfo, WithJsonSchema

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.rules.text.document import Notes, Path
from graphprune.rules.text.numbers import Power, Share
from graphprune.rules.text.shape import Fault, Shape, optional, required
from graphprune.rules.text.words import choice, parse_text
from graphprune.sparsity.positions import Position, parse_position
from graphprune.sparsity.schedules import (
    CURVES,
    START,
    Schedule,
    ScheduleFault,
    find_schedule_faults,
)
from graphprune.suggestions import closest

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
    """Return a position in the run; the unit is required.

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
    """Return the fault of a text that is not a position: its number, its unit, or all of it."""
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
    """Return help with the number written out."""
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


# Common other names for curves, and the correct form.
_MEANT = {
    "cubic": "curve: polynomial, power: 3",
    "quadratic": "curve: polynomial, power: 2",
    "exp": "curve: exponential",
    "once": "curve: step",
    "oneshot": "curve: step",
    "one-shot": "curve: step",
    "staircase": "curve: points",
    "steps": "curve: points",
    "iterative": "curve: points",
}
_ABOUT = "most runs want 'curve: polynomial', which rises fast at first and slowly at the end"
_NO_MEANING_HELP = {
    "points": "write 'curve: points', or delete them",
    "begin": "its points say when it begins; delete it",
    "end": "its points say when it ends; delete it",
}

CurveName = Annotated[str, *choice(tuple(CURVES), _MEANT, _ABOUT)]


class ScheduleShape(Shape):
    """When masks change, and how the sparsity rises to its target."""

    meant: ClassVar[Mapping[str, str]] = {
        "initial": "from",
        "initial_sparsity": "from",
        "start": "begin",
        "begin_step": "begin",
        "stop": "end",
        "end_step": "end",
        "frequency": "every",
        "exponent": "power",
        "type": "curve",
        "kind": "curve",
    }
    missing: ClassVar[Mapping[str, str]] = {"curve": f"add one of {', '.join(CURVES)}"}

    curve: CurveName = required(
        "How the sparsity reaches its target: constant, linear, polynomial, step, ...", "polynomial"
    )
    initial: Share = optional(
        "The share of zeros at the beginning of a ramp.", "30%", alias="from", default=0.0
    )
    begin: Place = optional(
        "When pruning begins: 0 epochs, 2000 steps or 10% (of the run).", "0 epochs"
    )
    end: Place = optional(
        "When the target is reached and masks change for the last time, with a unit as in begin.",
        "4 epochs",
    )
    every: Place = optional(
        ("The interval of mask updates, such as 100 steps. Masks also change at begin and at end."),
        "100 steps",
    )
    power: Power = optional(
        "The exponent of a polynomial ramp; 3 rises fast at first and slowly at the end.",
        "3",
        default=3.0,
    )
    points: Annotated[
        dict[str, Share],
        Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": PLACE_TEXT}}),
    ] = optional(
        "Sparsity by position: {4 epochs: 50%, 8 epochs: 80%}.", "{4 epochs: 50%, 8 epochs: 80%}"
    )


def _known_schedule(value: Any, info: ValidationInfo) -> str:
    name = parse_text(value)
    known = info.context["schedules"] if info.context is not None else (name,)
    if name not in known:
        raise Fault(
            "schedule/unknown",
            "must name a schedule that is defined",
            lambda: closest(name, known) or _unknown_help(name, sorted(known)),
        )
    return name


def _unknown_help(name: str, known: list[str]) -> str:
    if name in CURVES:
        return (
            f"{name} is a curve; write it inline, such as {{curve: {name}, begin: 0 epochs, end: 4"
            " epochs, every: 100 steps}"
        )
    if known:
        return f"defined: {', '.join(known)}"
    return (
        "none is defined; add it under 'schedules', or write it inline: {curve: step, begin: 0"
        " steps}"
    )


def _schedule_kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return "~mapping"
    return "~text" if isinstance(value, str) else None


ScheduleValue = Annotated[
    Annotated[
        str,
        PlainValidator(_known_schedule),
        WithJsonSchema({"type": "string", "pattern": r"\S"}),
        Tag("~text"),
    ]
    | Annotated[ScheduleShape, Tag("~mapping")],
    Discriminator(
        _schedule_kind,
        custom_error_type="value/type",
        custom_error_message="must be the name of a schedule, or a schedule",
    ),
]


def build_schedule(
    shape: ScheduleShape, notes: Notes, path: Path, name: str | None, subject: str
) -> Schedule | None:
    """Return the schedule at `path`, or None after noting a fault."""
    before = len(notes.faults)
    points = _points(shape, notes, path, subject)
    places: dict[str, Any] = {
        key: shape.given(key) for key in ("begin", "end", "every") if shape.given(key) is not None
    }
    given = {
        "begin": START,
        "end": None,
        "every": None,
        "initial": shape.initial,
        "power": shape.power,
        "points": points,
    } | places
    if notes.lacks(path, "curve"):
        given["points"] = ()  # an unknown curve may have points
    untold = ["points"] if len(notes.faults) > before else []
    meaningless = [] if notes.lacks(path, "curve") else _meaningless(shape)
    faults = [
        ScheduleFault(
            key, f"{key} has no meaning for the curve {shape.curve}", _no_meaning_help(key)
        )
        for key in meaningless
    ]
    faults += [
        fault
        for fault in find_schedule_faults(shape.curve, **given)
        if fault.key not in (*meaningless, *untold)
    ]
    for fault in faults:
        notes.fault("value/range", f"{subject}{fault.text}", (*path, fault.key), fault.help)
    if faults or len(notes.faults) > before:
        return None
    return Schedule(curve=shape.curve, name=name, **given)


def _meaningless(shape: ScheduleShape) -> list[str]:
    """Return the keys of the schedule that its curve does not use."""
    used = CURVES[shape.curve].keys
    given = {"from" if name == "initial" else name for name in shape.model_fields_set}
    keys = ("from", "power", "points", "begin", "end")
    return [key for key in keys if key in given and key not in used]


def _no_meaning_help(key: str) -> str:
    curves = [name for name, curve in CURVES.items() if key in curve.keys]
    if key == "from":
        listed = f"{', '.join(curves[:-1])} and {curves[-1]}"
        return f"only {listed} schedules rise gradually; delete it"
    if key == "power":
        return f"only {' and '.join(curves)} schedules have one; delete it"
    return _NO_MEANING_HELP[key]


def _points(
    shape: ScheduleShape, notes: Notes, path: Path, subject: str
) -> tuple[tuple[Position, float], ...]:
    points = []
    for key, share in (shape.given("points") or {}).items():
        try:
            points.append((parse_place(key), share))
        except Fault as fault:
            message = f"{subject}a point {fault.expectation}, got {key!r}"
            notes.faults.append(
                Diagnostic(
                    fault.slug, message, notes.document.key((*path, "points", key)), fault.help
                )
            )
    return tuple(points)
