"""Rules as values: the parsed and checked content of rule files, independent of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.graph.layers import Layer, Tensor, is_named
from graphprune.rules.matchers.matcher import Matcher, reads_weights
from graphprune.rules.values.checks import Check, CheckOutcome, matchers_of
from graphprune.rules.values.custom_layers import CustomLayer
from graphprune.sparsity.counts import percent
from graphprune.sparsity.patterns import UNSTRUCTURED, Pattern
from graphprune.sparsity.pruning import Group, Method
from graphprune.sparsity.schedules import Schedule

if TYPE_CHECKING:
    from graphprune.rules.matchers.logic import Use
    from graphprune.rules.matchers.number_test import NumberTest

_VERBS = {"keep": "beats", "override": "overrides"}


@dataclass(frozen=True, slots=True, order=True)
class Loss:
    """A rule that matches a layer and does not decide it.

    Attributes:
        rule: Its id.
        to: `override` if a rule that overrides it matches, `keep` if a keep rule beat it, `same
            settings` if the deciding rule has the same settings.
        by: The id of the rule that it lost to, which may have lost to the deciding rule in turn.
    """

    rule: str
    to: str
    by: str


def describe_losses(decides: str, losses: Sequence[Loss]) -> str:
    """Return which rule beat which on a layer, those that the deciding rule beat first.

    Example:
        >>> lost = [Loss("half", "override", "most"), Loss("most", "keep", "stem")]
        >>> describe_losses("stem", lost)
        'beats most; most overrides half'
        >>> describe_losses("a", [Loss("b", "same settings", "a")])
        'same settings: b'
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for loss in sorted(losses, key=lambda loss: (loss.by != decides, loss.by)):
        groups.setdefault((loss.by, loss.to), []).append(loss.rule)
    return "; ".join(_group(by, decides, to, ids) for (by, to), ids in groups.items())


def _group(by: str, decides: str, to: str, ids: Sequence[str]) -> str:
    if to not in _VERBS:
        return f"{to}: {', '.join(ids)}"
    return f"{'' if by == decides else f'{by} '}{_VERBS[to]} {', '.join(ids)}"


Allocate = Literal["uniform", "erk", "magnitude", "threshold", "keep"]
Over = Literal["claimed", "prunable"]
Of = Literal["weights", "bytes", "params", "macs"]
Misfit = Literal["error", "skip", "pad"]


OF: Mapping[str, str] = {
    "weights": "",
    "bytes": " of bytes",
    "params": " of parameters",
    "macs": " of multiply-adds",
}
"""What a budget is a share of, in words behind the share."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A target that several tensors share.

    Attributes:
        name: Its name in the rule file.
        sparsity: The share of zeros over all counted tensors.
        allocate: How the zeros are distributed; `threshold` means that a rule's own `threshold`
            decides.
        over: Which tensors count: those of the rules that name the budget, or all prunable ones.
        minimum, maximum: Bounds of each tensor's own share; None if there is none.
        threshold: The magnitude below which weights become zero, if a rule gives one; `sparsity` is
            then 0 and not used.
        of: What `sparsity` is a share of: the weights that become zero or their bytes, or the
            bytes, parameters or multiply-adds of the model that go with the channels of groups.
        where: The position of its definition.
    """

    name: str
    sparsity: float
    allocate: Allocate = "uniform"
    over: Over = "claimed"
    minimum: float | None = None
    maximum: float | None = None
    where: Where = field(default=Where(""), compare=False)
    threshold: float | None = None
    of: Of = "weights"

    @classmethod
    def of_threshold(cls, threshold: float, where: Where) -> Budget:
        """Return the budget of a rule with a `threshold`: tensors lose the weights below it."""
        return cls(f"|w| < {threshold:g}", 0.0, "threshold", where=where, threshold=threshold)

    @classmethod
    def of_zeros(cls, where: Where) -> Budget:
        """Return the budget of a rule with `method: keep`: tensors keep the zeros that they have.

        Their shares are measured when the plan is made, as those of a threshold.
        """
        return cls("zeros that are there", 0.0, "keep", where=where, threshold=0.0)

    def __str__(self) -> str:
        if self.allocate == "keep":
            return "method keep"
        if self.threshold is not None:
            return f"threshold {self.threshold:g}"
        bounds = "".join(
            f", {name} {percent(share)}"
            for name, share in (("min", self.minimum), ("max", self.maximum))
            if share is not None
        )
        share = percent(self.sparsity) + OF[self.of]
        return f"{self.allocate}, {share} over {self.over}{bounds}"


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave the layer dense."""


@dataclass(frozen=True, slots=True)
class Prune:
    """Prune the layer.

    Attributes:
        sparsity: The target share of zeros; with a budget, its share over all its tensors; 0 with a
            threshold, whose share depends on a model's weights.
        schedule: When masks change.
        pattern: Which weights are zeroed together.
        weights: Names of the tensors to prune, or the ends of their names (`kernel` for
            `forward_layer.kernel`); None means all prunable ones.
        misfit: What to do with a tensor that the pattern does not fit.
        budget: The budget that gives each tensor its share; None if all have `sparsity`.
        group: Whether coupled channels are pruned together; only with the pattern of channels.
        method: Whether sparsity follows the schedule, or the zeros that are there are held.
        pattern_where: The position of the pattern in the file.
    """

    sparsity: float
    schedule: Schedule
    pattern: Pattern = UNSTRUCTURED
    weights: tuple[str, ...] | None = None
    misfit: Misfit = "error"
    budget: Budget | None = None
    group: Group = "none"
    method: Method = "gradual"
    pattern_where: Where | None = field(default=None, compare=False)

    def tensors_of(self, layer: Layer) -> tuple[Tensor, ...]:
        """Return the tensors of `layer` that it prunes."""
        if self.weights is None:
            return layer.prunable
        return tuple(tensor for tensor in layer.prunable if is_named(tensor.name, self.weights))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which layers (`matcher`), the action, and how many layers must match (`expect`).

    `overrides` are the ids of the rules that it overrides, directly or indirectly.
    """

    id: str
    where: Where
    matcher: Matcher
    action: Keep | Prune
    expect: NumberTest
    note: str = ""
    overrides: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Switches:
    """Command-line changes to rule files, as written.

    Attributes:
        only: Ids of the only rules to use; all if empty.
        off: Ids of rules to leave out.
        variables: (name, text) of each variable given another value.
        settings: (path, text) of each field given another value, such as `dense-90.prune.sparsity`.
    """

    only: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return the options as typed on a command line."""
        parts = [f"--only {rule}" for rule in self.only] + [f"--off {rule}" for rule in self.off]
        parts += [f"--var {name}={text}" for name, text in self.variables] + [
            f"--set {path}={text}" for path, text in self.settings
        ]
        return " ".join(parts)


NO_SWITCHES = Switches()


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one or more files, in file order; the order does not matter.

    Attributes:
        files: (path, sha256 of the text) of each file.
        variables: Values of the files' variables after overrides.
        warnings: Faults that do not stop a plan.
        switches: The changes from the command line.
        selectors: The named matchers, each after those that it uses.
        checks: The checks of `require`, in file order.
        custom_layers: The custom layers of the section `layers`.
    """

    files: tuple[tuple[str, str], ...]
    rules: tuple[Rule, ...]
    variables: Mapping[str, Any]
    warnings: tuple[Diagnostic, ...] = ()
    switches: Switches = NO_SWITCHES
    selectors: tuple[Use, ...] = ()
    checks: tuple[Check, ...] = ()
    custom_layers: tuple[CustomLayer, ...] = ()

    @property
    def reads_weights(self) -> bool:
        """Whether a matcher tests measured zeros, so that the plan depends on stored values."""
        written = [rule.matcher for rule in self.rules] + [
            selector.of for selector in self.selectors
        ]
        return any(
            map(
                reads_weights,
                [*written, *(matcher for check in self.checks for matcher in matchers_of(check))],
            )
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """The outcome of the rules for one candidate layer.

    Attributes:
        address: The layer.
        rule: The deciding rule, or None if no rule matches.
        lost: Each other rule that matches, and how it lost, by rule id.
    """

    address: str
    rule: Rule | None
    lost: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """The rules applied to a graph.

    Attributes:
        claims: One per candidate, in graph order.
        diagnostics: All faults and notes, sorted by position.
        checks: The outcomes of the checks on the model.
        sound_checks: The checks whose matchers name nothing that the model lacks.
        is_decided: Whether each layer has a certain claim, so that the finished plan can be
            checked.
    """

    claims: tuple[Claim, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()
    sound_checks: tuple[Check, ...] = ()
    is_decided: bool = True
