"""The pruner of a tf_keras model."""

from __future__ import annotations

from typing import Any

import tf_keras

from graphprune.engine import pruner as engine
from graphprune.tf.pruning.held import HeldKerasModel
from graphprune.tf.pruning.missing_pruner import WithPruner
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


class Pruner(engine.Pruner):
    """Follows the schedules of all pruned layers of a model, nested models included.

    `start` it once before training; then call `on_step` after every optimizer update (more often
    does no harm). `UpdatePruningStep` does both in `fit`:

        pruner = Pruner(model)
        pruner.start(Run(steps_per_epoch=100, epochs=10))
        for x, y in batches:
            train_step(x, y)
            pruner.on_step()

    A step is what the optimizer counts as one: an update, or one that loss scaling skipped
    (`mixed_float16`), so that a schedule that ends with the run reaches its target. A custom loop
    whose model is not compiled gives a loss scaling optimizer as `optimizer`.

    Attributes:
        model: The model.
        wrappers: The pruned layers by address.
        attached: Those, and wrapped layers without anything to prune.
    """

    def __init__(self, model: tf_keras.Model, optimizer: Any = None) -> None:
        held = HeldKerasModel(model, optimizer)
        super().__init__(held)
        self.model = model
        self.attached: dict[str, PruneLowMagnitude] = held.wrappers
        self.wrappers = {address: self.attached[address] for address in self.layers}
        for wrapper in self.attached.values():
            # under MirroredStrategy, a trace that the refusal broke off in another thread cannot be
            # repaired
            if wrapper.missed_pruner:
                model.train_function, wrapper.missed_pruner = None, False

    def stop(self) -> None:
        """Detach from the pruned layers; training them again needs a pruner again."""
        super().stop()
        function = getattr(self.model, "train_function", None)
        if function is not None and not isinstance(function, WithPruner):
            self.model.train_function = WithPruner(function, list(self.attached.values()))
