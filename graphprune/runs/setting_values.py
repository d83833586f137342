"""The values of training settings: how files, flags and Python write them, and what they mean.

Each kind of value has a type for files (check and JSON Schema) and a function that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

from pydantic import BaseModel, Field, PlainValidator, Tag, WithJsonSchema, model_validator

from graphprune.rules.building.schedules import PLACE_TEXT, Place, parse_place
from graphprune.rules.text.numbers import Count, parse_number
from graphprune.rules.text.shape import Fault, Shape, kind_of, optional, required
from graphprune.rules.text.words import Text, choice, parse_text
from graphprune.runs.best import rises
from graphprune.sparsity.positions import Position, parse_position

CURVES = ("constant", "cosine", "step")
Curve = Literal["constant", "cosine", "step"]
Mode = Literal["min", "max"]

_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


_Kind = TypeVar("_Kind")


def is_object(text: str) -> bool:
    """Return whether a text names an object of the user's, as `package.module:name`.

    Example:
        >>> is_object("losses:focal"), is_object("mse")
        (True, False)
    """
    return _OBJECT.fullmatch(text) is not None


def parse_object(value: Any) -> str:
    """Return the name of an object of the user's."""
    text = parse_text(value)
    if not is_object(text):
        raise Fault("value/range", "must be MODULE:FUNCTION", "write for example 'my_code:build'")
    return text


def parse_objects(value: Any) -> tuple[str, ...]:
    """Return the names of objects of the user's: one, or a list."""
    return tuple(parse_object(part) for part in (value if isinstance(value, list) else [value]))


def parse_rate(value: Any) -> float:
    """Return a learning rate: a finite number above 0."""
    if not 0 < parse_number(value) < float("inf"):
        raise Fault("value/range", "must be above 0 and finite", "write for example 0.001")
    return float(value)


def parse_share_below_one(value: Any) -> float:
    """Return a share above 0 and below 1, from `0.2` or `20%`."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            value = float(value.strip()[:-1]) / 100
        except ValueError:
            raise Fault("value/type", "must be a share such as 0.2 or 20%") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault("value/type", "must be a share such as 0.2 or 20%")
    if not 0 < value < 1:
        raise Fault("value/range", "must be above 0 and below 1", "20% is 0.2")
    return float(value)


AUTO = "auto"


def parse_jit(value: Any) -> bool | Literal["auto"]:
    """Return whether steps are compiled, or `auto` to leave it to Keras."""
    if value == AUTO:
        return "auto"
    if not isinstance(value, bool):
        raise Fault("value/type", "must be true, false or auto")
    return value


JitCompile = Annotated[
    Any, PlainValidator(parse_jit), WithJsonSchema({"enum": [True, False, AUTO]})
]


def _parse_by_output(value: Any, check_part: Any) -> Any:
    if not isinstance(value, dict):
        return check_part(value)
    if not value or not all(isinstance(name, str) for name in value):
        raise Fault("value/range", "must name at least one output", "write '{heads: mse}'")
    return {name: check_part(part) for name, part in value.items()}


def parse_loss(value: Any) -> str | dict[str, str]:
    """Return a loss, or losses by output."""
    return cast("str | dict[str, str]", _parse_by_output(value, parse_text))


def parse_metrics(value: Any) -> list[str] | dict[str, list[str]]:
    """Return metrics, or metrics by output."""

    def check(part: Any) -> list[str]:
        if isinstance(part, str):
            return [parse_text(part)]
        if not isinstance(part, list) or not part:
            raise Fault("value/type", "must be a metric or a list of metrics")
        return [parse_text(name) for name in part]

    return cast("list[str] | dict[str, list[str]]", _parse_by_output(value, check))


def parse_optimizer(value: Any) -> str | dict[str, Any]:
    """Return the name of an optimizer, or a mapping with its name and settings."""
    if isinstance(value, str):
        return parse_text(value)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise Fault(
            "value/type",
            "must be a name, or a mapping with a name and settings",
            "write 'adam' or '{name: AdamW, weight_decay: 1e-4}'",
        )
    for name, setting in value.items():
        if not isinstance(name, str) or not isinstance(setting, str | int | float | None):
            raise Fault("value/type", "must have numbers, text, true or false as settings")
    return value


def parse_class_weight(value: Any) -> dict[int, float]:
    """Return the weight of each class."""
    if not isinstance(value, dict) or not value:
        raise Fault("value/type", "must be weights by class", "write '{0: 1.0, 1: 4.0}'")
    found: dict[int, float] = {}
    for name, weight in value.items():
        if not re.fullmatch("[0-9]{1,9}", str(name)):
            raise Fault("value/range", f"must have class numbers as keys, got {name!r} as one")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e9:
            raise Fault("value/range", f"must have weights of 0 or more, class {name} has another")
        found[int(name)] = float(weight)
    return found


def parse_early(text: Any) -> dict[str, Any]:
    """Return a metric and a patience from `METRIC[:patience]`.

    Example:
        >>> parse_early("val_loss:3"), parse_early("val_accuracy")
        ({'metric': 'val_loss', 'patience': 3}, {'metric': 'val_accuracy'})
    """
    metric, colon, patience = parse_text(text).strip().partition(":")
    if not metric or (colon and not re.fullmatch("[0-9]{1,6}", patience)):
        raise Fault("value/range", "must be METRIC or METRIC:PATIENCE", "write 'val_loss:5'")
    return {"metric": metric} | ({"patience": int(patience)} if colon else {})


Rate = Annotated[
    float, PlainValidator(parse_rate), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]


class EarlyStoppingShape(Shape):
    """When to stop before the last epoch."""

    takes_variables: ClassVar[bool] = False
    meant: ClassVar[Mapping[str, str]] = {"monitor": "metric", "epochs": "patience"}

    metric: Text = required("The metric to watch, as in metrics.jsonl.", "val_loss")
    patience: Count = optional("Epochs without improvement before training stops.", "5")
    mode: Annotated[Mode, *choice(("min", "max"), {}, "whether less or more is better")] = optional(
        "min or max: whether less or more is better. Default: by the metric's name.", "min"
    )


class LearningRateShape(Shape):
    """A learning rate that changes with the steps of the run."""

    takes_variables: ClassVar[bool] = False
    meant: ClassVar[Mapping[str, str]] = {
        "schedule": "curve",
        "initial": "from",
        "rate": "from",
        "warmup": "warm_up",
        "final": "to",
        "steps": "at",
    }

    curve: Annotated[Curve, *choice(CURVES, {}, "a curve of the learning rate")] = required(
        "constant, cosine or step.", "cosine"
    )
    first: Rate = required("The rate at the beginning, after warm-up.", "1e-3", alias="from")
    last: Rate = optional("cosine: the rate at the end.", "1e-5", alias="to")
    end: Place = optional("cosine: where the rate reaches its end. Default: 100%.", "100%")
    warm_up: Place = optional("The rate rises linearly over this time.", "5%")
    at: Annotated[
        dict[str, Rate],
        Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": PLACE_TEXT}}),
    ] = optional("step: the rate from each position on.", "{50%: 1e-4, 75%: 1e-5}")

    @model_validator(mode="after")
    def check_curve(self) -> LearningRateShape:
        """Refuse keys that the curve does not use, and a step curve without steps."""
        unused = {"cosine": {"at"}, "step": {"last", "end"}, "constant": {"at", "last", "end"}}
        names = {"last": "to"}
        for name in sorted(unused[self.curve] & self.model_fields_set):
            raise Fault(
                "value/range",
                f"has a key {names.get(name, name)!r}, which the curve {self.curve} does not use",
                "delete the key, or choose another curve",
            )
        if self.curve == "step" and "at" not in self.model_fields_set:
            raise Fault(
                "key/missing",
                "needs the key 'at' for the curve step",
                "add the rates by position, such as 'at: {50%: 1e-4}'",
            )
        for position in self.at or {}:
            parse_place(position)
        return self


def _text_or_mapping(shape: type[Shape], parse: Any, schema: dict[str, Any], expected: str) -> Any:
    """Return the type of a value that is text or a number, or a mapping."""
    other = Annotated[Any, PlainValidator(parse), WithJsonSchema(schema), Tag("~value")]
    return Annotated[other | Annotated[shape, Tag("~mapping")], kind_of(False, expected)]


_NAME = {"type": "string", "pattern": r"\S"}
_NAMES = {"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}


def _by_output(part: dict[str, Any]) -> WithJsonSchema:
    mapping = {"type": "object", "additionalProperties": part, "minProperties": 1}
    return WithJsonSchema({"anyOf": [part, mapping]})


Loss = Annotated[Any, PlainValidator(parse_loss), _by_output(_NAME)]
Metrics = Annotated[Any, PlainValidator(parse_metrics), _by_output(_NAMES)]
Optimizer = Annotated[
    Any,
    PlainValidator(parse_optimizer),
    WithJsonSchema(
        {"anyOf": [_NAME, {"type": "object", "required": ["name"], "properties": {"name": _NAME}}]}
    ),
]
LearningRate = _text_or_mapping(
    LearningRateShape,
    parse_rate,
    {"type": "number", "exclusiveMinimum": 0},
    "must be a number or a mapping with a curve",
)
EarlyStopping = _text_or_mapping(
    EarlyStoppingShape, parse_early, _NAME, "must be METRIC[:patience] or a mapping"
)
ClassWeight = Annotated[
    Any,
    PlainValidator(parse_class_weight),
    WithJsonSchema(
        {
            "type": "object",
            "patternProperties": {"^[0-9]{1,9}$": {"type": "number", "minimum": 0}},
            "additionalProperties": False,
            "minProperties": 1,
        }
    ),
]
_OBJECT_NAME = {"type": "string", "pattern": f"^{_OBJECT.pattern}$"}
OBJECTS = WithJsonSchema(
    {"anyOf": [_OBJECT_NAME, {"type": "array", "items": _OBJECT_NAME, "minItems": 1}]}
)
ShareOfSamples = Annotated[
    float,
    PlainValidator(parse_share_below_one),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": r"^\s*[0-9]{1,2}(\.[0-9]+)?\s*%\s*$"},
            ]
        }
    ),
]


@dataclass(frozen=True, slots=True)
class Stopping:
    """Early stopping.

    Attributes:
        metric: The metric to watch.
        patience: Epochs without improvement before training stops.
        rises: Whether the metric is better when it is larger.
    """

    metric: str
    patience: int = 0
    rises: bool = False

    def is_better(self, value: float, best: float) -> bool:
        """Return whether `value` is better than `best`."""
        return value > best if self.rises else value < best


def read_stopping(value: Any) -> Stopping:
    """Return early stopping from `METRIC[:patience]` or a mapping.

    Example:
        >>> read_stopping("val_accuracy:3")
        Stopping(metric='val_accuracy', patience=3, rises=True)
        >>> read_stopping({"metric": "val_accuracy", "mode": "min"}).rises
        False
    """
    plain = parse_early(value) if isinstance(value, str) else dict(value)
    metric, mode = str(plain["metric"]), plain.get("mode")
    is_rising = rises(metric) if mode is None else mode == "max"
    return Stopping(metric, int(plain.get("patience", 0)), is_rising)


@dataclass(frozen=True, slots=True)
class RateCurve:
    """A learning rate that changes with the steps of the run.

    Attributes:
        curve: Its form.
        first, last: The rate after warm-up, and at `end` (cosine).
        end, warm_up: Positions in the run.
        at: (position, rate) for each stair of a step curve, in order.
    """

    curve: Curve
    first: float
    last: float | None = None
    end: Position | None = None
    warm_up: Position | None = None
    at: tuple[tuple[Position, float], ...] = ()


def read_rate(value: Any) -> float | RateCurve:
    """Return a learning rate from a number or a mapping.

    Example:
        >>> read_rate({"curve": "step", "from": 0.1, "at": {"50%": 0.01}}).at
        ((Position(value=50.0, unit='percent'), 0.01),)
    """
    if not isinstance(value, Mapping):
        return float(value)

    def place(name: str) -> Position | None:
        return parse_position(str(value[name])) if name in value else None

    stairs = [(parse_position(str(key)), float(rate)) for key, rate in value.get("at", {}).items()]
    last = float(value["to"]) if "to" in value else None
    return RateCurve(
        value["curve"], float(value["from"]), last, place("end"), place("warm_up"), tuple(stairs)
    )


def plain_value(checked: Any, written: Any) -> Any:
    """Return a checked value as plain data, for JSON and YAML; mappings stay as written."""
    if isinstance(checked, BaseModel):
        return written
    if isinstance(checked, Position):
        return str(checked)
    if isinstance(checked, PathLike):
        return fspath(checked)
    return list(checked) if isinstance(checked, tuple) else checked
