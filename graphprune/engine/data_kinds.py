"""Training data of every kind, read for a run: arrays, datasets, sequences, a user's function.

With the same seed, all kinds give the same batches in the same order, starting from any step; this
makes a resumed run equal to an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

import numpy as np

from graphprune.engine.array_data import ArrayBatches, check_batch_size
from graphprune.engine.data_function import WANTED
from graphprune.engine.faults import explain_fault
from graphprune.engine.file_data import FileData
from graphprune.engine.given_data import GivenArrays, GivenBatches, GivenData
from graphprune.engine.resuming import DATA
from graphprune.errors import DataError
from graphprune.runs.samples import HeldOut, Samples, is_data_function, read_samples, samples_of

ELEMENTS = "give batches of (x, y) or (x, y, weight)"
INFINITE, UNKNOWN = -1, -2
"""Cardinalities of `tf.data.Dataset`."""

Arrays = TypeVar("Arrays", bound=ArrayBatches)
Batches = TypeVar("Batches")


@dataclass(frozen=True, slots=True)
class Reading(Generic[Arrays, Batches]):
    """How a Keras makes data of each kind.

    Attributes:
        arrays: The class for arrays.
        noun: The name of its class of numbered batches, such as `Sequence`.
        take_batches: Makes the data of given batches and the length of an epoch, None for its own.
        read_function: Makes the data of a function's name, a seed and the length of an epoch.
    """

    arrays: type[Arrays]
    noun: str
    take_batches: Callable[[GivenBatches, int | None], Batches]
    read_function: Callable[[str, int, int | None], Batches]


def read_data(
    given: str | GivenData | FileData,
    reading: Reading[Arrays, Batches],
    *,
    batch_size: int | None = None,
    seed: int = 0,
    steps_per_epoch: int | None = None,
    replicas: int = 1,
    held_out: HeldOut = "val",
) -> Arrays | Batches:
    """Return the data that `given` names or holds.

    A name is the path of an `.npz` or `package.module:function`.

    Args:
        given: An `.npz` file with x_train and y_train (`graphprune.runs.samples` has all names), or
            a function that takes nothing and returns `(train, validation)` as batched datasets or
            sequences; validation may be None. Modules are also searched in the working directory.
            Or CSV, image or TFRecord files, or the result of `given_data` for Python objects.
        reading: How the Keras of the model makes data.
        batch_size: Samples in a batch of arrays, 32 when None; datasets and sequences have their
            own, and it must be None.
        seed: Decides the order of the samples of arrays, and the seeds that a function's datasets
            did not set themselves.
        steps_per_epoch: The length of an epoch, for datasets and sequences that have none or should
            get a different one.
        replicas: How many replicas share a batch: `batch_size` is that of all of them together.
        held_out: The validation samples of an `.npz` that has both x_val and x_test.

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
                f"datasets and {reading.noun}s have batches of their own; leave batch_size out",
                place=spec,
            )
        return reading.take_batches(given, steps_per_epoch)
    if isinstance(given, FileData):
        spec = given.spec
    if isinstance(given, str) and is_data_function(given):
        if batch_size is not None:
            raise DataError(
                "the datasets of a function have batches of their own; leave the batch"
                " size out, or set it in the function",
                place=spec,
            )
        return reading.read_function(spec, seed, steps_per_epoch)
    check_batch_size(spec, batch_size, replicas)
    return reading.arrays.of_samples(
        spec,
        _read(given, spec, held_out),
        batch_size=batch_size,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        replicas=replicas,
    )


def _read(given: str | FileData | GivenArrays, spec: str, held_out: HeldOut) -> Samples:
    if isinstance(given, FileData):
        return given.read()
    return (
        read_samples(given, held_out) if isinstance(given, str) else samples_of(spec, given.arrays)
    )


def check_pair(spec: str, result: Any, check: Callable[[str, Any], None]) -> tuple[Any, Any]:
    """Return the (training, validation) batches that a data function returned.

    Args:
        spec: The name of the function.
        result: What it returned.
        check: Refuses batches of a wrong kind; the first argument is `train` or `validation`.

    Raises:
        DataError: it returned something else.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise DataError(f"returned {got}; it must {WANTED}", place=spec)
    train, test = result
    for name, batches in (("train", train), ("validation", test)):
        if batches is None and name == "validation":
            continue
        check(name, batches)
    return train, test


def check_elements(place: str, element_spec: Any, remedy: str) -> None:
    """Refuse a dataset whose elements are not batches of (x, y) or (x, y, weight).

    Raises:
        DataError: they are something else.
    """
    if not isinstance(element_spec, tuple) or len(element_spec) not in (2, 3):
        raise DataError(f"{place} has elements that are not (x, y); {remedy}")


def check_ends(spec: str, test: Any) -> None:
    """Refuse a validation dataset without end.

    Raises:
        DataError: it never ends.
    """
    if test is not None and int(test.cardinality()) == INFINITE:
        raise DataError("the validation dataset never ends; cut it with .take(n)", place=spec)


def count_steps(spec: str, train: Any) -> int:
    """Return the number of batches of a training dataset; it is read where it does not say.

    Raises:
        DataError: it never ends, has no batches, or reading it fails.
    """
    steps = int(train.cardinality())
    if steps == INFINITE:
        raise DataError(
            "the training dataset never ends; say how long an epoch is with"
            " --steps-per-epoch (steps_per_epoch in Python)",
            place=spec,
        )
    if steps == UNKNOWN:
        try:
            steps = int(train.reduce(np.int64(0), lambda count, *_: count + 1))
        except Exception as fault:
            if not is_of_dataset(fault):
                raise
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


def is_of_dataset(fault: Exception) -> bool:
    """Return whether TensorFlow raised an error while it ran, as it does for its datasets."""
    return any(kind.__module__.startswith("tensorflow.") for kind in type(fault).__mro__)


def read_first(place: str, sequence: Any, noun: str) -> Any:
    """Return the first batch of a sequence, its parts as arrays.

    Raises:
        DataError: there is no batch, reading it fails, or it is not (x, y).
    """
    if len(sequence) < 1:
        raise DataError(
            f"the {noun} has no batches; its __len__ must return at least 1", place=place
        )
    try:
        batch = arrays_of(sequence[0])
    except Exception as fault:
        raise DataError(
            f"reading batch 0 of the {noun} failed with {type(fault).__name__}: {fault}",
            place=place,
        ) from fault
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        raise DataError(
            f"batch 0 of the {noun} is not (x, y); its __getitem__ must return (x, y) or"
            " (x, y, weight)",
            place=place,
        )
    return batch


def sequence_batches(sequence: Any, step: int) -> Iterator[Any]:
    """Yield the batches of a sequence from `step` (counted from the start of the run), endlessly.

    `on_epoch_end` is called after each pass. Earlier passes are not read, but `on_epoch_end` is
    called once for each of them, so that a sequence with a seed of its own shuffles in the same
    orders again.
    """
    passes, begin = divmod(step, len(sequence))
    for _ in range(passes):
        sequence.on_epoch_end()
    while True:
        yield from one_pass(sequence, begin)
        sequence.on_epoch_end()
        begin = 0


def one_pass(sequence: Any, begin: int = 0) -> Iterator[Any]:
    """Yield the batches of a sequence from number `begin` on, once."""
    for number in range(begin, len(sequence)):
        yield arrays_of(sequence[number])


def arrays_of(batch: Any) -> Any:
    """Return a batch of arrays, with tuples for lists, which tf.data would take for one array."""
    if isinstance(batch, list | tuple):
        return tuple(arrays_of(part) for part in batch)
    if isinstance(batch, dict):
        return {name: arrays_of(part) for name, part in batch.items()}
    array = np.asarray(batch)
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array


def arrays_sha256(batches: Iterator[list[Any]]) -> str:
    """Return the hash of batches, each given as the list of its arrays."""
    found = sha256()
    for batch in batches:
        for value in batch:
            array = np.asarray(value)
            content = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
            found.update(f"{array.dtype} {array.shape} {len(content)} ".encode() + content)
    return found.hexdigest()
