"""A plan as a value: what would change in a model, with the resulting figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.graph.architecture import (
    Architecture,
    describe_architecture,
    fingerprint,
    hash_architecture,
)
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.out_of_reach import OutOfReach
from graphprune.plan.outlook import find_outlook
from graphprune.rules.values.checks import CheckStatus
from graphprune.rules.values.rule_set import NO_SWITCHES, Loss, Switches
from graphprune.shown import Shown
from graphprune.shrink.summary import ShrinkSummary
from graphprune.sparsity.pruning import Pruning

Action = Literal["wrap", "unwrap", "retarget", "keep", "unclaimed", "noop"]


@dataclass(frozen=True, slots=True)
class RuleRef:
    """A rule by id and place."""

    id: str
    where: Where


@dataclass(frozen=True, slots=True)
class TensorChange:
    """One tensor, before and after: a prunable one, or one that follows channels.

    Attributes:
        name, axes, shape: As in the layer graph; `axes` may be empty.
        size: The number of weights.
        zeros_before: Zeros measured in the file; None where weights were not read.
        zeros_after: Exact zeros when the plan is finished; None where the plan does not touch the
            tensor.
        stored_as: As in the layer graph.
        follows: Whether it is no prunable tensor and only loses the channels that others lose, such
            as a bias. Figures of prunable weights leave it out.
    """

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    size: int
    zeros_before: int | None
    zeros_after: int | None
    stored_as: str = ""
    follows: bool = False


@dataclass(frozen=True, slots=True)
class LayerChange:
    """What happens to one layer. A rewrap has the actions `unwrap` and `wrap`.

    Attributes:
        address, type, calls: As in the layer graph.
        actions: What is done, in this order; one of them except for a rewrap.
        action_reason: Why, as a word for scripts: `claimed_by_rule`, `keep_rule`, `no_rule`,
            `already_as_planned`, `foreign_wrapper`, `dense_by_budget`, `misfit_skipped`,
            `follows_channels` for a layer that only loses the channels of others, or what changed
            (`sparsity_changed`).
        rule: The rule that decides; of a layer that follows others, the rule of these. None where
            no rule matches.
        also_matched: The other rules that match, and what each lost to.
        before, after: How the layer is pruned in the model, and when the plan is carried out; None
            where it is not.
        after_unknown: Dotted fields of the result that only training, or the length of the run,
            will tell.
        tensors: The prunable tensors, and those that follow channels. A plan read from JSON has
            them only where `after` is set.
        known_steps: (field of `after`'s schedule, optimizer step) of places that are not given in
            steps, where the length of the run is known.
        skipped: (tensor name, reason) of the tensors that stay dense because the pattern does not
            fit them.
        budget: The budget that the rule names, in words (`erk, 95% over claimed`); empty where it
            names none.
    """

    address: str
    type: str
    calls: int
    actions: tuple[Action, ...]
    action_reason: str
    rule: RuleRef | None
    also_matched: tuple[Loss, ...]
    before: Pruning | None
    after: Pruning | None
    after_unknown: tuple[str, ...]
    tensors: tuple[TensorChange, ...]
    known_steps: tuple[tuple[str, int], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    budget: str = ""

    @property
    def is_change(self) -> bool:
        """Whether applying the plan changes this layer."""
        return bool({"wrap", "unwrap", "retarget"} & set(self.actions))


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model that a plan was made for.

    A plan read from JSON does not know `prunable_tensors`, and only such a plan has an
    `architecture_sha256` and an `architecture` (see `Plan`).

    `graph_sha256` is the hash of the config as it is in the file, `architecture_sha256` that of
    `hash_architecture`, which all files of one model share.
    """

    path: str
    graph_sha256: str
    layers: int
    prunable_weights: int
    parameters: int
    prunable_tensors: int | None
    hidden_layers: int
    weights_sha256: str | None = None
    architecture_sha256: str | None = None
    architecture: Architecture | None = None


@dataclass(frozen=True, slots=True)
class HiddenLayer:
    """A layer without prunable weights.

    `position` counts all layers of the graph from 0; `reason` says why rules cannot reach its
    weights.
    """

    address: str
    type: str
    position: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """A pruned tensor that is not as sparse as its wrapper should have made it.

    Attributes:
        address, tensor, rule: Which tensor, and the id of the rule that had it wrapped.
        target: The share of zeros asked for at `step`; None if only the mask is checked.
        step: The step that the wrapper has reached.
        measured: The share of zeros in the file; None if only the mask is checked.
        under_mask: Non-zero weights where the mask says zero.
    """

    address: str
    tensor: str
    rule: str
    step: int
    target: float | None = None
    measured: float | None = None
    under_mask: int = 0


@dataclass(frozen=True, slots=True)
class DenseTensor:
    """A tensor of `size` weights that a budget leaves dense.

    `wanted` is the share of its weights, above 1, that ERK would keep.
    """

    address: str
    tensor: str
    size: int
    wanted: float | None = None


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """The result of a budget.

    Attributes:
        name: What the rule file calls it.
        allocate, over, sparsity, minimum, maximum: As the rule file defines it.
        weights: How many weights the share refers to, or what else `counts` names.
        zeros: How many of them are zero when the plan is finished, or go with dead channels.
        scale: `eps` of ERK, the share that stays of `uniform`, the threshold of `magnitude`; None
            where bounds, or the wrapped model, fix all shares.
        dense: The tensors that stay dense, in graph order.
        counts: What is counted: `weights`, `channels`, `bytes`, `params` or `macs`.
    """

    name: str
    allocate: str
    over: str
    sparsity: float
    minimum: float | None
    maximum: float | None
    weights: int
    zeros: int
    scale: float | None
    dense: tuple[DenseTensor, ...] = ()
    counts: Literal["weights", "channels", "bytes", "params", "macs"] = "weights"


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Shown):
    """What the rules would change in a model.

    `make_plan` makes it, `apply_plan` applies it.

    Attributes:
        model: What it was made for.
        rules: (path, sha256) of each rule file.
        rule_count: How many rules the files hold; None in a plan read from JSON.
        variables: Values of the rule files' variables.
        changes: One per candidate layer, and per layer that follows the channels of others, in the
            graph's order.
        diagnostics: Warnings and notes.
        drift: Where a wrapped model deviates from the plan that wrapped it.
        hidden: The layers that the plan has no change for, in the graph's order: they have no
            prunable weights. Empty in a plan read from JSON.
        switches: What the command line changed in the rule files.
        budgets: The result of each budget, by name.
        weight_hashes: (address, sha256) of the layers whose weights the plan depends on, in graph
            order.
        checks: (id, `pass` or `warn`) of each check in `require`; a check that fails stops the
            plan.
        depends_on_weights: Whether the values of the weights decided which layers the rules match,
            or how a budget is allocated.
        graph: The model that it was made for; None in a plan read from JSON, which knows only its
            hash.
        read_outlook: `outlook` of a plan read from JSON.
    """

    model: ModelFacts
    rules: tuple[tuple[str, str], ...]
    rule_count: int | None
    variables: Mapping[str, Any]
    changes: tuple[LayerChange, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    drift: tuple[Drift, ...] = ()
    hidden: tuple[HiddenLayer, ...] = ()
    switches: Switches = NO_SWITCHES
    budgets: tuple[BudgetChange, ...] = ()
    weight_hashes: tuple[tuple[str, str], ...] = ()
    checks: tuple[tuple[str, CheckStatus], ...] = ()
    depends_on_weights: bool = False
    graph: LayerGraph | None = field(default=None, compare=False, repr=False)
    read_outlook: ShrinkSummary | None = field(default=None, compare=False, repr=False)

    @property
    def architecture_sha256(self) -> str | None:
        """The hash that all files of the model share; None in a plan that an earlier version wrote.

        It takes as long as the rest of a plan of a large model, and only written plans need it.
        """
        if self.model.architecture_sha256 is None and self.graph is not None:
            return hash_architecture(self.graph)
        return self.model.architecture_sha256

    @property
    def architecture(self) -> Architecture | None:
        """The model layer by layer; None in a plan that an earlier version wrote."""
        if self.model.architecture is None and self.graph is not None:
            return describe_architecture(self.graph)
        return self.model.architecture

    def fingerprint(self) -> tuple[str | None, Architecture | None]:
        """Return `architecture_sha256` and `architecture`, in the time of one of them."""
        if self.model.architecture_sha256 is None and self.graph is not None:
            return fingerprint(self.graph)
        return self.model.architecture_sha256, self.model.architecture

    @property
    def outlook(self) -> ShrinkSummary | None:
        """What `shrink` will bring after training; None if no layer loses whole channels."""
        if self.graph is None:
            return self.read_outlook
        return find_outlook(self.graph, self.afters)

    @property
    def afters(self) -> dict[str, Pruning]:
        """How each pruned layer is pruned when the plan is carried out, by address."""
        return {change.address: change.after for change in self.changes if change.after is not None}

    @property
    def is_empty(self) -> bool:
        """Whether carrying the plan out changes nothing."""
        return not any(change.is_change for change in self.changes)

    @property
    def out_of_reach(self) -> tuple[OutOfReach, ...]:
        """The layers with weights that no rule can reach."""
        return tuple(
            OutOfReach(layer.address, layer.type, layer.reason)
            for layer in self.hidden
            if layer.reason
        )


COUNTED = ("wrap", "retarget", "rewrap", "unwrap", "keep", "unclaimed", "noop")


def kind_of(change: LayerChange) -> str:
    """Return what happens to a layer in one word: its action, or `rewrap`."""
    return change.actions[0] if len(change.actions) == 1 else "rewrap"


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """The figures below a plan.

    Attributes:
        counts: (kind, layers), one pair for each of `COUNTED`.
        zeros_after: Zeros in the claimed tensors when the plan is finished.
        claimed: Weights in tensors that the plan prunes, and in those that a budget counts but
            leaves dense.
        prunable, parameters: With `claimed`, the totals that the shares refer to.
    """

    counts: tuple[tuple[str, int], ...]
    zeros_after: int
    claimed: int
    prunable: int
    parameters: int

    def share_of(self, whole: int) -> float:
        """Return the zeros as a share of `whole` weights; 0 of none."""
        return self.zeros_after / whole if whole else 0.0

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, with shares rounded to 6 places."""
        wholes = {"claimed": self.claimed, "prunable": self.prunable, "parameters": self.parameters}
        shares = {name: round(self.share_of(whole), 6) for name, whole in wholes.items()}
        return {**dict(self.counts), "zeros_after": self.zeros_after, "sparsity_after": shares}


def summarize(plan: Plan) -> PlanSummary:
    """Return the figures of `plan`."""
    kinds = [kind_of(change) for change in plan.changes]
    pruned = [
        (tensor.size, tensor.zeros_after)
        for change in plan.changes
        for tensor in change.tensors
        if tensor.zeros_after is not None and not tensor.follows
    ]
    return PlanSummary(
        counts=tuple((kind, kinds.count(kind)) for kind in COUNTED),
        zeros_after=sum(zeros for _, zeros in pruned),
        claimed=sum(size for size, _ in pruned)
        + sum(dense.size for budget in plan.budgets for dense in budget.dense),
        prunable=plan.model.prunable_weights,
        parameters=plan.model.parameters,
    )
