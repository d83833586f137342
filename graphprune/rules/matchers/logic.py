"""Matchers that combine others: `all`, `any`, `not`, `use`, and "*" for every candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from graphprune.rules.matchers.key import ONE_MATCHER, SEVERAL_MATCHERS, MatcherKey, Place
from graphprune.rules.matchers.matcher import Matcher
from graphprune.rules.text.words import Text
from graphprune.suggestions import closest

if TYPE_CHECKING:
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches


@dataclass(frozen=True, slots=True)
class Everything(Matcher):
    """Every candidate."""

    def find(self, matches: Matches) -> LayerSet:
        """Return the candidates."""
        return matches.candidates

    def words(self) -> str:
        """Return `*`."""
        return "*"

    def reason(self, failures: Failures, address: str) -> str:
        """Return "": the condition needs no reason."""
        return ""


@dataclass(frozen=True, slots=True)
class Use(Matcher):
    """The layers that a selector matches.

    Names are unique in a rule set, so only the name is compared.
    """

    name: str
    of: Matcher = field(compare=False, repr=False)

    def find(self, matches: Matches) -> LayerSet:
        """Return the selector's set."""
        return matches.of(self.of)

    def words(self) -> str:
        """Return the selector's name."""
        return self.name

    def noun(self) -> str:
        """Return `layer of NAME`."""
        return f"layer of {self.name}"

    def spelled(self) -> str:
        """Return `use: NAME`."""
        return f"use: {self.name}"

    def reason(self, failures: Failures, address: str) -> str:
        """Return "": the selector's conditions have their own reasons."""
        return ""


class _Several(Matcher):
    """Several matchers in one."""

    __slots__ = ()

    parts: tuple[Matcher, ...]

    def grouped(self) -> str:
        """Return the phrase, in brackets if it has several parts."""
        return f"({self.words()})" if len(self.parts) > 1 else self.words()

    def noun(self) -> str:
        """Return `layer (...)`."""
        return f"layer ({self.words()})"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the parts."""
        return self.parts

    def reason(self, failures: Failures, address: str) -> str:
        """Return "": the parts have their own reasons."""
        return ""


@dataclass(frozen=True, slots=True)
class AllOf(_Several):
    """In all of the sets."""

    parts: tuple[Matcher, ...]

    def find(self, matches: Matches) -> LayerSet:
        """Return the intersection."""
        return reduce(and_, map(matches.of, self.parts))

    def words(self) -> str:
        """Return the phrases, joined by `and`."""
        return ", and ".join(part.grouped() for part in self.parts)

    def spelled(self) -> str:
        """Return the keys side by side, as in one mapping."""
        return ", ".join(part.spelled() for part in self.parts)

    def nested(self, *more: str) -> str:
        """Return the keys, in braces if there are several."""
        text = ", ".join([self.spelled(), *more])
        return f"{{{text}}}" if more or len(self.parts) > 1 else text


@dataclass(frozen=True, slots=True)
class AnyOf(_Several):
    """In at least one of the sets."""

    parts: tuple[Matcher, ...]

    def find(self, matches: Matches) -> LayerSet:
        """Return the union."""
        return reduce(or_, map(matches.of, self.parts))

    def words(self) -> str:
        """Return the phrases after `any of`."""
        return "any of " + "; ".join(part.grouped() for part in self.parts)

    def spelled(self) -> str:
        """Return `any: [...]`."""
        return f"any: [{', '.join(part.nested() for part in self.parts)}]"


@dataclass(frozen=True, slots=True)
class Not(Matcher):
    """Outside the set."""

    of: Matcher

    def find(self, matches: Matches) -> LayerSet:
        """Return all other layers."""
        return matches.universe - matches.of(self.of)

    def words(self) -> str:
        """Return `not ...`."""
        return f"not {self.of.grouped()}"

    def noun(self) -> str:
        """Return `layer (not ...)`."""
        return f"layer ({self.words()})"

    def spelled(self) -> str:
        """Return `not: ...`."""
        return f"not: {self.of.nested()}"

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matcher that must not hold."""
        return (self.of,)

    def reason(self, failures: Failures, address: str) -> str:
        """Return why the matcher inside holds, or does not."""
        return self.of.reason(failures, address)


def conditions_of(matcher: Matcher, *, through_selectors: bool = True) -> tuple[Matcher, ...]:
    """Return the conditions that must all hold, with nested conjunctions flattened.

    Selectors are flattened too, each once, unless `through_selectors` is false.

    Example:
        >>> star = Everything()
        >>> conditions_of(AllOf((star, AllOf((Not(star),)))))
        (Everything(), Not(of=Everything()))
        >>> conditions_of(Use("wide", AllOf((star, Not(star)))))
        (Everything(), Not(of=Everything()))
    """
    found: list[Matcher] = []
    seen: set[str] = set()
    waiting = [matcher]
    while waiting:
        part = waiting.pop()
        if isinstance(part, AllOf):
            waiting += reversed(part.parts)
        elif not isinstance(part, Use) or not through_selectors:
            found.append(part)
        elif part.name not in seen:
            seen.add(part.name)
            waiting.append(part.of)
    return tuple(found)


def push_not(matcher: Matcher) -> Matcher:
    """Return an equal matcher with `not` moved inside alternatives and conjunctions.

    Example:
        >>> star, used = Everything(), Use("wide", Everything())
        >>> push_not(Not(AnyOf((star, Not(used))))) == AllOf((Not(star), used))
        True
    """
    if not isinstance(matcher, Not):
        return matcher
    match matcher.of:
        case Not(inner):
            return push_not(inner)
        case AnyOf(parts):
            return AllOf(tuple(push_not(Not(part)) for part in parts))
        case AllOf(parts):
            return AnyOf(tuple(push_not(Not(part)) for part in parts))
    return matcher


def _parts(shapes: list[Any], place: Place) -> tuple[Matcher, ...]:
    return tuple(place.matcher(shape, index) for index, shape in enumerate(shapes))


def _use(name: str, place: Place) -> Matcher:
    if name not in place.selectors:
        place.fault(
            "selector/unknown",
            f"use must name a selector that is defined, got {name!r}",
            lambda: _known(name, place.selectors),
        )
        return Everything()
    return place.selectors[name]


def _known(name: str, selectors: Mapping[str, Matcher]) -> str:
    if not selectors:
        return "none is defined; add a section 'selectors'"
    return closest(name, selectors) or f"defined: {', '.join(sorted(selectors))}"


ALL = MatcherKey(
    "all",
    SEVERAL_MATCHERS,
    "All of these matchers hold.",
    '[{type: Dense}, {name: {glob: "head_*"}}]',
    build=lambda shapes, place: AllOf(_parts(shapes, place)),
    meant_by=("and",),
)
ANY = MatcherKey(
    "any",
    SEVERAL_MATCHERS,
    "At least one of these matchers holds.",
    "[{type: Dense}, {isa: Conv2D}]",
    build=lambda shapes, place: AnyOf(_parts(shapes, place)),
    meant_by=("or",),
)
NOT = MatcherKey(
    "not",
    ONE_MATCHER,
    "This matcher does not hold.",
    "{last: {type: Dense}}",
    build=lambda shape, place: Not(place.matcher(shape)),
)
USE = MatcherKey("use", Text, "The selector of this name matches.", "classifier", build=_use)
