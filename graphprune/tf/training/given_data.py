"""Training data given as Python objects: arrays, `tf.data.Dataset` or `tf_keras.utils.Sequence`.

The kinds are told apart before anything is read. The batches of a Sequence are read in the order of
their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from os import PathLike, fspath
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras

from graphprune.arguments import wrong_type
from graphprune.engine.resuming import DATA
from graphprune.errors import DataError
from graphprune.runs.run_options import GIVEN

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
    is_arrays: ClassVar[bool] = True

    def describe(self) -> str:
        """Return their description for the run's record."""
        parts = (f"{name} {array.dtype} {array.shape}" for name, array in self.arrays.items())
        return f"{GIVEN}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class GivenBatches:
    """Batches in the user's order; `test` holds the validation batches, or None."""

    train: tf.data.Dataset | tf_keras.utils.Sequence
    test: tf.data.Dataset | tf_keras.utils.Sequence | None
    is_arrays: ClassVar[bool] = False

    def describe(self) -> str:
        """Return their description for the run's record."""
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
        TypeError: it is of no supported kind; the text names `data`.
    """
    if isinstance(data, str | PathLike):
        return fspath(data)  # type: ignore[return-value]
    if isinstance(data, _BATCHES):
        return GivenBatches(data, None)
    if not isinstance(data, tuple) or not data:
        raise wrong_type(DATA, _KINDS, data)
    if isinstance(data[0], _BATCHES):
        return _pair_of_batches(data)
    if not isinstance(data[0], tuple):
        return GivenArrays(_pair(DATA, data, "train"))
    if len(data) != 2:
        raise TypeError(
            f"{DATA} must be ((x, y), (x_val, y_val)), got a tuple of {len(data)}; give training"
            " and validation arrays"
        )
    test = {} if data[1] is None else _pair(f"{DATA}[1]", data[1], "test")
    return GivenArrays(_pair(f"{DATA}[0]", data[0], "train") | test)


def _pair_of_batches(data: tuple[Any, ...]) -> GivenBatches:
    if len(data) != 2:
        raise TypeError(
            f"{DATA} must be a pair (training, validation), got a tuple of {len(data)}; validation"
            " may be None"
        )
    train, test = data
    if test is not None and not isinstance(test, _BATCHES):
        raise wrong_type(f"{DATA}[1]", "a tf.data.Dataset, a tf_keras.utils.Sequence or None", test)
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


@dataclass(frozen=True, slots=True)
class SequenceData:
    """The batches of a Sequence; `on_epoch_end` is called after each pass, as Keras does.

    Attributes:
        spec: The name of the data in messages.
        sequence: The user's object.
        first: Its first batch, which gives shapes and types.
        test: The validation set, or None.
        steps_per_epoch: The length of an epoch.
        sha256: Empty: only the first batch is hashed.
    """

    spec: str
    sequence: tf_keras.utils.Sequence
    first: Any
    test: tf.data.Dataset | None
    steps_per_epoch: int
    sha256: str = ""

    @property
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""
        return batch_spec(self.first)

    @property
    def batch_size(self) -> None:
        """None: the batches are the Sequence's own."""
        return None

    def first_batch_sha256(self) -> str:
        """Return the hash of the first training batch."""
        return batches_sha256(self.sample())

    def sample(self) -> tf.data.Dataset:
        """Return the first batch."""
        return _generated(lambda: iter([self.first]), self.first)

    def batches(self, step: int = 0) -> tf.data.Dataset:
        """Return the batches from `step` (counted from the start of the run) on, without end.

        Earlier passes are not read, but `on_epoch_end` is called once for each of them, so that a
        Sequence with a seed of its own shuffles in the same orders again.
        """
        passes, batch = divmod(step, len(self.sequence))

        def endless() -> Iterator[Any]:
            for _ in range(passes):
                self.sequence.on_epoch_end()
            begin = batch
            while True:
                yield from _batches_from(self.sequence, begin)
                self.sequence.on_epoch_end()
                begin = 0

        return _generated(endless, self.first).prefetch(1)


def whole_sequence(sequence: tf_keras.utils.Sequence, first: Any) -> tf.data.Dataset:
    """Return the batches of a Sequence, once and in its order, as a dataset."""
    return _generated(lambda: _batches_from(sequence, 0), first)


def read_first(place: str, sequence: tf_keras.utils.Sequence) -> Any:
    """Return the first batch of a Sequence, its parts as arrays.

    Raises:
        DataError: there is no batch, reading it fails, or it is not (x, y).
    """
    if len(sequence) < 1:
        raise DataError(
            "the Sequence has no batches; its __len__ must return at least 1", place=place
        )
    try:
        batch = _arrays(sequence[0])
    except Exception as fault:
        raise DataError(
            f"reading batch 0 of the Sequence failed with {type(fault).__name__}: {fault}",
            place=place,
        ) from fault
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        raise DataError(
            "batch 0 of the Sequence is not (x, y); its __getitem__ must return (x, y) or"
            " (x, y, weight)",
            place=place,
        )
    return batch


def batch_spec(batch: Any) -> Any:
    """Return shapes and types of batches like `batch`, of any number of samples."""
    return tf.nest.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], tf.as_dtype(array.dtype)), batch
    )


def _batches_from(sequence: tf_keras.utils.Sequence, begin: int) -> Iterator[Any]:
    for number in range(begin, len(sequence)):
        yield _arrays(sequence[number])


def _arrays(batch: Any) -> Any:
    """Return a batch of arrays, with tuples for lists, which tf.data would take for one array."""
    if isinstance(batch, list | tuple):
        return tuple(_arrays(part) for part in batch)
    if isinstance(batch, dict):
        return {name: _arrays(part) for name, part in batch.items()}
    array = np.asarray(batch)
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array


def _generated(generate: Any, first: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_generator(generate, output_signature=batch_spec(first))


def batches_sha256(batches: tf.data.Dataset) -> str:
    """Return the hash of the batches of a dataset."""
    found = sha256()
    for batch in batches:
        for tensor in tf.nest.flatten(batch, expand_composites=True):
            array = np.asarray(tensor)
            content = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
            found.update(f"{array.dtype} {array.shape} {len(content)} ".encode() + content)
    return found.hexdigest()
