"""A matcher key as data, and the position in a file of its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import create_model

from graphprune.diagnostics.diagnostic import Where
from graphprune.rules.matchers.matcher import Matcher, Places
from graphprune.rules.matchers.number_test import NumberTest, to_number_test, to_share_test
from graphprune.rules.text.document import Help, Notes, Path
from graphprune.rules.text.shape import Shape, optional, required

ONE_MATCHER = "MatcherValue"
SEVERAL_MATCHERS = "MatcherList"
"""Values that contain matchers are given by name and resolved in `keys.py`, since the shape of a
matcher needs all keys.
"""

AnyShape = TypeVar("AnyShape", bound=Shape)


@dataclass(frozen=True, slots=True)
class SchemaKey:
    """A key of a mapping of the rule language.

    Attributes:
        name: The key.
        value: The type of its value for pydantic, or the name of one in `keys.py`.
        description: Its description in editors and in the reference.
        example: A value, as YAML.
        is_required: Whether it is required.
    """

    name: str
    value: Any
    description: str
    example: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class MatcherKey(SchemaKey):
    """A key of a matcher.

    Attributes:
        build: Returns the condition of a checked value, or several that must all hold.
        meant_by: Other common names for the key.
    """

    build: Callable[[Any, Place], Matcher | tuple[Matcher, ...]] = field(kw_only=True)
    meant_by: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a value in a file.

    Attributes:
        notes: The file and its faults.
        path: The path of the value.
        subject: The beginning of messages about it.
        selectors: Those of all files.
        build: Returns the matcher of a checked shape.
    """

    notes: Notes
    path: Path
    subject: str
    selectors: Mapping[str, Matcher]
    build: Callable[[Any, Place], Matcher]

    def under(self, *steps: str | int) -> Place:
        """Return the `Place` of a value inside this one."""
        return replace(self, path=(*self.path, *steps))

    def where(self, *steps: str | int) -> Where:
        """Return the position of this value, or of one inside it."""
        return self.notes.document.value((*self.path, *steps))

    def where_key(self, *steps: str | int) -> Where:
        """Return the position of the key of this value, or of one inside it."""
        return self.notes.document.key((*self.path, *steps))

    def where_items(self, items: Sequence[Any]) -> Places:
        """Return the positions of the items of a list."""
        return tuple(self.where(index) for index in range(len(items)))

    def fault(self, slug: str, message: str, help: Help) -> None:
        """Note a fault of the value."""
        self.notes.fault(slug, f"{self.subject}{message}", self.path, help)

    def matcher(self, shape: Any, *steps: str | int) -> Matcher:
        """Return the matcher of a checked shape at this place, or inside it."""
        return self.build(shape, self.under(*steps))

    def number_test(self, value: Any, *steps: str | int) -> NumberTest:
        """Return the test of a whole number at this place, or inside it."""
        return self.under(*steps)._possible(to_number_test(value))

    def share_test(self, value: Any, *steps: str | int) -> NumberTest:
        """Return the test of a share at this place, or inside it."""
        return self.under(*steps)._possible(to_share_test(value))

    def _possible(self, test: NumberTest) -> NumberTest:
        if test.is_empty():
            self.fault(
                "match/contradiction",
                f"{self.path[-1]} cannot hold for any number: {test}",
                "change one of the bounds",
            )
        return test


def with_keys(keys: Sequence[SchemaKey], module: str) -> Callable[[type[AnyShape]], type[AnyShape]]:
    """Return a class decorator that gives a shape these keys as its fields.

    Args:
        keys: In the order of messages and the reference.
        module: The module with the named values.
    """
    fields: dict[str, Any] = {
        key.name: (
            key.value,
            (required if key.is_required else optional)(key.description, key.example),
        )
        for key in keys
    }

    def give(shape: type[AnyShape]) -> type[AnyShape]:
        made = create_model(shape.__name__, __base__=shape, __module__=module, **fields)
        made.__doc__ = shape.__doc__
        words = {
            word: key.name for key in keys if isinstance(key, MatcherKey) for word in key.meant_by
        }
        made.meant = {**shape.meant, **words}
        return made

    return give
