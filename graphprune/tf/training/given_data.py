"""Training data given as Python objects: arrays, `tf.data.Dataset` or `tf_keras.utils.Sequence`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.engine import given_data as engine
from graphprune.engine.data_kinds import arrays_sha256, one_pass, sequence_batches
from graphprune.engine.given_data import BatchKinds, GivenData
from graphprune.engine.shares import WHOLE, Share
from graphprune.tf.training.shares import distribute_batches, distribute_test, test_steps


def given_data(data: Any) -> str | GivenData:
    """Return the user's data as one of its kinds: text where it is a path or names a function.

    Raises:
        TypeError: it is of no supported kind; the text names `data`.
    """
    return engine.given_data(data, KINDS)


def _describe(batches: Any) -> str:
    if isinstance(batches, tf_keras.utils.Sequence):
        return f"a Sequence, {type(batches).__name__}"
    parts = (
        f"{spec.dtype.name} {tuple(spec.shape)}"
        for spec in tf.nest.flatten(batches.element_spec)
        if isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
    )
    return f"a tf.data.Dataset with batches of {', '.join(parts)}"


KINDS = BatchKinds(
    "tf_keras.utils.Sequence",
    lambda value: isinstance(value, tf.data.Dataset | tf_keras.utils.Sequence),
    _describe,
)


class OwnBatches(ABC):
    """What batches of the user's own have in common, whatever makes them.

    Attributes:
        spec: The name of the data in messages.
        test: The validation set, or None.
        share: What this process takes of each batch.
    """

    __slots__ = ()
    spec: str
    test: tf.data.Dataset | None
    share: Share

    @abstractmethod
    def sample(self) -> tf.data.Dataset:
        """Return the first batch."""

    @property
    @abstractmethod
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""

    @property
    def is_weighted(self) -> bool:
        """Whether there are sample weights."""
        return len(self.element_spec) == 3

    @property
    def batch_size(self) -> None:
        """None: the batches have sizes of their own."""
        return None

    def first_batch_sha256(self) -> str:
        """Return the hash of the first training batch."""
        return batches_sha256(self.sample())

    def validation(self) -> Any:
        """Return the validation set as `evaluate` takes it, or None."""
        return distribute_test(self.test, self.share)

    @property
    def validation_steps(self) -> int | None:
        """The batches of the validation set, where several workers share them; None otherwise."""
        return test_steps(f"{self.spec}: validation", self.test, self.share)


@dataclass(frozen=True, slots=True)
class SequenceData(OwnBatches):
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
    share: Share = WHOLE

    @property
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""
        return batch_spec(self.first)

    def sample(self) -> tf.data.Dataset:
        """Return the first batch."""
        return _generated(lambda: iter([self.first]), self.first)

    def batches(self, step: int = 0) -> Any:
        """Return the batches from `step` (counted from the start of the run) on, without end.

        Each of several workers makes all batches and takes its part of each.
        """
        found = _generated(lambda: sequence_batches(self.sequence, step), self.first).prefetch(1)
        return distribute_batches(found, self.share, is_even=True)


def whole_sequence(sequence: tf_keras.utils.Sequence, first: Any) -> tf.data.Dataset:
    """Return the batches of a Sequence, once and in its order, as a dataset."""
    return _generated(lambda: one_pass(sequence), first)


def batch_spec(batch: Any) -> Any:
    """Return shapes and types of batches like `batch`, of any number of samples."""
    return tf.nest.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], tf.as_dtype(array.dtype)), batch
    )


def _generated(generate: Any, first: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_generator(generate, output_signature=batch_spec(first))


def batches_sha256(batches: tf.data.Dataset) -> str:
    """Return the hash of the batches of a dataset."""
    return arrays_sha256(_flat(batches))


def _flat(batches: tf.data.Dataset) -> Iterator[list[Any]]:
    return (tf.nest.flatten(batch, expand_composites=True) for batch in batches)
