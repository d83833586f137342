"""Training data given as Python objects: arrays, or batches in the user's order.

The kinds are told apart before anything is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, ClassVar

import numpy as np

from graphprune.arguments import wrong_type
from graphprune.engine.resuming import DATA
from graphprune.runs.run_options import GIVEN

_OTHERWISE = "give a tf.data.Dataset with batches of ((x1, x2, ...), y) or (x, y, weight)"
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class GivenArrays:
    """Arrays by their names in an `.npz`."""

    arrays: dict[str, np.ndarray[Any, Any]]
    is_arrays: ClassVar[bool] = True

    def describe(self) -> str:
        """Return their description for the run's record."""
        parts = (f"{name} {array.dtype} {array.shape}" for name, array in self.arrays.items())
        return f"{GIVEN}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class GivenBatches:
    """Batches in the user's order.

    Attributes:
        train: A dataset or a sequence.
        test: The validation batches, or None.
        kind: The description of `train`.
    """

    train: Any
    test: Any
    kind: str
    is_arrays: ClassVar[bool] = False

    def describe(self) -> str:
        """Return their description for the run's record."""
        return f"{GIVEN}: {self.kind}"[:_LONGEST]


GivenData = GivenArrays | GivenBatches


@dataclass(frozen=True, slots=True)
class BatchKinds:
    """The objects with batches of their own that a Keras trains on.

    Attributes:
        sequence: The name of its class of numbered batches, such as `tf_keras.utils.Sequence`.
        accepts: Returns whether an object is a dataset or of that class.
        describe: Returns the description of such an object, for the run's record.
    """

    sequence: str
    accepts: Callable[[Any], bool]
    describe: Callable[[Any], str]

    @property
    def noun(self) -> str:
        """The name of the class without its module."""
        return self.sequence.rpartition(".")[2]


def given_data(data: Any, kinds: BatchKinds) -> str | GivenData:
    """Return the user's data as one of its kinds: text where it is a path or names a function.

    Raises:
        TypeError: it is of no supported kind; the text names `data`.
    """
    if isinstance(data, str | PathLike):
        return fspath(data)
    if kinds.accepts(data):
        return GivenBatches(data, None, kinds.describe(data))
    if not isinstance(data, tuple) or not data:
        raise wrong_type(DATA, _words_for(kinds), data)
    if kinds.accepts(data[0]):
        return _pair_of_batches(data, kinds)
    if not isinstance(data[0], tuple):
        return GivenArrays(_pair(DATA, data, "train"))
    if len(data) != 2:
        raise TypeError(
            f"{DATA} must be ((x, y), (x_val, y_val)), got a tuple of {len(data)}; give training"
            " and validation arrays"
        )
    test = {} if data[1] is None else _pair(f"{DATA}[1]", data[1], "test")
    return GivenArrays(_pair(f"{DATA}[0]", data[0], "train") | test)


def _words_for(kinds: BatchKinds) -> str:
    return (
        f"arrays as (x, y) or ((x, y), (x_val, y_val)), a tf.data.Dataset, a {kinds.sequence}, a"
        " pair (training, validation) of these two, the path of an .npz, or"
        " 'package.module:function'"
    )


def _pair_of_batches(data: tuple[Any, ...], kinds: BatchKinds) -> GivenBatches:
    if len(data) != 2:
        raise TypeError(
            f"{DATA} must be a pair (training, validation), got a tuple of {len(data)}; validation"
            " may be None"
        )
    train, test = data
    if test is not None and not kinds.accepts(test):
        raise wrong_type(f"{DATA}[1]", f"a tf.data.Dataset, a {kinds.sequence} or None", test)
    return GivenBatches(train, test, kinds.describe(train))


def _pair(place: str, pair: Any, part: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return x, y and the weights, if there are any, by their names in an `.npz`."""
    if not isinstance(pair, tuple) or len(pair) not in (2, 3):
        if isinstance(pair, tuple):
            raise TypeError(
                f"{place} must be (x, y) or (x, y, weight), got a tuple of {len(pair)}; for"
                f" anything else, {_OTHERWISE}"
            )
        raise wrong_type(place, "(x, y), a tuple of two arrays", pair)
    return {
        name: array
        for index, (side, value) in enumerate(zip("xyw", pair, strict=False))
        for name, array in _named(f"{place}[{index}]", f"{side}_{part}", value)
    }


def _named(place: str, name: str, value: Any) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield an array, or those of a dict, by their names in an `.npz`."""
    if not isinstance(value, dict):
        yield name, _array(place, value)
        return
    if not value or not all(isinstance(key, str) and key for key in value):
        raise TypeError(f"{place} must have the names of inputs or outputs as keys, got {value}")
    for key, array in value.items():
        yield f"{name}.{key}", _array(f"{place}[{key!r}]", array)


def _array(place: str, value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, list | tuple | dict):
        raise wrong_type(
            place,
            "one array",
            value,
            "make it one with numpy.asarray; for several inputs or outputs, give a dict of arrays"
            " by their names",
        )
    if not hasattr(value, "__array__") or isinstance(value, type):
        raise wrong_type(place, "an array", value)
    try:
        return np.asarray(value)
    except (TypeError, ValueError, NotImplementedError, RuntimeError) as fault:
        raise wrong_type(place, "an array", value, "NumPy cannot read its values") from fault
