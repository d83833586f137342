"""What a plan comes to: how many layers each action takes, and how many zeros there are when it is
finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphprune.plan.changes import LayerChange, Plan

COUNTED = ("wrap", "retarget", "rewrap", "unwrap", "keep", "unclaimed", "noop")


def kind_of(change: LayerChange) -> str:
    """Return the one word for what happens to a layer: its action, or `rewrap`."""
    return change.actions[0] if len(change.actions) == 1 else "rewrap"


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """The figures below a plan.

    Attributes:
        counts: (kind, layers), one pair for each of `COUNTED`.
        zeros_after: Zeros in the claimed tensors when the plan is finished.
        claimed: Weights in tensors that the plan prunes, and in those that a budget counts but
            leaves dense.
        prunable, parameters: With `claimed`, what the shares are taken of.
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
        if tensor.zeros_after is not None
    ]
    return PlanSummary(
        counts=tuple((kind, kinds.count(kind)) for kind in COUNTED),
        zeros_after=sum(zeros for _, zeros in pruned),
        claimed=sum(size for size, _ in pruned)
        + sum(dense.size for budget in plan.budgets for dense in budget.dense),
        prunable=plan.model.prunable_weights,
        parameters=plan.model.parameters,
    )
