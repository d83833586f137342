"""Training data: arrays and batches.

Arrays come from an `.npz` or from Python; batches from `tf.data` datasets, given or returned by the
user's function, or from a Sequence.

With the same seed, all kinds give the same batches in the same order, starting from any step; this
makes a resumed run equal to an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from graphprune.engine.faults import explain_fault
from graphprune.engine.resuming import DATA
from graphprune.errors import DataError
from graphprune.runs.npz import FileState
from graphprune.runs.samples import Samples, is_data_function, read_samples, samples_of
from graphprune.tf.training.data_function import call_data_function, check_elements
from graphprune.tf.training.given_data import (
    GivenBatches,
    GivenData,
    SequenceData,
    batches_sha256,
    read_first,
    whole_sequence,
)

DEFAULT_BATCH_SIZE = 32
_ELEMENTS = "give batches of (x, y) or (x, y, weight)"
HELD_BELOW = 256 * 2**20
"""Bytes below which TensorFlow gets a copy of an array, which makes steps of tiny models a third
faster than reading from NumPy.
"""


@dataclass(frozen=True, slots=True)
class ArrayData:
    """Arrays; each epoch takes them in its own random order.

    Several replicas share each batch equally, so `batch_size` is a multiple of `replicas`, and an
    epoch leaves out the last samples that cannot be shared.
    """

    spec: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    batch_size: int
    seed: int
    steps_per_epoch: int
    sha256: str
    replicas: int = 1
    mapped: FileState | None = None

    def first_batch_sha256(self) -> str:
        """Return nothing: arrays are hashed as a whole."""
        return ""

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

    def order(self, epoch: int) -> np.ndarray:
        """Return the order of the samples in `epoch`, which depends on seed and epoch alone."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.x_train))[
            : _shared(len(self.x_train), self.replicas)
        ]

    def batches(self, step: int = 0) -> tf.data.Dataset:
        """Return the batches from `step` (counted from the start of the run) on, without end."""
        epoch, batch = divmod(step, self.steps_per_epoch)

        def orders() -> Iterator[np.ndarray]:
            number = epoch
            while True:
                yield self.order(number)
                number += 1

        epochs = tf.data.Dataset.from_generator(
            orders,
            output_signature=tf.TensorSpec([_shared(len(self.x_train), self.replicas)], tf.int64),
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
            held_x, held_y = tf.constant(_native(x)), tf.constant(_native(y))
            return indices.map(lambda index: (tf.gather(held_x, index), tf.gather(held_y, index)))

        def take(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if self.mapped is not None:
                self.mapped.check()
            return _native(x[index]), _native(y[index])

        types = [tf.as_dtype(_native(array[:1]).dtype) for array in (x, y)]
        shapes = [[None, *array.shape[1:]] for array in (x, y)]

        def gather(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = tf.numpy_function(take, [index], types)
            return tuple(
                tf.ensure_shape(tensor, shape) for tensor, shape in zip(rows, shapes, strict=True)
            )

        return indices.map(gather)


def _slices(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((_native(x), _native(y)))


def _native(array: np.ndarray) -> np.ndarray:
    """Return the values as TensorFlow takes them.

    They are contiguous and in native byte order, with text as UTF-8.
    """
    if array.dtype.kind == "U":
        return np.char.encode(array, "utf-8")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


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
    """Return the data that `given` names or holds.

    A name is the path of an `.npz` or `package.module:function`.

    Args:
        given: An `.npz` file with x_train and y_train (x_test and y_test too, if there is a test
            set), or a function that takes nothing and returns `(train, validation)` as batched
            `tf.data.Dataset`; validation may be None. Modules are also searched in the working
            directory. Or the result of `given_data` for Python objects.
        batch_size: Samples in a batch of arrays, 32 when None; datasets and Sequences have their
            own, and it must be None.
        seed: Decides the order of the samples of arrays, and the seeds that a function's datasets
            did not set themselves.
        steps_per_epoch: The length of an epoch, for datasets and Sequences that have none or should
            get a different one.
        replicas: How many replicas share a batch: `batch_size` is that of all of them together.

    Raises:
        DataError: the data is missing, damaged or invalid for its kind.
    """
    spec = given if isinstance(given, str) else DATA
    if batch_size is not None and batch_size < 1:
        raise DataError(f"the batch size must be at least 1, got {batch_size}", place=spec)
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise DataError(
            f"the number of steps in an epoch must be at least 1, got {steps_per_epoch}", place=spec
        )
    if isinstance(given, GivenBatches):
        if batch_size is not None:
            raise DataError(
                "datasets and Sequences have batches of their own; leave batch_size out", place=spec
            )
        return _take_batches(given, steps_per_epoch)
    if isinstance(given, str) and is_data_function(given):
        if batch_size is not None:
            raise DataError(
                "the datasets of a function have batches of their own; leave the batch"
                " size out, or set it in the function",
                place=spec,
            )
        return _read_function(spec, seed, steps_per_epoch)
    if batch_size is not None and batch_size % replicas:
        near = max(replicas, _shared(batch_size, replicas))
        raise DataError(
            f"{replicas} replicas share a batch equally, got a batch size of {batch_size};"
            f" take a multiple of {replicas}, such as {near}",
            place=spec,
        )
    return _to_data(
        spec,
        read_samples(given) if isinstance(given, str) else samples_of(spec, given.arrays),
        batch_size or max(replicas, _shared(DEFAULT_BATCH_SIZE, replicas)),
        seed,
        steps_per_epoch,
        replicas,
    )


def _shared(samples: int, replicas: int) -> int:
    """Return how many of the samples `replicas` replicas can share equally."""
    return samples - samples % replicas


def _to_data(
    spec: str, read: Samples, batch_size: int, seed: int, steps_per_epoch: int | None, replicas: int
) -> ArrayData:
    samples = _shared(len(read.x_train), replicas)
    if samples == 0:
        raise DataError(
            f"x_train has {len(read.x_train)} samples, too few for {replicas} replicas; take fewer",
            place=spec,
        )
    batch_size = min(batch_size, samples)
    steps = math.ceil(samples / batch_size)
    if steps_per_epoch not in (None, steps):
        raise DataError(
            f"an epoch of this data has {steps} steps of {batch_size} samples, got"
            f" {steps_per_epoch} steps; change the batch size instead",
            place=spec,
        )
    arrays = (read.x_train, read.y_train, read.x_test, read.y_test)
    return ArrayData(spec, *arrays, batch_size, seed, steps, read.sha256, replicas, read.mapped)


def _read_function(spec: str, seed: int, steps_per_epoch: int | None) -> StreamData:
    # so that datasets that shuffle without their own seed give the same order on resume
    tf.random.set_seed(seed)
    train, test = call_data_function(spec)
    return _to_stream(spec, train, test, steps_per_epoch)


def _to_stream(
    spec: str, train: tf.data.Dataset, test: tf.data.Dataset | None, steps_per_epoch: int | None
) -> StreamData:
    _check_ends(spec, test)
    return StreamData(spec, train, test, steps_per_epoch or _count_steps(spec, train))


def _check_ends(spec: str, test: tf.data.Dataset | None) -> None:
    if test is not None and test.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError("the validation dataset never ends; cut it with .take(n)", place=spec)


def _take_batches(given: GivenBatches, steps_per_epoch: int | None) -> StreamData | SequenceData:
    test = given.test
    if isinstance(test, tf_keras.utils.Sequence):
        test = whole_sequence(test, read_first(f"{DATA}: validation", test))
    elif test is not None:
        check_elements(f"{DATA}: validation", test.element_spec, _ELEMENTS)
        _check_ends(DATA, test)
    if isinstance(given.train, tf_keras.utils.Sequence):
        first = read_first(DATA, given.train)
        steps = steps_per_epoch or len(given.train)
        return SequenceData(DATA, given.train, first, test, steps)
    check_elements(f"{DATA}: the training dataset", given.train.element_spec, _ELEMENTS)
    return _to_stream(DATA, given.train, test, steps_per_epoch)


def _count_steps(spec: str, train: tf.data.Dataset) -> int:
    steps = int(train.cardinality())
    if steps == tf.data.INFINITE_CARDINALITY:
        raise DataError(
            "the training dataset never ends; say how long an epoch is with"
            " --steps-per-epoch (steps_per_epoch in Python)",
            place=spec,
        )
    if steps == tf.data.UNKNOWN_CARDINALITY:
        try:
            steps = int(train.reduce(np.int64(0), lambda count, *_: count + 1))
        except tf.errors.OpError as fault:
            raise DataError(
                f"the training dataset failed while its batches were counted:"
                f" {explain_fault(fault)}",
                place=spec,
            ) from fault
    if steps == 0:
        raise DataError(
            "the training dataset has no batches; training needs at least one", place=spec
        )
    return steps
