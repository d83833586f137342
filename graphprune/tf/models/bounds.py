"""The bounds of `archive.allowed.budget` on what tf_keras allocates while it builds a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tf_keras.layers import LocallyConnected1D, LocallyConnected2D, Normalization
from tf_keras.src import backend
from tf_keras.src.engine import base_layer_utils
from tf_keras.src.layers.rnn import rnn_utils
from tf_keras.src.utils.conv_utils import conv_output_length

from graphprune.archive import Archive
from graphprune.archive.allowed.budget import Budget
from graphprune.replaced import replaced


@contextmanager
def growth_bounded(archive: Archive) -> Iterator[None]:
    """Raise an ArchiveError if building the model allocates far more than its file justifies."""
    budget = Budget(archive)
    with replaced(
        (base_layer_utils, "make_variable", _bounded_variable(budget)),
        (rnn_utils, "generate_zero_filled_state", _bounded_state(budget)),
        (backend, "rnn", _bounded_steps(budget)),
        (
            Normalization,
            "build",
            _bounded_build(budget, Normalization.build, _cells_of_normalization),
        ),
        (
            LocallyConnected1D,
            "build",
            _bounded_build(budget, LocallyConnected1D.build, _cells_of_local),
        ),
        (
            LocallyConnected2D,
            "build",
            _bounded_build(budget, LocallyConnected2D.build, _cells_of_local),
        ),
    ):
        yield


def _bounded_variable(budget: Budget) -> Callable[..., Any]:
    make = base_layer_utils.make_variable

    def bounded(name: str, shape: Any = None, dtype: Any = tf.float32, **rest: Any) -> Any:
        budget.spend(_lengths(shape), tf.as_dtype(dtype or tf.float32).size or 4)
        return make(name, shape=shape, dtype=dtype, **rest)

    return bounded


def _bounded_state(budget: Budget) -> Callable[..., Any]:
    make = rnn_utils.generate_zero_filled_state

    def bounded(batch_size_tensor: Any, state_size: Any, dtype: Any) -> Any:
        if isinstance(batch_size_tensor, int):  # it is a tensor if the batch size is not known yet
            for size in tf.nest.flatten(state_size):
                budget.spend(
                    [
                        batch_size_tensor,
                        *_lengths(size if isinstance(size, tf.TensorShape) else [size]),
                    ],
                    8,
                )
        return make(batch_size_tensor, state_size, dtype)

    return bounded


def _lengths(shape: Any) -> list[int | None]:
    known = tf.TensorShape(shape)
    return [] if known.rank is None else known.as_list()


def _bounded_steps(budget: Budget) -> Callable[..., Any]:
    run = backend.rnn

    def bounded(step_function: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        unrolled = options.get("unroll", rest[4] if len(rest) > 4 else False)
        first = tf.nest.flatten(inputs)[0]
        steps = (
            max((length or 0 for length in first.shape[:2]), default=0)
            if unrolled and first.shape.rank
            else 0
        )
        budget.check_steps(steps)
        return run(step_function, inputs, *rest, **options)

    return bounded


def _bounded_build(
    budget: Budget, build: Callable[..., Any], cells: Callable[[Any, list[int | None]], int]
) -> Callable[..., Any]:
    def bounded(layer: Any, input_shape: Any) -> Any:
        budget.spend([cells(layer, _lengths(input_shape))], 4)
        return build(layer, input_shape)

    return bounded


def _cells_of_normalization(layer: Any, shape: list[int | None]) -> int:
    """Return how many values NumPy allocates for a mean and a variance in the config."""
    axes = layer.axis if layer.input_mean is not None else ()
    return 4 * math.prod(shape[axis] or 1 for axis in axes if -len(shape) <= axis < len(shape))


def _cells_of_local(layer: Any, shape: list[int | None]) -> int:
    """Return how many values of the kernel Python loops over."""
    inner = shape[2:] if layer.data_format == "channels_first" else shape[1:-1]
    outer = [
        conv_output_length(*each)
        for each in zip(
            inner, layer.kernel_size, [layer.padding] * len(inner), layer.strides, strict=False
        )
    ]
    if layer.implementation == 2:
        return math.prod(length or 1 for length in [*inner, *outer])
    return 16 * math.prod(length or 1 for length in [*outer, *layer.kernel_size])
