"""The pruner as a Keras callback."""

from __future__ import annotations

import tf_keras

from graphprune.engine.callbacks import MaskUpdates
from graphprune.sparsity.positions import Run
from graphprune.tf.pruning.pruner import Pruner


class UpdatePruningStep(MaskUpdates, tf_keras.callbacks.Callback):
    """Updates masks while `fit` trains a pruned model: `model.fit(x, y,
    callbacks=[UpdatePruningStep()])`.

    Put it before callbacks that save or measure the model, so that they see the masks of the step
    they run at. Where `EarlyStopping` stops training, or restores weights of a step before the
    target, a warning says so when `fit` ends, whichever of the two comes first. A custom loop may
    call its methods as Keras does; a missed call is made up for by the next one. After the first
    update, a warning names the pruned layers that get no gradient.

    Args:
        run: The length of the run, where `fit` cannot know it: an input of unknown size with a
            schedule in epochs or percent.
        done: Steps of that run that were done before, where it is resumed.

    """

    def __init__(self, run: Run | None = None, *, done: int = 0) -> None:
        super().__init__()
        self.follow(run, done)

    def set_model(self, model: tf_keras.Model) -> None:
        """Find the model's pruned layers."""
        super().set_model(model)
        self._pruner = Pruner(model)
