"""Lengths of weights: numbers from the config, checked, and lengths that depend on the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]
MAX_AXES = 254
"""TensorFlow's limit (tensorflow/core/framework/tensor_shape.h), as is that of a length."""
MAX_LENGTH = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Open:
    """A length that the config does not define.

    It is `times` a length that is the same wherever a layer's weights name it.

    Example:
        >>> str(Open("in")), str(Open("in", 3))
        ('in', '3 x in')
    """

    name: str
    times: int = 1

    def __str__(self) -> str:
        name = self.name.rsplit(".", 1)[-1]
        return name if self.times == 1 else f"{self.times} x {name}"


Length = int | Open | None
"""None: anything."""
Lengths = tuple[Length, ...]


class SettingError(ValueError):
    """A setting that no layer can have."""


def read_setting(config: Config, key: str, default: int | None = None) -> int:
    """Return a setting that must be a whole number above 0.

    Raises:
        KeyError: it is missing, and there is no `default`.
        SettingError: it is something else.
    """
    value = config[key] if default is None else config.get(key, default)
    return parse_length(value, key)


def parse_length(value: Any, key: str) -> int:
    """Return the value of the setting `key`, which must be a whole number above 0."""
    if not is_length(value) or value < 1:
        got = str(value) if isinstance(value, float) else repr(value)
        raise SettingError(f"{key} must be a whole number above 0, got {got[:40]}")
    return int(value)


def read_window(rank: int, config: Config) -> tuple[int, ...]:
    """Return the lengths of a kernel, which a config may give as one number for all axes."""
    value = config["kernel_size"]
    lengths = value if isinstance(value, list | tuple) else [value] * rank
    if len(lengths) != rank:
        raise SettingError(f"kernel_size must have {rank} lengths, got {str(value)[:40]}")
    return tuple(parse_length(length, "kernel_size") for length in lengths)


def parse_lengths(shape: Any) -> Lengths:
    """Return an `output_shape`, one number or several, in which None is open."""
    lengths = shape if isinstance(shape, list | tuple) else [shape]
    if len(lengths) > MAX_AXES:
        raise SettingError(
            f"output_shape must have at most {MAX_AXES} lengths, got {len(lengths):,}"
        )
    return tuple(
        None if length is None else parse_length(length, "output_shape") for length in lengths
    )


def is_length(value: Any) -> bool:
    """Return whether a config's value is a length: a whole number, a float as well, from 0."""
    return (
        type(value) is int or (isinstance(value, float) and value.is_integer())
    ) and 0 <= value <= MAX_LENGTH
