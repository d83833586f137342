"""What `verify` measures in the weights of a model, one tensor in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.weights import ReadableWeights, TensorKey
from graphprune.plan.changes import Plan, TensorChange
from graphprune.sparsity.pattern_checks import UnitCount, count_channels, count_units
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


def measure_values(values: NDArray[Any], pruning: Pruning | None, name: str) -> TensorFacts:
    """Return what the values of the tensor `name` say; `pruning` is how the plan prunes it."""
    zeros = values == 0
    is_real = values.dtype.kind in "fc" or values.dtype.name == "bfloat16"
    units = None if pruning is None else _count_units(pruning, zeros, name)
    return TensorFacts(
        int(np.count_nonzero(zeros)),
        int(np.count_nonzero(~np.isfinite(values))) if is_real else 0,
        units,
    )


def _count_units(pruning: Pruning, zeros: NDArray[np.bool_], name: str) -> UnitCount | None:
    couplings, share = pruning.couplings_of(name), pruning.share_of(name)
    if couplings:
        return count_channels(couplings, zeros, share)
    return count_units(pruning.pattern, zeros, pruning.axes_of(name), share)


def measure_planned(plan: Plan, weights: ReadableWeights) -> dict[TensorKey, TensorFacts]:
    """Return what each weight tensor of a model says, by the names that the plan has for them.

    The state of wrappers is left out.

    Raises:
        ArchiveError: the weights are damaged.
    """
    planned = planned_tensors(plan)
    own_names = {
        (address, tensor.stored_as): name
        for (address, name), (tensor, _) in planned.items()
        if tensor.stored_as
    }
    found: dict[TensorKey, TensorFacts] = {}
    with weights.opened():
        for address, layer in weights.graph.layers.items():
            for stored in layer.tensors:
                name = own_names.get((address, stored.name), stored.name)
                pruning = planned[address, name][1] if (address, name) in planned else None
                values = weights.read(address, stored.name)
                found[address, name] = measure_values(values, pruning, name)
    return found


def planned_tensors(plan: Plan) -> dict[TensorKey, tuple[TensorChange, Pruning]]:
    """Return the tensors that `plan` prunes and how, in its order."""
    return {
        (change.address, tensor.name): (tensor, change.after)
        for change in plan.changes
        for tensor in change.tensors
        if change.after is not None and tensor.zeros_after is not None
    }
