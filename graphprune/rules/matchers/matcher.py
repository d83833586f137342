"""The base class of all matchers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from graphprune.diagnostics.diagnostic import Diagnostic, Where

if TYPE_CHECKING:
    from graphprune.graph import Layer
    from graphprune.rules.matchers.failures import Failures
    from graphprune.rules.matchers.layer_set import LayerSet
    from graphprune.rules.matchers.matches import Matches

Places = tuple[Where, ...]


class Matcher(ABC):
    """A condition on one layer as a value, which denotes a set of layers.

    Equal matchers denote the same set, so positions in files do not count for equality.

    Attributes:
        walks: Whether finding the set takes a search of the graph.
        needs_connections: Whether the set depends on how layers are connected.
        reads_weights: Whether the set depends on measured zeros.
    """

    __slots__ = ()

    walks: ClassVar[bool] = False
    needs_connections: ClassVar[bool] = False

    @property
    def reads_weights(self) -> bool:
        """Whether the set depends on measured zeros, apart from matchers inside this one."""
        return False

    @abstractmethod
    def find(self, matches: Matches) -> LayerSet:
        """Return the layers, of all kinds, that the matcher holds for."""

    @abstractmethod
    def words(self) -> str:
        """Return the matcher as one phrase."""

    def grouped(self) -> str:
        """Return the phrase for use inside another."""
        return self.words()

    def noun(self) -> str:
        """Return the term for a layer of the set."""
        return self.words()

    def spelled(self) -> str:
        """Return the matcher as written in a rule file, on one line."""
        key, _, test = self.words().partition(" ")
        return self.words() if not test or key.endswith(":") else f"{key}: {test}"

    def nested(self, *more: str) -> str:
        """Return the matcher as the value of a key, in braces if `more` keys are beside it."""
        return f"{{{', '.join([self.spelled(), *more])}}}" if more else self.spelled()

    def inner(self) -> tuple[Matcher, ...]:
        """Return the matchers directly inside; a selector is only named and has none."""
        return ()

    def searches(self) -> Iterable[Search]:
        """Return the searches over all calls that the set takes."""
        return ()

    def found(self, matches: Matches, layer: Layer) -> str:
        """Return the value of a layer outside the set that does not match; "" if there is none."""
        return ""

    def failing(self, failures: Failures, address: str) -> str:
        """Return the condition and a failing layer's value: `padding: valid (is same)`."""
        found = self.found(failures.matches, failures.matches.graph.layers[address])
        return f"{self.words()} (is {found})" if found else self.words()

    def reason(self, failures: Failures, address: str) -> str:
        """Return why a layer is in the set or not; "" if the condition needs no reason."""
        if address in failures.matches.of(self):
            return ""
        found = self.found(failures.matches, failures.matches.graph.layers[address])
        return f"is {found}" if found else ""

    def wider(self, matches: Matches) -> str:
        """Return what would match, or what exists, if the matcher holds for no candidate."""
        return ""

    def faults(self, matches: Matches, context: Context) -> Iterator[Diagnostic]:
        """Yield a fault for each name in this matcher (not those inside) that the model lacks."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Context:
    """The context of a matcher that is checked against a model.

    Attributes:
        where: The place of faults whose own is not known.
        judges_candidates: Whether only layers with prunable weights may be named.
        beside: The conditions that must hold together with it.
    """

    where: Where
    judges_candidates: bool
    beside: tuple[Matcher, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """All calls strictly after (downstream) or strictly before a call of the layers of `of`.

    Paths do not go past a layer of `until`.
    """

    of: Matcher
    downstream: bool
    until: Matcher | None = None


def all_parts(matcher: Matcher) -> Iterator[Matcher]:
    """Yield the matcher and all matchers inside it; selectors are not entered."""
    waiting = [matcher]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += reversed(part.inner())


def reads_weights(matcher: Matcher) -> bool:
    """Return whether the set depends on measured zeros, apart from the selectors that it uses."""
    return any(part.reads_weights for part in all_parts(matcher))


def listed(names: Iterable[str], shown: int = 3) -> str:
    """Return the first few names, and how many more there are.

    Example:
        >>> listed(["a", "b"]), listed("abcde")
        ('a, b', 'a, b, c and 2 more')
    """
    found = list(names)
    text = ", ".join(found[:shown])
    return text if len(found) <= shown else f"{text} and {len(found) - shown} more"


def quoted(names: Iterable[str], shown: int = 3) -> str:
    """Return the first few names in quotes, and how many more there are."""
    return listed(map(repr, names), shown)
