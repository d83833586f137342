"""Training data from a `tf_keras.utils.Sequence`: its batches in the order of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from graphprune.errors import DataError


@dataclass(frozen=True, slots=True)
class SequenceData:
    """The batches of a Sequence; `on_epoch_end` is called after each pass, as Keras does.

    Attributes:
        spec: What messages call the data.
        sequence: The user's object.
        first: Its first batch, of which shapes and types are known.
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

    def sample(self) -> tf.data.Dataset:
        """Return the first batch."""
        return _generated(lambda: iter([self.first]), self.first)

    def batches(self, step: int = 0) -> tf.data.Dataset:
        """Return the batches from `step` (counted from the start of the run) on, without end.

        The passes before are not read: `on_epoch_end` is called as often as it was for them, so
        that a Sequence with a seed of its own shuffles in the same orders again.
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
        DataError: there is none, reading it fails, or it is not (x, y).
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
    """Return a batch with arrays as its parts, and tuples for lists, which tf.data would take for
    one array.
    """
    if isinstance(batch, list | tuple):
        return tuple(_arrays(part) for part in batch)
    if isinstance(batch, dict):
        return {name: _arrays(part) for name, part in batch.items()}
    array = np.asarray(batch)
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array


def _generated(generate: Any, first: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_generator(generate, output_signature=batch_spec(first))
