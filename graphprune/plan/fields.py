"""Typed fields of untrusted JSON: every fault is one line that says where."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from graphprune.errors import PlanError

_LARGEST = 2**53
"""The largest whole number that every JSON reader keeps exact."""


class Fields:
    """One JSON object, read field by field; a field that is missing or of another type is a
    `PlanError` with its dotted path.

    Example:
        >>> try:
        ...     Fields({"model": {"layers": "5"}}, "p.json").mapping("model").count("layers")
        ... except PlanError as fault:
        ...     print(fault)
        p.json: model.layers: expected a whole number from 0, got '5'; make the plan again
    """

    __slots__ = ("_config", "_path", "_place")

    def __init__(self, config: object, place: str, path: str = "") -> None:
        self._place, self._path = place, path
        if not isinstance(config, Mapping):
            raise PlanError(
                f"{place}: {path + ': ' if path else ''}expected an object, got"
                f" {reprlib.repr(config)}; make the plan again"
            )
        self._config: Mapping[str, Any] = config

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self.fault(name, "a string", value)
        return value

    def text_or_none(self, name: str) -> str | None:
        """Return a string, or None where it is null or missing."""
        return None if self._config.get(name) is None else self.text(name)

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return a string that is one of `choices`."""
        value = self.text(name)
        if value not in choices:
            raise self.fault(name, f"one of {', '.join(choices)}", value)
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._get(name)
        if not isinstance(value, bool):
            raise self.fault(name, "true or false", value)
        return value

    def count(self, name: str) -> int:
        """Return a whole number from 0."""
        value = self._get(name)
        if not _is_count(value):
            raise self.fault(name, "a whole number from 0", value)
        return int(value)

    def count_or_none(self, name: str) -> int | None:
        """Return a whole number from 0, or None where it is null or missing."""
        return None if self._config.get(name) is None else self.count(name)

    def share(self, name: str) -> float:
        """Return a number from 0 to 1."""
        value = self._get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise self.fault(name, "a number from 0 to 1", value)
        return float(value)

    def share_or_none(self, name: str) -> float | None:
        """Return a number from 0 to 1, or None where it is null or missing."""
        return None if self._config.get(name) is None else self.share(name)

    def items(self, name: str) -> list[Any]:
        """Return a list."""
        value = self._get(name)
        if not isinstance(value, list):
            raise self.fault(name, "a list", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            raise self.fault(name, "a list of strings", values)
        return tuple(values)

    def counts(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers from 0."""
        values = self.items(name)
        if not all(_is_count(value) for value in values):
            raise self.fault(name, "a list of whole numbers from 0", values)
        return tuple(values)

    def entries(self, name: str) -> list[Fields]:
        """Return a list of objects."""
        return [
            Fields(value, self._place, f"{self._path_of(name)}[{index}]")
            for index, value in enumerate(self.items(name))
        ]

    def entries_or_none(self, name: str) -> list[Fields]:
        """Return a list of objects, empty where it is null or missing."""
        return [] if self._config.get(name) is None else self.entries(name)

    def number_or_none(self, name: str) -> float | None:
        """Return a number from 0, or None where it is null or missing."""
        value = self._config.get(name)
        if value is not None and (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not 0 <= value <= _LARGEST
        ):
            raise self.fault(name, "a number from 0", value)
        return None if value is None else float(value)

    def mapping(self, name: str) -> Fields:
        """Return an object."""
        return Fields(self._get(name), self._place, self._path_of(name))

    def mapping_or_none(self, name: str) -> Fields | None:
        """Return an object, or None where it is null or missing."""
        return None if self._config.get(name) is None else self.mapping(name)

    def raw(self, name: str) -> dict[str, Any]:
        """Return an object as a plain dict."""
        return dict(self.mapping(name)._config)

    def text_pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return an object of strings as pairs, in its order."""
        entries = self.mapping(name)
        return tuple((key, entries.text(key)) for key in entries._config)

    def fault(self, name: str, expected: str, got: object) -> PlanError:
        """Return the error that says what was expected of a field."""
        return PlanError(
            f"{self._place}: {self._path_of(name)}: expected {expected}, got {reprlib.repr(got)};"
            " make the plan again"
        )

    def _path_of(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _get(self, name: str) -> Any:
        if name not in self._config:
            raise PlanError(
                f"{self._place}: {self._path_of(name)}: this field is missing; make the plan again"
            )
        return self._config[name]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
