"""Where a training run stands after a step: a value for whoever draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run stands after a step.

    Attributes:
        epoch: The epoch that the step belongs to, from 1.
        epochs: Epochs of the whole run.
        step: Optimizer updates since the run began.
        steps: Updates of the whole run.
        metrics: The loss first, then metrics by name: means over the epoch so far, with `val_`
            names once it has ended.
        target_sparsity: The share of zeros that schedules ask for at this step, over all pruned
            weights.
        sparsity: The share of pruned weights that masks hold at zero.
        epoch_ended: Whether this was the last step of its epoch, told once more after validation.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    target_sparsity: float = 0.0
    sparsity: float = 0.0
    epoch_ended: bool = False


OnProgress = Callable[[Progress], None]
