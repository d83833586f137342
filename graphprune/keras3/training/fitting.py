"""Training with Keras 3, from a position that may be in the middle of an epoch.

`fit` always begins with the first step of an epoch. A resumed run gives it stand-ins for the steps
of the begun epoch that are done: batches that no step is trained on, and of which no callback is
told. Everything else, such as numbers of steps, means over the epoch and validation, is then as if
it had trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from graphprune.engine.training_seam import Fit
from graphprune.keras3.training.batches import WeightedBatches, with_fixed_size
from graphprune.keras3.training.data import of_model


class Hooks(keras.callbacks.CallbackList):
    """The callbacks of a run, which are not told of steps that are done.

    Where an execution has several steps, they are told of the last one when it has ended. Keras
    before 3.11 tells them of the first.

    Args:
        callbacks: The callbacks.
        epoch: The first epoch.
        done: The steps of this epoch that are done.
        size: The steps of an execution.
        steps: The steps of an epoch.
        **options: Further arguments of `CallbackList`.
    """

    def __init__(
        self,
        callbacks: Sequence[Any],
        epoch: int,
        done: int,
        *,
        size: int,
        steps: int,
        **options: Any,
    ) -> None:
        self._begun, self._done, self._epoch = epoch, done, epoch
        self._size, self._steps = size, steps
        super().__init__(list(callbacks), steps=steps, **options)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        self._epoch = epoch
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Tell of a step that begins."""
        if not self._is_done(batch):
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Tell of a step that has ended."""
        if not self._is_done(batch):
            end = batch // self._size * self._size + self._size
            super().on_train_batch_end(min(end, self._steps) - 1, logs)

    def _is_done(self, batch: int) -> bool:
        return self._epoch == self._begun and batch < self._done


def fit(task: Fit, callbacks: Sequence[Any]) -> None:
    """Train in one call of `fit`.

    Work that is done once per training (the pruner's start, weight averages at the end) is then
    done once.
    """
    model, options, start = task.model, task.options, task.start
    hooks = Hooks(
        callbacks,
        start.epoch,
        start.batch,
        size=options.compiling.steps_per_execution,
        steps=options.steps_per_epoch,
        add_history=True,
        model=model,
        verbose=0,
        epochs=options.epochs,
    )
    left = (options.epochs - start.epoch) * options.steps_per_epoch
    data = of_model(task.data, model)
    batches, test = data.batches(start.step, start.batch, left), validation_of(model, data)
    if _has_fixed_size(model):
        batches = with_fixed_size(batches, data.sample())
    weights = task.class_weight
    if weights and isinstance(batches, keras.utils.PyDataset):
        batches, weights = WeightedBatches(batches, weights), None
    with _skipping(model, start.batch):
        model.fit(
            batches,
            validation_data=test,
            shuffle=False,  # of the order of the batches
            initial_epoch=start.epoch,
            epochs=options.epochs,
            steps_per_epoch=options.steps_per_epoch,
            verbose=0,
            callbacks=hooks,
            class_weight=weights,
        )


def validation_of(model: Any, data: Any) -> Any:
    """Return what a model is validated with; None without validation data."""
    data = of_model(data, model)
    return with_fixed_size(data.test, data.sample()) if _has_fixed_size(model) else data.test


def _has_fixed_size(model: Any) -> bool:
    """Return whether all batches have the same length, which the inputs say."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or ())
    return any(tensor.shape and tensor.shape[0] is not None for tensor in inputs)


@contextmanager
def _skipping(model: Any, count: int) -> Iterator[None]:
    """Let the first `count` steps of the next `fit` change nothing."""
    if not count:
        yield
        return
    model.make_train_function()
    train, logs = model.train_function, model.get_metrics_result()
    left = count

    def step(*arguments: Any) -> Any:
        """Train one step; on JAX the first argument is the state, which is returned too."""
        nonlocal left
        if not left:
            return train(*arguments)
        left -= model.steps_per_execution
        *state, batches = arguments
        if not isinstance(batches, list | tuple):  # an iterator, unless Keras has read the batch
            for _ in range(model.steps_per_execution):
                next(batches)
        return (logs, *state) if state else logs

    model.train_function = step
    try:
        yield
    finally:
        model.train_function = train
