"""Training data of Keras 3: arrays, `keras.utils.PyDataset` and `tf.data.Dataset`.

Arrays and PyDatasets are given to `fit` as one PyDataset that holds the batches of the rest of the
run. TensorFlow is used only through datasets that the user made with it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras

from graphprune.engine import data_kinds
from graphprune.engine import given_data as engine
from graphprune.engine.array_data import ArrayBatches
from graphprune.engine.data_fit import NOTHING_THERE
from graphprune.engine.data_function import WANTED, call_data_function
from graphprune.engine.data_kinds import (
    ELEMENTS,
    Reading,
    arrays_of,
    arrays_sha256,
    check_elements,
    check_ends,
    check_pair,
    count_steps,
    read_first,
    sequence_batches,
)
from graphprune.engine.faults import explain_fault
from graphprune.engine.file_data import FileData
from graphprune.engine.given_data import BatchKinds, GivenBatches, GivenData
from graphprune.engine.resuming import DATA
from graphprune.engine.shares import WHOLE, Share
from graphprune.errors import DataError
from graphprune.keras3.named_weights import arrange, listed_outputs
from graphprune.keras3.training.batches import NumberedBatches, RunBatches
from graphprune.runs.samples import Rows


@dataclass(frozen=True, slots=True)
class ArrayData(ArrayBatches):
    """Arrays, as batches of NumPy arrays.

    Attributes:
        outputs: The outputs of a model that returns a list, in whose order it takes labels.
    """

    outputs: tuple[str, ...] = ()

    @property
    def test(self) -> Any:
        """The test set in its own order, or None."""
        if self.held_out is None:
            return None
        count = -(-len(self.held_out) // self.batch_size)
        return NumberedBatches(count, partial(self._slice, self.held_out))

    def _slice(self, rows: Rows, number: int) -> Any:
        begin = number * self.batch_size
        return arrange(rows.take(slice(begin, begin + self.batch_size)), self.outputs)

    def sample(self) -> Any:
        """Return the first few samples as one batch."""
        return arrange(self.first(), self.outputs)

    def batches(self, step: int, done: int, count: int) -> Any:
        """Return what `fit` trains on; arguments as for `RunBatches`, from `step` of the run on."""
        return RunBatches(self._from(step), self.sample(), done, count)

    def _from(self, step: int) -> Iterator[Any]:
        epoch, skipped = divmod(step, self.steps_per_epoch)
        for order in self.orders(epoch):
            for begin in range(skipped * self.batch_size, len(order), self.batch_size):
                index = order[begin : begin + self.batch_size]
                yield arrange(self.train.take(index), self.outputs)
            skipped = 0


@dataclass(frozen=True, slots=True)
class OwnBatches:
    """Batches of the user's own, of which the first is read once.

    Attributes:
        spec: The name of the data in messages.
        train: The user's object.
        first: Its first batch, which gives shapes and types.
        test: What `fit` validates with, or None.
        steps_per_epoch: The length of an epoch.
        sha256: Empty: only the first batch is hashed.
    """

    spec: str
    train: Any
    first: Any
    test: Any
    steps_per_epoch: int
    sha256: str = ""

    @property
    def batch_size(self) -> None:
        """None: the batches have sizes of their own."""
        return None

    @property
    def is_weighted(self) -> bool:
        """Whether there are sample weights."""
        return len(self.first) == 3

    def first_batch_sha256(self) -> str:
        """Return the hash of the first training batch."""
        return arrays_sha256(iter([keras.tree.flatten(arrays_of_tensors(self.first))]))

    def sample(self) -> Any:
        """Return the first batch."""
        return self.first


@dataclass(frozen=True, slots=True)
class SequenceData(OwnBatches):
    """The batches of a PyDataset; `on_epoch_end` is called after each pass, as Keras does."""

    def batches(self, step: int, done: int, count: int) -> Any:
        """Return what `fit` trains on; arguments as for `RunBatches`, from `step` of the run on."""
        return RunBatches(sequence_batches(self.train, step), self.first, done, count)


@dataclass(frozen=True, slots=True)
class StreamData(OwnBatches):
    """The user's own datasets of TensorFlow; batches are taken in their order.

    The first batch is read once: a dataset that reshuffles has another order each time that it is
    read, so a resumed run must read it as often as the run did that it continues.
    """

    def batches(self, step: int, done: int, count: int) -> Any:
        """Return what `fit` trains on: the batches from `step` of the run on, without end.

        A finite dataset is repeated first and then skipped into, so that one that reshuffles in
        each pass gives the same orders again. That fails if the validation set is cut from the same
        shuffled dataset, because each iteration of it changes the next order.
        """
        rest = self.train.repeat().skip(step)
        if not done:
            return rest
        dataset, spec = sys.modules["tensorflow"].data.Dataset, self.train.element_spec
        before = dataset.from_generator(
            lambda: itertools.repeat(self.first, done), output_signature=spec
        )
        return before.concatenate(rest)


Data = ArrayData | StreamData | SequenceData


def of_model(data: Data, model: Any) -> Data:
    """Return the data as the model takes it."""
    return replace(data, outputs=listed_outputs(model)) if isinstance(data, ArrayData) else data


def is_dataset(value: object) -> bool:
    """Return whether this is a `tf.data.Dataset`, without importing TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(value, tensorflow.data.Dataset)


def _describe(batches: Any) -> str:
    if not is_dataset(batches):
        return f"a PyDataset, {type(batches).__name__}"
    parts = (
        f"{spec.dtype.name} {tuple(spec.shape)}"
        for spec in keras.tree.flatten(batches.element_spec)
        if getattr(getattr(spec, "shape", None), "rank", None) is not None
    )
    return f"a tf.data.Dataset with batches of {', '.join(parts)}"


KINDS = BatchKinds(
    "keras.utils.PyDataset",
    lambda value: isinstance(value, keras.utils.PyDataset) or is_dataset(value),
    _describe,
)


def given_data(data: Any) -> str | GivenData:
    """Return the user's data as one of its kinds: text where it is a path or names a function.

    Raises:
        TypeError: it is of no supported kind; the text names `data`.
    """
    return engine.given_data(data, KINDS)


def read_data(
    given: str | GivenData | FileData,
    *,
    batch_size: int | None = None,
    seed: int = 0,
    steps_per_epoch: int | None = None,
    replicas: int = 1,
    share: Share = WHOLE,
) -> Data:
    """Return the data that `given` names or holds; see `graphprune.engine.data_kinds.read_data`.

    `share` is the whole batch: runs of Keras 3 models train in one process.

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


def _read_function(spec: str, seed: int, steps_per_epoch: int | None) -> StreamData | SequenceData:
    result = call_data_function(spec, partial(_seed_datasets, seed))
    train, test = check_pair(spec, result, partial(_check_batches, spec))
    return _take(spec, train, test, steps_per_epoch)


def _seed_datasets(seed: int) -> None:
    """Let datasets that shuffle without a seed of their own give the same order on resume."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        tensorflow.random.set_seed(seed)


def _check_batches(spec: str, name: str, batches: Any) -> None:
    if is_dataset(batches):
        check_elements(f"{spec}: {name}", batches.element_spec, f"the function must {WANTED}")
    elif not KINDS.accepts(batches):
        raise DataError(
            f"{name} is {type(batches).__name__}; the function must {WANTED}", place=spec
        )


def _take_batches(given: GivenBatches, steps_per_epoch: int | None) -> StreamData | SequenceData:
    for name, batches in (("the training dataset", given.train), ("validation", given.test)):
        if is_dataset(batches):
            check_elements(f"{DATA}: {name}", batches.element_spec, ELEMENTS)
    return _take(DATA, given.train, given.test, steps_per_epoch)


def _take(
    spec: str, train: Any, test: Any, steps_per_epoch: int | None
) -> StreamData | SequenceData:
    if is_dataset(test):
        check_ends(spec, test)
    elif test is not None:
        read_first(f"{spec}: validation", test, KINDS.noun)
        test = NumberedBatches(len(test), partial(_read, test))
    if is_dataset(train):
        steps = steps_per_epoch or count_steps(spec, train)
        return StreamData(spec, train, take_first(spec, "training", train), test, steps)
    first = read_first(spec, train, KINDS.noun)
    return SequenceData(spec, train, first, test, steps_per_epoch or len(train))


def _read(batches: Any, number: int) -> Any:
    return arrays_of(batches[number])


_READING: Reading[ArrayData, StreamData | SequenceData] = Reading(
    ArrayData, KINDS.noun, _take_batches, _read_function
)


def take_first(spec: str, part: str, batches: Iterable[Any]) -> Any:
    """Return the first batch of a dataset or a PyDataset; `part` is `training` or `validation`.

    Raises:
        DataError: there is none, or reading it fails.
    """
    try:
        if isinstance(batches, keras.utils.PyDataset):
            return batches[0]
        first = next(iter(batches), None)
    except Exception as fault:
        if not data_kinds.is_of_dataset(fault):
            raise
        why = explain_fault(fault)
        raise DataError(f"the first {part} batch failed: {why}", place=spec) from fault
    if first is None:
        todo = NOTHING_THERE[part]
        raise DataError(f"the {part} dataset has no batches; {todo}", place=spec)
    return first


def arrays_of_tensors(batch: Any) -> Any:
    """Return a batch with NumPy arrays for TensorFlow's tensors; ragged ones stay as they are."""
    return keras.tree.map_structure(
        lambda part: (
            part.numpy() if hasattr(part, "numpy") and part.shape.rank is not None else part
        ),
        batch,
    )
