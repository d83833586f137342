"""Rules as values: what a rule file says, parsed and checked, before any model is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.errors import Diagnostic, Where
from graphprune.rules.checks import Check, CheckOutcome, matchers_of
from graphprune.rules.custom_layers import CustomLayer
from graphprune.rules.matchers import Matcher, Use, reads_weights
from graphprune.rules.number_test import NumberTest
from graphprune.sparsity.patterns import UNSTRUCTURED, Pattern
from graphprune.sparsity.schedules import Schedule


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave the layer dense."""


@dataclass(frozen=True, slots=True)
class Prune:
    """Prune the layer; `weights` None means all its prunable tensors."""

    sparsity: float
    schedule: Schedule
    pattern: Pattern = UNSTRUCTURED
    weights: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which layers (`matcher`), what to do (`action`), and how many layers must match (`expect`)."""

    id: str
    where: Where
    matcher: Matcher
    action: Keep | Prune
    expect: NumberTest
    note: str = ""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one or more files, in file order; the order never changes meaning.

    Attributes:
        files: (path, sha256 of the text) of each file.
        variables: Values of the files' variables after overrides.
        warnings: What lint found that does not stop a plan.
        selectors: The named matchers, those that others use first.
        checks: What `require` asks, in file order.
        custom_layers: What the section `layers` teaches.
    """

    files: tuple[tuple[str, str], ...]
    rules: tuple[Rule, ...]
    variables: Mapping[str, Any]
    warnings: tuple[Diagnostic, ...] = ()
    selectors: tuple[Use, ...] = ()
    checks: tuple[Check, ...] = ()
    custom_layers: tuple[CustomLayer, ...] = ()

    @property
    def reads_weights(self) -> bool:
        """Whether a matcher looks at measured zeros, so that the plan depends on the values in the file."""
        written = [rule.matcher for rule in self.rules] + [selector.of for selector in self.selectors]
        return any(map(reads_weights, [*written, *(matcher for check in self.checks for matcher in matchers_of(check))]))


@dataclass(frozen=True, slots=True)
class Claim:
    """What the rules say of one candidate layer.

    Attributes:
        address: The layer.
        rule: The rule that decides, or None where no rule matches.
        lost: (rule id, why) of each other rule that matches: `keep` where a keep rule beat it, `same settings` where both say the same.
    """

    address: str
    rule: Rule | None
    lost: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The rules applied to a graph: one claim a candidate, in graph order, everything found wrong or noteworthy, and what came of the checks on the model."""

    claims: tuple[Claim, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()
