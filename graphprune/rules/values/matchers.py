"""Matchers as values. Each denotes a set of layers; equal matchers denote the same set, so places
in files do not count for equality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from graphprune.errors import Where
from graphprune.rules.values.config_test import ConfigTest
from graphprune.rules.values.number_test import NumberTest

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
    """The config value under a dotted key passes a test; a key that is not there passes only
    `exists: false`.
    """

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
class HasWeight:
    """Some prunable tensor passes all the tests.

    Attributes:
        names: Its name is one of these.
        rank: How many axes it has.
        inputs, outputs: Lengths along `in` and `out` by meaning, whatever the storage order: the
            product where several axes carry the meaning (`out_1`, `out_2`). As stored: a
            convolution in groups has 1/groups of its input channels along `in`.
        kernel: Lengths of the spatial axes (`d`, `h`, `w`), all of them in order, or a test that
            each must pass; tensors without such axes fail.
        dtypes: Its dtype is one of these.
        sparsity: Share of zeros, measured in the file.
    """

    names: tuple[str, ...] | None = None
    rank: NumberTest | None = None
    inputs: NumberTest | None = None
    outputs: NumberTest | None = None
    kernel: tuple[int, ...] | NumberTest | None = None
    dtypes: tuple[str, ...] | None = None
    sparsity: NumberTest | None = None
    places: Places = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class FedBy:
    """Some direct producer matches; with `every` all of them, with `only` there is exactly one.
    Producers are calls.
    """

    of: Matcher
    every: bool = False
    only: bool = False


@dataclass(frozen=True, slots=True)
class Feeds:
    """Some direct consumer matches; with `every` all of them, with `only` there is exactly one.
    Consumers are calls.
    """

    of: Matcher
    every: bool = False
    only: bool = False


@dataclass(frozen=True, slots=True)
class After:
    """Some strict ancestor matches, at most `hops` calls away, on a walk that does not go past a
    layer matching `until`.
    """

    of: Matcher
    hops: int | None = None
    until: Matcher | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """Some strict descendant matches, at most `hops` calls away, on a walk that does not go past a
    layer matching `until`.
    """

    of: Matcher
    hops: int | None = None
    until: Matcher | None = None


@dataclass(frozen=True, slots=True)
class Between:
    """Strictly downstream of a layer in one set and strictly upstream of one in the other; the
    layers of both sets are outside.
    """

    after: Matcher
    before: Matcher


@dataclass(frozen=True, slots=True)
class Use:
    """What a selector matches. Names are unique in a rule set, so the name alone tells two apart:
    selectors that use others twice stay cheap.
    """

    name: str
    of: Matcher = field(compare=False, repr=False)


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


Relation = FedBy | Feeds | After | Before
Matcher = (
    Everything
    | NameIs
    | NameGlob
    | NameRegex
    | TypeIs
    | IsA
    | ConfigIs
    | Params
    | HasWeight
    | Calls
    | Flag
    | Inside
    | First
    | Last
    | FedBy
    | Feeds
    | After
    | Before
    | Between
    | Use
    | AllOf
    | AnyOf
    | Not
)


def conditions_of(matcher: Matcher, *, through_selectors: bool = True) -> tuple[Matcher, ...]:
    """Return the conditions that must all hold: conjunctions inside conjunctions taken apart, and
    selectors too (each once) unless told not to.

    Example:
        >>> dense = TypeIs(("Dense",))
        >>> conditions_of(AllOf((dense, AllOf((Not(Last(dense)),))))) == (dense, Not(Last(dense)))
        True
        >>> conditions_of(Use("wide", AllOf((dense, Calls(NumberTest(eq=1)))))) == (dense, Calls(NumberTest(eq=1)))
        True
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
    """Return the matcher with a `not` on the outside of alternatives or of a conjunction moved
    inside.

    Example:
        >>> push_not(Not(AnyOf((Params(NumberTest(eq=1)), Not(Calls(NumberTest(eq=1))))))) == AllOf((Not(Params(NumberTest(eq=1))), Calls(NumberTest(eq=1))))
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


def parts_of(matcher: Matcher) -> tuple[Matcher, ...]:
    """Return the matchers that stand directly inside another; a selector is named there, and does
    not stand there.
    """
    match matcher:
        case First(inner) | Last(inner) | Inside(inner) | Not(inner) | FedBy(inner) | Feeds(inner):
            return (inner,)
        case After(inner, _, until) | Before(inner, _, until):
            return (inner,) if until is None else (inner, until)
        case Between(after, before):
            return after, before
        case AllOf(parts) | AnyOf(parts):
            return parts
        case _:
            return ()


def all_parts(matcher: Matcher) -> Iterator[Matcher]:
    """Yield the matcher and all that stand inside it, selectors by name only."""
    waiting = [matcher]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += reversed(parts_of(part))


def reads_weights(matcher: Matcher) -> bool:
    """Return whether the set depends on measured zeros, as far as it is written here; what
    selectors say stands with them.
    """
    return any(
        isinstance(part, HasWeight) and part.sparsity is not None for part in all_parts(matcher)
    )
