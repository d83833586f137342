"""The pruner of a Keras 3 model."""

from __future__ import annotations

from typing import Any

from graphprune.engine import pruner as engine
from graphprune.engine.progress import missed_targets
from graphprune.keras3.model import KerasModel, held_layers
from graphprune.sparsity.missed_targets import MissedTarget


def find_missed_targets(model: Any) -> tuple[MissedTarget, ...]:
    """Return the pruned tensors that are not at their targets, in the model's order."""
    return missed_targets(held_layers(model))


class Pruner(engine.Pruner):
    """Follows the schedules of all pruned layers of a model; see `graphprune.Pruner`.

    Attributes:
        model: The model.
    """

    def __init__(self, model: Any, optimizer: Any = None) -> None:
        self.model, self._keras_model = model, KerasModel(model, optimizer)
        super().__init__(self._keras_model)

    def expect(self) -> None:
        """Add the masks to the optimizer, before the step is compiled; `start` follows later."""
        self._keras_model.attach()
        self._keras_model.expect(self)

    def release(self) -> None:
        """Make the model refuse training again unless a pruner has started."""
        self._keras_model.release(self)
