"""JSON out of files that nobody has checked."""

from __future__ import annotations

import json
import re
from typing import Any

from graphprune.errors import ArchiveError

MAX_JSON = 128 * 2**20
"""Bytes of one JSON text."""
MAX_DEPTH = 200
"""Levels of JSON; a nested model takes four of them."""
MAX_VALUES = 8_000_000
"""Values of one JSON text; Python takes some 60 bytes for the smallest object."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed")
"""What every half of a surrogate pair begins with, escaped or in UTF-8; whole pairs and some
letters begin so too.
"""
_LONG = re.compile(r"value has (\d+) digits")
"""What Python says of whole numbers that would take it too long to read."""


def parse_object(text: bytes, place: str, part: str, *, strict: bool = False) -> dict[str, Any]:
    """Return the JSON object in `text`, which is the `part` of the file `place`; `strict` refuses
    the NaN and Infinity that Keras writes and JSON has not.

    Raises:
        ArchiveError: this is no JSON object, or it would take too much memory.
    """
    values = text.count(b",") + text.count(b"{") + text.count(b"[")
    if values > MAX_VALUES:
        raise ArchiveError(
            f"{place}: {part} holds {values:,} values, more than the {MAX_VALUES:,} that a model's"
            " config may have; save the model again"
        )
    too_deep = (
        f"{place}: {part} is nested more than {MAX_DEPTH} deep; the file is damaged, save the model"
        " again"
    )
    try:
        value = json.loads(text, parse_constant=_refuse if strict else None)
    except RecursionError as err:
        raise ArchiveError(too_deep) from err
    except ValueError as err:
        long = _LONG.search(str(err))
        if long is not None:
            raise ArchiveError(
                f"{place}: {part} holds a number of {int(long[1]):,} digits, which no model needs;"
                " the file is damaged, save the model again"
            ) from err
        raise ArchiveError(
            f"{place}: {part} is not JSON ({err}); the file is damaged, save the model again"
        ) from err
    if not isinstance(value, dict):
        raise ArchiveError(
            f"{place}: {part} is not a JSON object, got {type(value).__name__}; the file is"
            " damaged, save the model again"
        )
    if _is_deeper(value, MAX_DEPTH):
        raise ArchiveError(too_deep)
    if _HALF.search(text) and _has_half(value):
        raise ArchiveError(
            f"{place}: {part} holds half a character, which is no text; the file is damaged, save"
            " the model again"
        )
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which JSON does not have")


def _has_half(value: Any) -> bool:
    """Return whether a text somewhere in `value` has half of a surrogate pair, with which no file
    can be written.
    """
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif (
            isinstance(item, str)
            and not item.isascii()
            and any("\ud800" <= char <= "\udfff" for char in item)
        ):
            return True
    return False


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    while level and limit >= 0:
        limit -= 1
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)
