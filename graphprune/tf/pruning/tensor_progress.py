"""Where the pruned tensors of a model stand while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from graphprune.sparsity.schedules import Timetable
from graphprune.tf.pruning.own_schedule import OwnTimetable
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


@dataclass(frozen=True, slots=True)
class TensorProgress:
    """Where one pruned tensor stands.

    Attributes:
        address: The layer's address.
        name: The tensor's name in the layer.
        size: The number of weights.
        zeros: Weights that are zero now.
        target_zeros: Exact zeros when the schedule is finished; the fewest, where short blocks
            leave it open.
        target: The share of zeros that the schedule asks for at this step.
        threshold: The smallest score that the last mask update kept: a magnitude, or that of a
            block or channel.
    """

    address: str
    name: str
    size: int
    zeros: int
    target_zeros: int
    target: float
    threshold: float

    @property
    def sparsity(self) -> float:
        """The measured share of zeros."""
        return self.zeros / self.size


def progress_of(
    address: str, wrapper: PruneLowMagnitude, timetable: Timetable | OwnTimetable, step: int
) -> Iterator[TensorProgress]:
    """Yield where each pruned tensor of the layer at `address` stands at `step`."""
    pruning = wrapper.pruning
    for name, (weight, _, threshold) in zip(pruning.weights, wrapper.pruning_vars, strict=True):
        size = math.prod(weight.shape)
        zeros = size - int(np.count_nonzero(weight.numpy()))
        target = timetable.sparsity_at(step, pruning.share_of(name))
        yield TensorProgress(
            address,
            name,
            size,
            zeros,
            pruning.target_zeros(name, weight.shape),
            target,
            float(threshold.numpy()),
        )
