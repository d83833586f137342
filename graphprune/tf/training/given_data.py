"""Training data as users hold it in Python: arrays, `tf.data.Dataset` or `Sequence`, told apart by
its kind before anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from graphprune.arguments import wrong_type
from graphprune.errors import DataError
from graphprune.runs.run_options import GIVEN

NAME = "data"
"""What messages call data that has no name of its own: the argument."""
_BATCHES = (tf.data.Dataset, tf_keras.utils.Sequence)
_KINDS = (
    "arrays as (x, y) or ((x, y), (x_val, y_val)), a tf.data.Dataset, a tf_keras.utils.Sequence, a"
    " pair (training, validation) of these two, the path of an .npz, or 'package.module:function'"
)
_OTHERWISE = "give a tf.data.Dataset with batches of ((x1, x2, ...), y) or (x, y, weight)"
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class GivenArrays:
    """Arrays by their names in an `.npz`."""

    arrays: dict[str, np.ndarray]

    def describe(self) -> str:
        """Return what a run records of them."""
        parts = (f"{name} {array.dtype} {array.shape}" for name, array in self.arrays.items())
        return f"{GIVEN}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class GivenBatches:
    """Batches in the user's order, and those to validate with, or None."""

    train: tf.data.Dataset | tf_keras.utils.Sequence
    test: tf.data.Dataset | tf_keras.utils.Sequence | None

    def describe(self) -> str:
        """Return what a run records of them."""
        kind = type(self.train).__name__
        if isinstance(self.train, tf_keras.utils.Sequence):
            return f"{GIVEN}: a Sequence, {kind}"
        parts = (
            f"{spec.dtype.name} {tuple(spec.shape)}"
            for spec in tf.nest.flatten(self.train.element_spec)
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
        )
        return f"{GIVEN}: a tf.data.Dataset with batches of {', '.join(parts)}"[:_LONGEST]


GivenData = GivenArrays | GivenBatches


def given_data(data: Any) -> str | GivenData:
    """Return the user's data as one of its kinds: text where it is a path or names a function.

    Raises:
        TypeError: it is of no kind that can be trained on; the text names `data`.
    """
    if isinstance(data, str | PathLike):
        return fspath(data)  # type: ignore[return-value]
    if isinstance(data, _BATCHES):
        return GivenBatches(data, None)
    if not isinstance(data, tuple) or not data:
        raise wrong_type(NAME, _KINDS, data)
    if isinstance(data[0], _BATCHES):
        return _pair_of_batches(data)
    if not isinstance(data[0], tuple):
        return GivenArrays(_pair(NAME, data, "train"))
    if len(data) != 2:
        raise TypeError(
            f"{NAME} must be ((x, y), (x_val, y_val)), got a tuple of {len(data)}; give training"
            " and validation arrays"
        )
    test = {} if data[1] is None else _pair(f"{NAME}[1]", data[1], "test")
    return GivenArrays(_pair(f"{NAME}[0]", data[0], "train") | test)


def _pair_of_batches(data: tuple[Any, ...]) -> GivenBatches:
    if len(data) != 2:
        raise TypeError(
            f"{NAME} must be a pair (training, validation), got a tuple of {len(data)}; validation"
            " may be None"
        )
    train, test = data
    if test is not None and not isinstance(test, _BATCHES):
        raise wrong_type(f"{NAME}[1]", "a tf.data.Dataset, a tf_keras.utils.Sequence or None", test)
    return GivenBatches(train, test)


def _pair(place: str, pair: Any, part: str) -> dict[str, np.ndarray]:
    """Return x and y by their names in an `.npz`."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        if isinstance(pair, tuple):
            raise TypeError(
                f"{place} must be (x, y), got a tuple of {len(pair)}; for anything else,"
                f" {_OTHERWISE}"
            )
        raise wrong_type(place, "(x, y), a tuple of two arrays", pair)
    return {
        f"{side}_{part}": _array(f"{place}[{index}]", value)
        for index, (side, value) in enumerate(zip("xy", pair, strict=True))
    }


def _array(place: str, value: Any) -> np.ndarray:
    if isinstance(value, list | tuple | dict):
        raise wrong_type(
            place,
            "one array",
            value,
            f"make it one with numpy.asarray, or for several inputs or outputs {_OTHERWISE}",
        )
    if not hasattr(value, "__array__") or isinstance(value, type):
        raise wrong_type(place, "an array", value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError, NotImplementedError) as fault:
        raise wrong_type(place, "an array", value, "NumPy cannot read its values") from fault


def other_data(folder: Any, recorded: str) -> DataError:
    """Return the error for data that is not what the run in `folder` began with."""
    return DataError(
        f"{NAME}: is not what the run in {folder} began with ({recorded}); give the same data"
        " again, or start a new run"
    )
