"""All matcher keys, the shapes that consist of them, and matchers built from checked shapes.

A new key is added to a family module and to `KEYS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from graphprune.rules.matchers.classes import ISA, TYPE
from graphprune.rules.matchers.config import CONFIG
from graphprune.rules.matchers.facts import (
    CALLS,
    PARAMS,
    PARAMS_SHARE,
    PRODUCES_OUTPUT,
    TRAINABLE,
    WRAPPED,
)
from graphprune.rules.matchers.key import MatcherKey, Place, with_keys
from graphprune.rules.matchers.logic import ALL, ANY, NOT, USE, AllOf, Everything, Use
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.matchers.names import NAME
from graphprune.rules.matchers.neighbours import FED_BY, FEEDS, INSIDE, NEIGHBOUR_KEYS
from graphprune.rules.matchers.number_test import NumberTest
from graphprune.rules.matchers.reach import (
    AFTER,
    BEFORE,
    BETWEEN,
    BETWEEN_KEYS,
    FIRST,
    LAST,
    REACH_KEYS,
)
from graphprune.rules.matchers.weights import WEIGHT
from graphprune.rules.text.document import Notes, Path
from graphprune.rules.text.shape import MATCHER_WANTED, Conditions, Fault, Shape, required

KEYS: tuple[MatcherKey, ...] = (
    NAME,
    TYPE,
    ISA,
    CONFIG,
    PARAMS,
    PARAMS_SHARE,
    WEIGHT,
    TRAINABLE,
    WRAPPED,
    PRODUCES_OUTPUT,
    CALLS,
    INSIDE,
    FIRST,
    LAST,
    FED_BY,
    FEEDS,
    AFTER,
    BEFORE,
    BETWEEN,
    ALL,
    ANY,
    NOT,
    USE,
)
"""In the order of messages, of the reference, and of the built conditions."""


@with_keys(KEYS, __name__)
class MatcherShape(Conditions):
    """Conditions on one layer; all must hold."""

    @model_validator(mode="after")
    def check_has_condition(self) -> MatcherShape:
        """Refuse a mapping that only limits a search and has no condition."""
        if self.model_fields_set and not self.model_fields_set & MatcherShape.model_fields.keys():
            beside = " and ".join(
                name for name in type(self).model_fields if name not in MatcherShape.model_fields
            )
            raise Fault(
                "value/range",
                f"must hold a condition beside {beside}",
                "add one, such as 'type: Conv2D', or 'all: [\"*\"]' for any layer",
            )
        return self


@with_keys(NEIGHBOUR_KEYS, __name__)
class NeighbourShape(MatcherShape):
    """A matcher for direct producers or consumers."""


@with_keys(REACH_KEYS, __name__)
class ReachShape(MatcherShape):
    """A matcher for ancestors or descendants."""


@with_keys(BETWEEN_KEYS, __name__)
class BetweenShape(Shape):
    """The two ends of a region."""

    meant: ClassVar[Mapping[str, str]] = {
        "from": "after",
        "start": "after",
        "to": "before",
        "end": "before",
        "until": "before",
    }


def _matcher_kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return "~mapping"
    return "~star" if value == "*" else None


_MATCHER_KIND = Discriminator(
    _matcher_kind,
    custom_error_type=MATCHER_WANTED,
    custom_error_message='must be a mapping of conditions, such as {name: conv_1}, or "*"',
)
_Star = Annotated[Literal["*"], Tag("~star")]
MatcherValue = Annotated[_Star | Annotated[MatcherShape, Tag("~mapping")], _MATCHER_KIND]
MatcherList = Annotated[list[MatcherValue], Field(min_length=1)]
NeighbourValue = Annotated[_Star | Annotated[NeighbourShape, Tag("~mapping")], _MATCHER_KIND]
ReachValue = Annotated[_Star | Annotated[ReachShape, Tag("~mapping")], _MATCHER_KIND]


class MatchShape(Shape):
    """One matcher alone, as `graphprune layers --match` takes it."""

    match: MatcherValue = required("Which layers.", "{type: Dense}")


@dataclass(frozen=True, slots=True)
class MatcherBuilder:
    """Builds the matchers of one file; `selectors` are those of all files."""

    notes: Notes
    selectors: Mapping[str, Use] = field(default_factory=dict)

    def matcher(self, shape: Any, path: Path, subject: str) -> Matcher:
        """Return the matcher at `path`; messages about it begin with `subject`."""
        return _build(shape, self._place(path, subject))

    def number_test(self, value: Any, path: Path, subject: str) -> NumberTest:
        """Return the test of a whole number at `path`."""
        return self._place(path, subject).number_test(value)

    def share_test(self, value: Any, path: Path, subject: str) -> NumberTest:
        """Return the test of a share at `path`."""
        return self._place(path, subject).share_test(value)

    def _place(self, path: Path, subject: str) -> Place:
        return Place(self.notes, path, subject, self.selectors, _build)


def _build(shape: Any, place: Place) -> Matcher:
    if not isinstance(shape, MatcherShape):
        return Everything()
    parts = tuple(_conditions(shape, place))
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _conditions(shape: MatcherShape, place: Place) -> Iterator[Matcher]:
    for key in KEYS:
        value = shape.given(key.name)
        if value is not None:
            built = key.build(value, place.under(key.name))
            yield from built if isinstance(built, tuple) else (built,)
