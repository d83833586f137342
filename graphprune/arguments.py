"""Errors for wrong arguments of public functions: which argument, expected, got, and a remedy.

Also where a warning points: at the line of the user's program that called the function.
"""

from __future__ import annotations

import numbers
import operator
import os
import sys
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from graphprune.diagnostics.terminal_text import shorten

_PACKAGE = os.path.join(os.path.dirname(__file__), "")
_PLAIN = (str, bytes, bool, int, float, PathLike)


def wrong_type(name: str, wanted: str, value: object, help: str = "") -> TypeError:
    """Return the error for an argument of another type.

    Example:
        >>> print(wrong_type("rules", "a RuleSet or the path of a rule file", 3))
        rules must be a RuleSet or the path of a rule file, got 3
    """
    return TypeError(f"{name} must be {wanted}, got {describe(value)}{f'; {help}' if help else ''}")


def describe(value: object) -> str:
    """Return a value in words for a message: numbers, text and paths, or the class of an object.

    Example:
        >>> describe("m.keras"), describe({}), describe(dict)
        ("'m.keras'", 'dict', 'the class dict itself')
    """
    if value is None or isinstance(value, _PLAIN):
        return shorten(repr(value), 100)
    kind = value if isinstance(value, type) else type(value)
    package = kind.__module__.partition(".")[0]
    named = kind.__qualname__
    if package != "builtins":
        named += f" of {'Keras 3' if package == 'keras' else package}"
    return f"the class {named} itself" if isinstance(value, type) else named


def check_path(name: str, value: Any, wanted: str = "a path", help: str = "") -> str:
    """Return `value` as text.

    Raises:
        TypeError: it is not a path (text or `os.PathLike`).
    """
    path = fspath(value) if isinstance(value, PathLike) else value
    if not isinstance(path, str):
        raise wrong_type(name, wanted, value, help)
    return path


def check_number(name: str, value: Any) -> float:
    """Return `value`.

    Raises:
        TypeError: it is not a number (a bool is none).
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise wrong_type(name, "a number", value)
    return value  # type: ignore[return-value]


def check_whole(name: str, value: Any, least: int | None = None) -> int:
    """Return `value`.

    Raises:
        TypeError: it is not a whole number (a bool is none).
        ValueError: it is below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise wrong_type(name, "a whole number", value)
    if least is not None and operator.index(value) < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value  # type: ignore[return-value]


def check_mapping(name: str, value: Any, wanted: str) -> None:
    """Raise unless `value` is a mapping.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, Mapping):
        raise wrong_type(name, wanted, value)


def user_level() -> int:
    """Return the `stacklevel` at which `warnings.warn` names the first line outside of graphprune.

    Both must be called by the same function.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level
