"""Training data of tf_keras: arrays and batches, each as a `tf.data.Dataset`.

Arrays come from an `.npz` or from Python; batches from `tf.data` datasets, given or returned by the
user's function, or from a Sequence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.engine import data_kinds
from graphprune.engine.array_data import ArrayBatches, shared
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
from graphprune.engine.file_data import FileData
from graphprune.engine.given_data import GivenBatches, GivenData
from graphprune.engine.resuming import DATA
from graphprune.engine.shares import WHOLE, Share
from graphprune.errors import DataError
from graphprune.runs.samples import ArrayRows, HeldOut, Rows
from graphprune.tf.training.given_data import KINDS, OwnBatches, SequenceData, whole_sequence
from graphprune.tf.training.shares import check_batches, distribute, distribute_batches, own_parts

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
        """The test set in its own order, or None; several workers have a part of it each."""
        if self.held_out is None:
            return None
        if self.share.is_whole and _is_held(self.held_out):
            whole = self.held_out.take(slice(None))
            return tf.data.Dataset.from_tensor_slices(whole).batch(self.batch_size)
        indices = tf.data.Dataset.range(len(self.held_out)).batch(self.batch_size)
        if not self.share.is_whole:
            indices = own_parts(indices, self.share, is_even=False)
        return _gathered(indices, self.held_out)

    def validation(self) -> Any:
        """Return the test set as `evaluate` takes it, or None."""
        return None if self.test is None else distribute(self.test, self.share)

    @property
    def validation_steps(self) -> int | None:
        """The batches of the test set, where several workers share them; None otherwise."""
        if self.share.is_whole or self.held_out is None:
            return None
        return math.ceil(len(self.held_out) / self.batch_size)

    def sample(self) -> tf.data.Dataset:
        """Return the first few samples as one batch."""
        return tf.data.Dataset.from_tensor_slices(self.first()).batch(self.batch_size)

    def batches(self, step: int = 0) -> Any:
        """Return the batches from `step` (counted from the start of the run) on, without end.

        Of several workers, each reads the samples of its own part alone.
        """
        epoch, batch = divmod(step, self.steps_per_epoch)
        epochs = tf.data.Dataset.from_generator(
            lambda: self.orders(epoch),
            output_signature=tf.TensorSpec([shared(len(self.train), self.replicas)], tf.int64),
        )
        indices = epochs.flat_map(
            lambda order: tf.data.Dataset.from_tensor_slices(order).batch(self.batch_size)
        ).skip(batch)
        if not self.share.is_whole:
            indices = own_parts(indices, self.share, is_even=True)
        return distribute(_gathered(indices, self.train).prefetch(1), self.share)


def _is_held(rows: Rows) -> bool:
    """Return whether TensorFlow gets a copy of these samples."""
    return isinstance(rows, ArrayRows) and rows.largest < HELD_BELOW


def _gathered(indices: tf.data.Dataset, rows: Rows) -> tf.data.Dataset:
    """Return the samples that each batch of indices names.

    TensorFlow would copy the whole arrays; rows of large ones are read in place by NumPy.
    """
    if _is_held(rows):
        held = tf.nest.map_structure(tf.constant, rows.take(slice(None)))
        return indices.map(
            lambda index: tf.nest.map_structure(lambda array: tf.gather(array, index), held)
        )

    first = rows.take(slice(0, 1))
    specs = [
        tf.TensorSpec([None, *array.shape[1:]], tf.as_dtype(array.dtype))
        for array in tf.nest.flatten(first)
    ]

    def gather(index: tf.Tensor) -> Any:
        found = tf.numpy_function(
            lambda chosen: tf.nest.flatten(rows.take(chosen)),
            [index],
            [spec.dtype for spec in specs],
        )
        shaped = [
            tf.ensure_shape(tensor, spec.shape) for tensor, spec in zip(found, specs, strict=True)
        ]
        return tf.nest.pack_sequence_as(first, shaped)

    return indices.map(gather)


@dataclass(frozen=True, slots=True)
class StreamData(OwnBatches):
    """The user's own datasets; batches are taken in their order."""

    spec: str
    train: tf.data.Dataset
    test: tf.data.Dataset | None
    steps_per_epoch: int
    sha256: str = ""
    share: Share = WHOLE

    @property
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""
        return self.train.element_spec

    def sample(self) -> tf.data.Dataset:
        """Return the first batch."""
        return self.train.take(1)

    def batches(self, step: int = 0) -> Any:
        """Return the batches from `step` (counted from the start of the run) on, without end.

        Of several workers, each reads the whole dataset and takes its part of each batch, unless
        the auto-shard policy is OFF: then the batches are its own.

        A finite dataset is repeated first and then skipped into, so that one that reshuffles in
        each pass gives the same orders again. That fails if the validation set is cut from the
        same shuffled dataset, because each iteration of it changes the next order.
        """
        found = self.train.repeat().skip(step)
        return distribute_batches(found, self.share, is_even=True)


Data = ArrayData | StreamData | SequenceData


def read_data(
    given: str | GivenData | FileData,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    steps_per_epoch: int | None = None,
    replicas: int = 1,
    share: Share = WHOLE,
    held_out: HeldOut = "val",
) -> Data:
    """Return the data that `given` names or holds; see `graphprune.engine.data_kinds.read_data`.

    Raises:
        DataError: the data is missing, damaged or invalid for its kind.
    """
    data = data_kinds.read_data(
        given,
        _READING,
        batch_size=batch_size,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        replicas=replicas,
        held_out=held_out,
    )
    for batches in (getattr(data, "train", None), data.test):
        if isinstance(data, StreamData) and batches is not None:
            check_batches(data.spec, batches, share)
    return replace(data, share=share)


def _read_function(spec: str, seed: int, steps_per_epoch: int | None) -> StreamData | SequenceData:
    # so that datasets that shuffle without their own seed give the same order on resume
    tf.random.set_seed(seed)
    train, test = check_pair(spec, call_data_function(spec), partial(_check_batches, spec))
    return _take(spec, train, test, steps_per_epoch)


def _check_batches(spec: str, name: str, batches: Any) -> None:
    if isinstance(batches, tf_keras.utils.Sequence):
        return
    if not isinstance(batches, tf.data.Dataset):
        raise DataError(
            f"{name} is {type(batches).__name__}; the function must {WANTED}", place=spec
        )
    check_elements(f"{spec}: {name}", batches.element_spec, f"the function must {WANTED}")


def _to_stream(
    spec: str, train: tf.data.Dataset, test: tf.data.Dataset | None, steps_per_epoch: int | None
) -> StreamData:
    return StreamData(spec, train, test, steps_per_epoch or count_steps(spec, train))


def _take_batches(given: GivenBatches, steps_per_epoch: int | None) -> StreamData | SequenceData:
    for name, batches in (("the training dataset", given.train), ("validation", given.test)):
        if isinstance(batches, tf.data.Dataset):
            check_elements(f"{DATA}: {name}", batches.element_spec, ELEMENTS)
    return _take(DATA, given.train, given.test, steps_per_epoch)


def _take(
    spec: str, train: Any, test: Any, steps_per_epoch: int | None
) -> StreamData | SequenceData:
    if isinstance(test, tf_keras.utils.Sequence):
        test = whole_sequence(test, read_first(f"{spec}: validation", test, KINDS.noun))
    elif test is not None:
        check_ends(spec, test)
    if isinstance(train, tf_keras.utils.Sequence):
        first = read_first(spec, train, KINDS.noun)
        return SequenceData(spec, train, first, test, steps_per_epoch or len(train))
    return _to_stream(spec, train, test, steps_per_epoch)


_READING: Reading[ArrayData, StreamData | SequenceData] = Reading(
    ArrayData, KINDS.noun, _take_batches, _read_function
)
