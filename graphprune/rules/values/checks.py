"""Checks as values: the conditions of `require` on a model and on the finished plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.rules.matchers.matcher import Matcher

if TYPE_CHECKING:
    from graphprune.rules.matchers.number_test import NumberTest


@dataclass(frozen=True, slots=True)
class CountIs:
    """The number of matching layers passes a test; layers without prunable weights count too."""

    of: Matcher
    test: NumberTest


@dataclass(frozen=True, slots=True)
class EachSatisfies:
    """Each layer in one set is also in the other."""

    of: Matcher
    satisfies: Matcher


@dataclass(frozen=True, slots=True)
class Covers:
    """Every path from the inputs, or back from the outputs, contains a layer of the set."""

    start: Literal["inputs", "outputs"]
    by: Matcher


@dataclass(frozen=True, slots=True)
class ResultIs:
    """The sparsity of all prunable tensors of the set passes a test in the finished plan."""

    of: Matcher
    sparsity: NumberTest


CheckStatus = Literal["pass", "fail", "warn"]
Condition = CountIs | EachSatisfies | Covers | ResultIs


@dataclass(frozen=True, slots=True)
class Check:
    """One check; with severity `warn` a failure does not stop a plan."""

    id: str
    where: Where
    condition: Condition
    message: str = ""
    severity: Literal["error", "warn"] = "error"


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """The outcome of one check; the diagnostic says why it failed.

    `warn` is a failure with severity `warn`.
    """

    id: str
    status: CheckStatus
    diagnostic: Diagnostic | None = None


def matchers_of(check: Check) -> tuple[Matcher, ...]:
    """Return the matchers of a check.

    Example:
        >>> from graphprune.rules.matchers.logic import Everything
        >>> matchers_of(Check("all", Where("p.yaml"), Covers("inputs", Everything())))
        (Everything(),)
    """
    match check.condition:
        case EachSatisfies(of, satisfies):
            return of, satisfies
        case Covers(_, by):
            return (by,)
        case CountIs(of) | ResultIs(of):
            return (of,)
