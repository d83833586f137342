"""Training data: an `.npz` of arrays, or a function of the user's that returns `tf.data` datasets.

Both kinds give the same batches in the same order each time they are read with the same seed, from any step on: that is what makes a resumed run equal
to one that was never interrupted.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from graphprune.errors import DataError
from graphprune.files import file_sha256
from graphprune.tf.training.data_function import call_data_function

DEFAULT_BATCH_SIZE = 32
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NEEDED = "x_train and y_train are needed, x_test and y_test may be given"


@dataclass(frozen=True, slots=True)
class ArrayData:
    """Arrays from an `.npz` file; each epoch takes them in its own random order.

    Several replicas share each batch equally, so `batch_size` is a multiple of `replicas`, and an epoch leaves out the last samples that cannot be shared.
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

    @property
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""
        return self.sample().element_spec

    @property
    def test(self) -> tf.data.Dataset | None:
        """The test set in its own order, or None."""
        if self.x_test is None:
            return None
        return tf.data.Dataset.from_tensor_slices((self.x_test, self.y_test)).batch(self.batch_size)

    def sample(self) -> tf.data.Dataset:
        """Return the first few samples as one batch."""
        few = min(self.batch_size, len(self.x_train))
        return tf.data.Dataset.from_tensor_slices((self.x_train[:few], self.y_train[:few])).batch(self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Return the order of the samples in `epoch`: a permutation that depends on the seed and the epoch alone."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.x_train))[: _shared(len(self.x_train), self.replicas)]

    def batches(self, step: int = 0) -> tf.data.Dataset:
        """Return the batches from `step` (counted from the start of the run) on, without end."""
        epoch, batch = divmod(step, self.steps_per_epoch)

        def orders() -> Iterator[np.ndarray]:
            number = epoch
            while True:
                yield self.order(number)
                number += 1

        x, y = tf.constant(self.x_train), tf.constant(self.y_train)
        epochs = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec([_shared(len(self.x_train), self.replicas)], tf.int64))
        indices = epochs.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(self.batch_size)).skip(batch)
        return indices.map(lambda index: (tf.gather(x, index), tf.gather(y, index))).prefetch(1)


@dataclass(frozen=True, slots=True)
class StreamData:
    """Datasets from a function of the user's; batches are taken as they come."""

    spec: str
    train: tf.data.Dataset
    test: tf.data.Dataset | None
    steps_per_epoch: int
    sha256: str = ""

    @property
    def element_spec(self) -> Any:
        """Shapes and types of a training batch."""
        return self.train.element_spec

    def sample(self) -> tf.data.Dataset:
        """Return the first batch."""
        return self.train.take(1)

    def batches(self, step: int = 0) -> tf.data.Dataset:
        """Return the batches from `step` (counted from the start of the run) on, without end.

        A finite dataset is repeated as a whole and then skipped into, so that one that shuffles anew in each pass comes in the same orders again. That fails
        where the validation set is cut from the same shuffled dataset, because each look at it changes the next order.
        """
        return self.train.repeat().skip(step)


Data = ArrayData | StreamData


def read_data(spec: str, *, batch_size: int | None = None, seed: int = 0, steps_per_epoch: int | None = None, replicas: int = 1) -> Data:
    """Return the data that `spec` names: the path of an `.npz`, or `package.module:function`.

    Args:
        spec: An `.npz` file with x_train and y_train (x_test and y_test too, if there is a test set), or a function that takes nothing and returns
            `(train, validation)` as batched `tf.data.Dataset`; validation may be None. Modules are looked for in the working directory too.
        batch_size: Samples in a batch of an `.npz`, 32 when None; datasets of a function have their own, and it must be None.
        seed: Decides the order of the samples of an `.npz`, and the seeds that a function's datasets did not set themselves.
        steps_per_epoch: The length of an epoch, for datasets of a function that have none or should be cut into other epochs.
        replicas: How many replicas share a batch: `batch_size` is that of all of them together.

    Raises:
        DataError: the data is missing or damaged, or is not what its kind must be.
    """
    if batch_size is not None and batch_size < 1:
        raise DataError(f"{spec}: the batch size must be at least 1, got {batch_size}")
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise DataError(f"{spec}: the number of steps in an epoch must be at least 1, got {steps_per_epoch}")
    if not spec.endswith(".npz") and _FUNCTION.fullmatch(spec):
        if batch_size is not None:
            raise DataError(f"{spec}: the datasets of a function have batches of their own; leave the batch size out, or set it in the function")
        return _read_function(spec, seed, steps_per_epoch)
    if batch_size is not None and batch_size % replicas:
        near = max(replicas, _shared(batch_size, replicas))
        raise DataError(f"{spec}: {replicas} replicas share a batch equally, got a batch size of {batch_size}; take a multiple of {replicas}, such as {near}")
    return _read_arrays(spec, batch_size or max(replicas, _shared(DEFAULT_BATCH_SIZE, replicas)), seed, steps_per_epoch, replicas)


def _shared(samples: int, replicas: int) -> int:
    """Return how many of the samples `replicas` replicas can share equally."""
    return samples - samples % replicas


def _read_arrays(spec: str, batch_size: int, seed: int, steps_per_epoch: int | None, replicas: int) -> ArrayData:
    path = Path(spec)
    if not path.exists():
        raise DataError(f"{spec}: no such file; data is an .npz file, or package.module:function")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DataError(f"{spec}: not an .npz file; write one with numpy.savez(path, x_train=..., y_train=...)")
    arrays = _load_arrays(spec)
    for name in ("x_train", "y_train"):
        if name not in arrays:
            raise DataError(f"{spec}: has no {name}, it holds {', '.join(sorted(arrays)) or 'nothing'}; {_NEEDED}")
    if ("x_test" in arrays) != ("y_test" in arrays):
        here, missing = ("x_test", "y_test") if "x_test" in arrays else ("y_test", "x_test")
        raise DataError(f"{spec}: has {here} but no {missing}; give both or neither")
    for part in ("train", "test") if "x_test" in arrays else ("train",):
        _check_pair(spec, part, arrays[f"x_{part}"], arrays[f"y_{part}"])
    for side in "xy" if "x_test" in arrays else "":
        _check_same_samples(spec, side, arrays[f"{side}_train"], arrays[f"{side}_test"])
    samples = _shared(len(arrays["x_train"]), replicas)
    if samples == 0:
        raise DataError(f"{spec}: x_train has {len(arrays['x_train'])} samples, too few for {replicas} replicas; take fewer")
    batch_size = min(batch_size, samples)
    steps = math.ceil(samples / batch_size)
    if steps_per_epoch not in (None, steps):
        raise DataError(f"{spec}: an epoch of this file has {steps} steps of {batch_size} samples, got {steps_per_epoch} steps; change the batch size instead")
    x_test, y_test = arrays.get("x_test"), arrays.get("y_test")
    return ArrayData(spec, arrays["x_train"], arrays["y_train"], x_test, y_test, batch_size, seed, steps, file_sha256(path), replicas)


def _load_arrays(spec: str) -> dict[str, np.ndarray]:
    try:
        with np.load(spec, allow_pickle=False) as stored:
            wanted = [name for name in ("x_train", "y_train", "x_test", "y_test") if name in stored.files]
            found = {name: _load_array(spec, stored, name) for name in wanted}
            return found | {name: np.empty(0) for name in stored.files if name not in wanted}
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as fault:
        raise DataError(f"{spec}: damaged, {fault}; write the file again") from fault


def _load_array(spec: str, stored: Any, name: str) -> np.ndarray:
    try:
        array = stored[name]
    except ValueError as fault:
        kind = "holds Python objects, which are never unpickled" if "allow_pickle" in str(fault) else f"cannot be read ({fault})"
        raise DataError(f"{spec}: {name} {kind}; store it as an array of numbers") from fault
    if not isinstance(array, np.ndarray):
        raise DataError(f"{spec}: {name} is not an array; write the file with numpy.savez")
    if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
        first = tuple(int(place) for place in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"{spec}: {name} holds {array[first]} at {first}; training needs numbers, clean the data first")
    return array


def _check_pair(spec: str, part: str, x: np.ndarray, y: np.ndarray) -> None:
    for name, array in ((f"x_{part}", x), (f"y_{part}", y)):
        if array.ndim == 0:
            raise DataError(f"{spec}: {name} is a single value; it needs one row a sample")
    if len(x) != len(y):
        raise DataError(f"{spec}: x_{part} has {len(x)} samples and y_{part} has {len(y)}; each sample needs one label")
    if len(x) == 0:
        raise DataError(f"{spec}: x_{part} has no samples; training needs at least one")


def _check_same_samples(spec: str, side: str, train: np.ndarray, test: np.ndarray) -> None:
    """Refuse a test set whose samples have another shape than those of the training set, before hours of training end in an error."""
    if train.shape[1:] != test.shape[1:]:
        raise DataError(f"{spec}: samples of {side}_test have shape {test.shape[1:]}, those of {side}_train {train.shape[1:]}; give both the same")


def _read_function(spec: str, seed: int, steps_per_epoch: int | None) -> StreamData:
    tf.random.set_seed(seed)  # datasets that shuffle without a seed of their own come in the same order again on resume
    train, test = call_data_function(spec)
    if test is not None and test.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{spec}: the validation dataset never ends; cut it with .take(n)")
    return StreamData(spec, train, test, steps_per_epoch or _count_steps(spec, train))


def _count_steps(spec: str, train: tf.data.Dataset) -> int:
    steps = int(train.cardinality())
    if steps == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{spec}: the training dataset never ends; say how long an epoch is with --steps-per-epoch")
    if steps == tf.data.UNKNOWN_CARDINALITY:
        steps = int(train.reduce(np.int64(0), lambda count, *_: count + 1))
    if steps == 0:
        raise DataError(f"{spec}: the training dataset has no batches; training needs at least one")
    return steps
