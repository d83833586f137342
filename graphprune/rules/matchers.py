"""Matchers as values. Each denotes a set of layers; equal matchers denote the same set, so places in files do not count for equality."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from graphprune.errors import Where
from graphprune.rules.config_test import ConfigTest
from graphprune.rules.number_test import NumberTest

Places = tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Everything:
    """Every candidate."""


@dataclass(frozen=True, slots=True)
class NameIs:
    """The address is one of these; `places` has one entry an address."""

    addresses: tuple[str, ...]
    places: Places = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class NameGlob:
    """The whole address fits the glob: `*` does not cross `::`, `**` does."""

    glob: str
    places: Places = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class NameRegex:
    """The regular expression matches the whole address."""

    regex: str
    places: Places = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class TypeIs:
    """The registered class name is one of these."""

    types: tuple[str, ...]
    places: Places = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class IsA:
    """The class, or one of its bases, has one of these names."""

    types: tuple[str, ...]
    places: Places = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ConfigIs:
    """The config value under a dotted key passes a test; a key that is not there passes only `exists: false`."""

    key: str
    test: ConfigTest
    places: Places = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Params:
    """The number of prunable weights."""

    test: NumberTest


@dataclass(frozen=True, slots=True)
class Calls:
    """How often the layer is called."""

    test: NumberTest


@dataclass(frozen=True, slots=True)
class Flag:
    """A yes-or-no fact of the layer."""

    name: Literal["trainable", "wrapped", "produces_output"]
    wanted: bool


@dataclass(frozen=True, slots=True)
class Inside:
    """Some enclosing nested model matches."""

    container: Matcher


@dataclass(frozen=True, slots=True)
class First:
    """In the set, and no strict ancestor is."""

    of: Matcher


@dataclass(frozen=True, slots=True)
class Last:
    """In the set, and no strict descendant is."""

    of: Matcher


@dataclass(frozen=True, slots=True)
class AllOf:
    """In every one of the sets."""

    parts: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """In one of the sets at least."""

    parts: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Outside the set."""

    of: Matcher


Matcher = Everything | NameIs | NameGlob | NameRegex | TypeIs | IsA | ConfigIs | Params | Calls | Flag | Inside | First | Last | AllOf | AnyOf | Not


def conditions_of(matcher: Matcher) -> tuple[Matcher, ...]:
    """Return the conditions that must all hold, conjunctions inside conjunctions taken apart.

    Example:
        >>> dense = TypeIs(("Dense",))
        >>> conditions_of(AllOf((dense, AllOf((Not(Last(dense)),))))) == (dense, Not(Last(dense)))
        True
    """
    if not isinstance(matcher, AllOf):
        return (matcher,)
    return tuple(condition for part in matcher.parts for condition in conditions_of(part))
