"""Text, names, choices and booleans of rule files, each with its fault and JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from graphprune.rules.text.regexes import RegexError, compile_regex
from graphprune.rules.text.shape import Fault
from graphprune.suggestions import closest

_TRUTHS = {
    "true": "true",
    "yes": "true",
    "on": "true",
    "y": "true",
    "false": "false",
    "no": "false",
    "off": "false",
    "n": "false",
}
QUOTES = "put quotes around it"
_ID = r"^[^\s,\u0000-\u001f]+$"
_TEXT = {"type": "string", "pattern": r"\S"}


def parse_text(value: Any) -> str:
    """Return text that is not empty."""
    if not isinstance(value, str):
        raise Fault("value/type", "must be text", QUOTES if isinstance(value, int | float) else "")
    if not value.strip():
        raise Fault("value/range", "must not be empty")
    return value


def parse_names(value: Any) -> tuple[Any, ...]:
    """Return one name or several as a tuple; items of a list are checked one by one later."""
    if isinstance(value, str):
        return (parse_text(value),)
    if not isinstance(value, list):
        raise Fault("value/type", "must be a name or a list of names")
    if not value:
        raise Fault("value/range", "must not be empty")
    return tuple(value)


def parse_id(value: Any) -> str:
    """Return a rule id: text without spaces."""
    text = parse_text(value)
    if re.search(r"[\s\x00-\x1f,]", text):
        raise Fault(
            "value/range", "must be one word without blanks and commas", "join the words with '-'"
        )
    return text


def parse_regex(value: Any) -> str:
    """Return a regular expression that RE2 compiles."""
    if not isinstance(value, str):
        raise Fault("value/type", "must be a regular expression in quotes")
    try:
        compile_regex(value)
    except RegexError as err:
        raise Fault("regex/invalid", err.reason, err.help) from None
    return value


def parse_bool(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        word = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None
        raise Fault(
            "value/type",
            "must be true or false",
            (
                f"write {word}, without quotes; yes, no, on and off are strings in YAML 1.2"
                if word
                else ""
            ),
        )
    return value


def parse_true(value: Any) -> bool:
    """Return true, the only valid value of `keep`."""
    if value is not True:
        is_yes = isinstance(value, str) and _TRUTHS.get(value.strip().lower()) == "true"
        help = (
            "write 'keep: true', without quotes; yes and on are strings in YAML 1.2"
            if is_yes
            else "delete the rule if its layers may be pruned"
        )
        raise Fault("value/type", "must be true", help)
    return True


def parse_version(value: Any) -> int:
    """Return the version of the rule language."""
    if value != 1 or isinstance(value, bool | float):
        is_meant = isinstance(value, str | float) and str(value).strip() in ("1", "1.0", "v1")
        raise Fault(
            "value/range",
            "must be 1",
            (
                "write 'version: 1', a plain number"
                if is_meant
                else "this graphprune reads version 1 of the rule language"
            ),
        )
    return 1


def parse_variable(value: Any) -> str | int | float | bool:
    """Return a variable's default: text, a number, or a bool."""
    if not isinstance(value, str | int | float):
        raise Fault("value/type", "must be text, a number, true or false")
    return value


def parse_choice(
    value: Any, choices: Sequence[str], meant: Mapping[str, str], about: str = ""
) -> Any:
    """Return `value` if it is one of these words.

    `meant` maps other words to the correct form, `about` explains the words.

    Example:
        >>> try:
        ...     parse_choice("AVG", ("mean", "max"), {"avg": "pool: mean"})
        ... except Fault as fault:
        ...     print(fault.expectation, "/", fault.help)
        must be one of mean, max / write 'pool: mean'
    """
    expectation = f"must be one of {', '.join(choices)}"
    if not isinstance(value, str):
        raise Fault("value/type", expectation, about, form="shown")
    if value not in choices:
        instead = meant.get(value.strip().casefold())
        if instead:
            raise Fault("value/range", expectation, f"write {instead!r}")
        raise Fault("value/range", expectation, closest(value, choices) or about, form="shown")
    return value


def choice(
    choices: Sequence[str], meant: Mapping[str, str], about: str
) -> tuple[PlainValidator, WithJsonSchema]:
    """Return pydantic's validator and schema of such a value, to be unpacked in `Annotated`.

    Args:
        choices: The words.
        meant: The correct form for other common words.
        about: An explanation of the words, for unknown ones.
    """

    def parse(value: Any) -> Any:
        return parse_choice(value, choices, meant, about)

    return PlainValidator(parse), WithJsonSchema({"enum": list(choices)})


Text = Annotated[str, PlainValidator(parse_text), WithJsonSchema(_TEXT)]
Texts = Annotated[list[Text], Field(min_length=1)]
TextOrList = Annotated[
    tuple[Text, ...],
    BeforeValidator(parse_names),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}),
]
Identifier = Annotated[
    str, PlainValidator(parse_id), WithJsonSchema({"type": "string", "pattern": _ID})
]
RegexText = Annotated[
    str, PlainValidator(parse_regex), WithJsonSchema({"type": "string"})
]  # "format: regex" would mean another dialect than RE2
Truth = Annotated[bool, PlainValidator(parse_bool), WithJsonSchema({"type": "boolean"})]
OnlyTrue = Annotated[bool, PlainValidator(parse_true), WithJsonSchema({"const": True})]
Version = Annotated[int, PlainValidator(parse_version), WithJsonSchema({"const": 1})]
Variable = Annotated[
    str | int | float | bool,
    PlainValidator(parse_variable),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
