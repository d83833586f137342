"""Training data of tf_keras: arrays and batches, each as a `tf.data.Dataset`.

Arrays come from an `.npz` or from Python; batches from `tf.data` datasets, given or returned by the
user's function, or from a Sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from graphprune.engine import data_kinds
from graphprune.engine.array_data import ArrayBatches, native, shared
from graphprune.engine.data_function import WANTED, call_data_function
from graphprune.engine.data_kinds import (
    ELEMENTS,
    Reading,
    check_elements,
    check_ends,
    check_pair,
    count_steps,
    read_first,
)
from graphprune.engine.given_data import GivenBatches, GivenData
from graphprune.engine.resuming import DATA
from graphprune.errors import DataError
from graphprune.tf.training.given_data import KINDS, SequenceData, batches_sha256, whole_sequence

HELD_BELOW = 256 * 2**20
"""Bytes below which TensorFlow gets a copy of an array, which makes steps of tiny models a third
faster than reading from NumPy.
"""


@dataclass(frozen=True, slots=True)
class ArrayData(ArrayBatches):
    """Arrays, as datasets."""

    @property
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""
        return self.sample().element_spec

    @property
    def test(self) -> tf.data.Dataset | None:
        """The test set in its own order, or None."""
        if self.x_test is None or self.y_test is None:
            return None
        if max(self.x_test.nbytes, self.y_test.nbytes) < HELD_BELOW:
            return _slices(self.x_test, self.y_test).batch(self.batch_size)
        indices = tf.data.Dataset.range(len(self.x_test)).batch(self.batch_size)
        return self._gathered(indices, self.x_test, self.y_test)

    def sample(self) -> tf.data.Dataset:
        """Return the first few samples as one batch."""
        few = min(self.batch_size, len(self.x_train))
        return _slices(self.x_train[:few], self.y_train[:few]).batch(self.batch_size)

    def batches(self, step: int = 0) -> tf.data.Dataset:
        """Return the batches from `step` (counted from the start of the run) on, without end."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        epochs = tf.data.Dataset.from_generator(
            lambda: self.orders(epoch),
            output_signature=tf.TensorSpec([shared(len(self.x_train), self.replicas)], tf.int64),
        )
        indices = epochs.flat_map(
            lambda order: tf.data.Dataset.from_tensor_slices(order).batch(self.batch_size)
        ).skip(batch)
        return self._gathered(indices, self.x_train, self.y_train).prefetch(1)

    def _gathered(self, indices: tf.data.Dataset, x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
        """Return the samples that each batch of indices names.

        TensorFlow would copy the whole arrays; rows of large ones are read in place by NumPy.
        """
        if max(x.nbytes, y.nbytes) < HELD_BELOW:
            held_x, held_y = tf.constant(native(x)), tf.constant(native(y))
            return indices.map(lambda index: (tf.gather(held_x, index), tf.gather(held_y, index)))

        types = [tf.as_dtype(native(array[:1]).dtype) for array in (x, y)]
        shapes = [[None, *array.shape[1:]] for array in (x, y)]

        def gather(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = tf.numpy_function(partial(self.take, x, y), [index], types)
            return tuple(
                tf.ensure_shape(tensor, shape) for tensor, shape in zip(rows, shapes, strict=True)
            )

        return indices.map(gather)


def _slices(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((native(x), native(y)))


@dataclass(frozen=True, slots=True)
class StreamData:
    """The user's own datasets; batches are taken in their order."""

    spec: str
    train: tf.data.Dataset
    test: tf.data.Dataset | None
    steps_per_epoch: int
    sha256: str = ""

    @property
    def batch_size(self) -> None:
        """None: the batches are the datasets' own."""
        return None

    def first_batch_sha256(self) -> str:
        """Return the hash of the first training batch."""
        return batches_sha256(self.sample())

    @property
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""
        return self.train.element_spec

    def sample(self) -> tf.data.Dataset:
        """Return the first batch."""
        return self.train.take(1)

    def batches(self, step: int = 0) -> tf.data.Dataset:
        """Return the batches from `step` (counted from the start of the run) on, without end.

        A finite dataset is repeated first and then skipped into, so that one that reshuffles in
        each pass gives the same orders again. That fails if the validation set is cut from the
        same shuffled dataset, because each iteration of it changes the next order.
        """
        return self.train.repeat().skip(step)


Data = ArrayData | StreamData | SequenceData


def read_data(
    given: str | GivenData,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    steps_per_epoch: int | None = None,
    replicas: int = 1,
) -> Data:
    """Return the data that `given` names or holds; see `graphprune.engine.data_kinds.read_data`.

    Raises:
        DataError: the data is missing, damaged or invalid for its kind.
    """
    return data_kinds.read_data(
        given,
        _READING,
        batch_size=batch_size,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        replicas=replicas,
    )


def _read_function(spec: str, seed: int, steps_per_epoch: int | None) -> StreamData:
    # so that datasets that shuffle without their own seed give the same order on resume
    tf.random.set_seed(seed)
    train, test = check_pair(spec, call_data_function(spec), partial(_check_dataset, spec))
    return _to_stream(spec, train, test, steps_per_epoch)


def _check_dataset(spec: str, name: str, dataset: Any) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise DataError(
            f"{name} is {type(dataset).__name__}; the function must {WANTED}", place=spec
        )
    check_elements(f"{spec}: {name}", dataset.element_spec, f"the function must {WANTED}")


def _to_stream(
    spec: str, train: tf.data.Dataset, test: tf.data.Dataset | None, steps_per_epoch: int | None
) -> StreamData:
    check_ends(spec, test)
    return StreamData(spec, train, test, steps_per_epoch or count_steps(spec, train))


def _take_batches(given: GivenBatches, steps_per_epoch: int | None) -> StreamData | SequenceData:
    test = given.test
    if isinstance(test, tf_keras.utils.Sequence):
        test = whole_sequence(test, read_first(f"{DATA}: validation", test, KINDS.noun))
    elif test is not None:
        check_elements(f"{DATA}: validation", test.element_spec, ELEMENTS)
        check_ends(DATA, test)
    if isinstance(given.train, tf_keras.utils.Sequence):
        first = read_first(DATA, given.train, KINDS.noun)
        steps = steps_per_epoch or len(given.train)
        return SequenceData(DATA, given.train, first, test, steps)
    check_elements(f"{DATA}: the training dataset", given.train.element_spec, ELEMENTS)
    return _to_stream(DATA, given.train, test, steps_per_epoch)


_READING: Reading[ArrayData, StreamData | SequenceData] = Reading(
    ArrayData, KINDS.noun, _take_batches, _read_function
)
