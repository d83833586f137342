"""The pruner as a callback of Keras 3."""

from __future__ import annotations

from typing import Any

import keras

from graphprune.engine.callbacks import MaskUpdates
from graphprune.engine.pruner import Pruner
from graphprune.keras3.model import KerasModel
from graphprune.keras3.state import state_of
from graphprune.sparsity.positions import Run


class UpdatePruningStep(MaskUpdates, keras.callbacks.Callback):  # type: ignore[misc]
    """Updates masks while `fit` trains a pruned model of Keras 3."""

    def __init__(self, run: Run | None = None, *, done: int = 0) -> None:
        super().__init__()
        self.follow(run, done)

    def set_model(self, model: Any) -> None:
        self._model = model
        held = KerasModel(model)
        self._held, self._pruner = held, Pruner(held)
        held.attach()
        held.expect(self._pruner)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        state = state_of(self._model)
        if state is not None:
            state.restore_generator()

    def on_train_end(self, logs: Any = None) -> None:
        super().on_train_end(logs)
        self._held.release(self.pruner)
