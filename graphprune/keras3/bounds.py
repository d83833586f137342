"""The bounds of `archive.allowed.budget` on what Keras 3 allocates while it builds a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src import backend

from graphprune.archive import Archive
from graphprune.archive.allowed.budget import Budget
from graphprune.replaced import replaced

_WIDEST = 8
"""Bytes of the widest number."""


@contextmanager
def growth_bounded(archive: Archive) -> Iterator[None]:
    """Raise an ArchiveError if building the model allocates far more than its file justifies."""
    budget = Budget(archive)
    variable = next(
        kind for kind in keras.Variable.__mro__ if kind.__module__.endswith("common.variables")
    )
    with replaced(
        (variable, "__init__", _bounded_variable(budget, variable.__init__)),
        (keras.layers.RNN, "get_initial_state", _bounded_state(budget)),
        (backend, "rnn", _bounded_steps(budget)),
        (keras.layers.Normalization, "build", _bounded_normalization(budget)),
    ):
        yield


def _bounded_variable(budget: Budget, make: Callable[..., None]) -> Callable[..., None]:
    def bounded(
        self: Any, initializer: Any, shape: Any = None, dtype: Any = None, *rest: Any, **more: Any
    ) -> None:
        if shape is not None:
            lengths = [shape] if isinstance(shape, int) else shape
            budget.spend(lengths, _bytes_of(dtype))
        make(self, initializer, shape, dtype, *rest, **more)

    return bounded


def _bytes_of(dtype: Any) -> int:
    try:
        return np.dtype(keras.backend.standardize_dtype(dtype)).itemsize
    except TypeError:  # bfloat16 and the like, which NumPy does not know
        return 2


def _bounded_state(budget: Budget) -> Callable[..., Any]:
    make = keras.layers.RNN.get_initial_state

    def bounded(layer: Any, batch_size: Any) -> Any:
        if isinstance(batch_size, int):  # it is a tensor if the batch size is not known yet
            for size in keras.tree.flatten(layer.cell.state_size):
                budget.spend([batch_size, size], _WIDEST)
        return make(layer, batch_size)

    return bounded


def _bounded_steps(budget: Budget) -> Callable[..., Any]:
    run = backend.rnn

    def bounded(step_function: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        unrolled = options.get("unroll", rest[4] if len(rest) > 4 else False)
        shape = keras.tree.flatten(inputs)[0].shape
        if unrolled and shape:
            budget.check_steps(max((length or 0 for length in shape[:2]), default=0))
        return run(step_function, inputs, *rest, **options)

    return bounded


def _bounded_normalization(budget: Budget) -> Callable[..., Any]:
    build = keras.layers.Normalization.build

    def bounded(layer: Any, input_shape: Any) -> Any:
        shape = list(input_shape or ())
        axes = layer.axis if layer.input_mean is not None else ()
        known = (shape[axis] or 1 for axis in axes if -len(shape) <= axis < len(shape))
        budget.spend([4 * math.prod(known)], 4)
        return build(layer, input_shape)

    return bounded
