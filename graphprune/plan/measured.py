"""What `verify` measures in the weights of a model, one tensor in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.weights import ReadableWeights, TensorKey
from graphprune.plan.changes import Plan, TensorChange
from graphprune.sparsity.counts import zero_count
from graphprune.sparsity.pattern_checks import UnitCount, count_units
from graphprune.sparsity.pruning import Pruning


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What the values of one tensor say.

    Attributes:
        zeros: How many are exactly zero.
        non_finite: How many are NaN or infinite.
        units: How many groups, blocks or channels are as zero as the plan wants; None where every
            weight is by itself, and of a tensor that is not pruned.
    """

    zeros: int
    non_finite: int = 0
    units: UnitCount | None = None


class Measuring:
    """Measures tensors one by one; what groups of channels have in common is known at the end."""

    def __init__(self, plan: Plan) -> None:
        self.planned = planned_tensors(plan)
        self._facts: dict[TensorKey, TensorFacts] = {}
        self._alive: dict[str, NDArray[np.bool_]] = {}

    def add(self, key: TensorKey, values: NDArray[Any]) -> None:
        """Measure the tensor `key` of the model."""
        zeros = values == 0
        is_real = values.dtype.kind in "fc" or values.dtype.name == "bfloat16"
        self._facts[key] = TensorFacts(
            int(np.count_nonzero(zeros)),
            int(np.count_nonzero(~np.isfinite(values))) if is_real else 0,
            self._count(key, zeros) if key in self.planned else None,
        )

    def _count(self, key: TensorKey, zeros: NDArray[np.bool_]) -> UnitCount | None:
        name, (_, pruning) = key[1], self.planned[key]
        couplings = pruning.couplings_of(name)
        for coupling in couplings:
            alive = self._alive.setdefault(coupling.group, np.zeros(coupling.channels, np.bool_))
            alive[coupling.own] |= coupling.find_alive(zeros)
        if couplings:
            return None
        return count_units(pruning.pattern, zeros, pruning.axes_of(name), pruning.share_of(name))

    def facts(self) -> dict[TensorKey, TensorFacts]:
        """Return what was measured; a channel is dead where all tensors of its group are zero."""
        return {
            key: facts if key not in self.planned else replace(facts, units=self._units(key, facts))
            for key, facts in self._facts.items()
        }

    def _units(self, key: TensorKey, facts: TensorFacts) -> UnitCount | None:
        name, (_, pruning) = key[1], self.planned[key]
        groups = {
            coupling.group: pruning.share_in(coupling) for coupling in pruning.couplings_of(name)
        }
        counts = [
            UnitCount(
                f"channels of {group.rpartition('/')[0]}",
                zero_count(alive.size, share),
                int(np.count_nonzero(~alive)),
                alive.size,
            )
            for group, share in groups.items()
            for alive in [self._alive[group]]
        ]
        return next(
            (one for one in counts if not one.is_kept), counts[0] if counts else facts.units
        )


def measure_planned(plan: Plan, weights: ReadableWeights) -> dict[TensorKey, TensorFacts]:
    """Return what each weight tensor of a model says, by the names that the plan has for them.

    The state of wrappers is left out.

    Raises:
        ArchiveError: the weights are damaged.
    """
    measuring = Measuring(plan)
    own_names = {
        (address, tensor.stored_as): name
        for (address, name), (tensor, _) in measuring.planned.items()
        if tensor.stored_as
    }
    with weights.opened():
        for address, layer in weights.graph.layers.items():
            for stored in layer.tensors:
                name = own_names.get((address, stored.name), stored.name)
                measuring.add((address, name), weights.read(address, stored.name))
    return measuring.facts()


def planned_tensors(plan: Plan) -> dict[TensorKey, tuple[TensorChange, Pruning]]:
    """Return the tensors that `plan` prunes and how, in its order."""
    return {
        (change.address, tensor.name): (tensor, change.after)
        for change in plan.changes
        for tensor in change.tensors
        if change.after is not None and tensor.zeros_after is not None
    }
