"""Values that are one of a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import PlainValidator, WithJsonSchema

from graphprune.rules.shapes.scalars import Fault
from graphprune.suggestions import closest


def parse_choice(
    value: Any, choices: Sequence[str], meant: Mapping[str, str], about: str = ""
) -> Any:
    """Return one of these words; `meant` says what to write instead of other words, `about` what
    the words mean.

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
    """Return how pydantic checks such a value and describes it, to be unpacked in `Annotated`.

    Args:
        choices: The words.
        meant: What to write instead of other words that people use.
        about: What the words mean, for those who wrote none of them.
    """

    def parse(value: Any) -> Any:
        return parse_choice(value, choices, meant, about)

    return PlainValidator(parse), WithJsonSchema({"enum": list(choices)})
