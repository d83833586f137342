"""Samples to train on that can be taken in any order: which of them make up each batch of a run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from graphprune.engine.shares import WHOLE, Share
from graphprune.errors import DataError
from graphprune.runs.samples import Array, ArrayRows, Rows, Samples, map_arrays

DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class ArrayBatches:
    """Samples; each epoch takes them in its own random order.

    Several replicas, also of several workers, share each batch equally, so `batch_size` is a
    multiple of `replicas`, and an epoch leaves out the last samples that cannot be shared.
    """

    spec: str
    train: Rows
    held_out: Rows | None
    batch_size: int
    seed: int
    steps_per_epoch: int
    sha256: str
    replicas: int = 1
    share: Share = WHOLE

    @classmethod
    def of_samples(
        cls,
        spec: str,
        read: Samples,
        *,
        batch_size: int | None,
        seed: int,
        steps_per_epoch: int | None,
        replicas: int,
    ) -> Self:
        """Return the batches of arrays; arguments as for `read_data`.

        Raises:
            DataError: the number of samples or the length of an epoch does not fit.
        """
        samples = shared(len(read.train), replicas)
        if samples == 0:
            raise DataError(
                f"x_train has {len(read.train)} samples, too few for {replicas} replicas; take"
                " fewer",
                place=spec,
            )
        wanted = batch_size or max(replicas, shared(DEFAULT_BATCH_SIZE, replicas))
        size = min(wanted, samples)
        steps = math.ceil(samples / size)
        if steps_per_epoch not in (None, steps):
            raise DataError(
                f"an epoch of this data has {steps} steps of {size} samples, got"
                f" {steps_per_epoch} steps; change the batch size instead",
                place=spec,
            )
        return cls(spec, read.train, read.test, size, seed, steps, read.sha256, replicas)

    @property
    def is_weighted(self) -> bool:
        """Whether there are sample weights."""
        return len(self.train.take(slice(0, 1))) == 3

    def first_batch_sha256(self) -> str:
        """Return nothing: arrays are hashed as a whole."""
        return ""

    def order(self, epoch: int) -> Array:
        """Return the order of the samples in `epoch`, which depends on seed and epoch alone."""
        samples = len(self.train)
        whole = np.random.default_rng([self.seed, epoch]).permutation(samples)
        return whole[: shared(samples, self.replicas)]

    def orders(self, epoch: int) -> Iterator[Array]:
        """Yield the order of each epoch from `epoch` on, without end."""
        while True:
            yield self.order(epoch)
            epoch += 1

    def first(self) -> tuple[Any, ...]:
        """Return the first few samples as one batch."""
        return self.train.take(slice(0, self.batch_size))

    def labels(self) -> dict[str, Any]:
        """Return all labels of the training and the validation samples, by what messages call them.

        Where they are known only when samples are taken, they are those of the first batch.
        """
        few = slice(0, self.batch_size)
        return {
            f"y_{rows.part}": rows.take(few)[1] if rows.labels is None else rows.labels
            for rows in (self.train, self.held_out)
            if rows is not None
        }


@dataclass(frozen=True, slots=True)
class RowRange:
    """The samples of others from `begin` to before `end`.

    Attributes:
        rows: The others.
        part: Which samples they are: `train` or `val`.
        begin, end: The range.
    """

    rows: Rows
    part: str
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    @property
    def labels(self) -> Any:
        """All labels; None if they are known only when samples are taken."""
        found = self.rows.labels
        return None if found is None else map_arrays(lambda one: one[self.begin : self.end], found)

    def take(self, index: Array | slice) -> tuple[Any, ...]:
        """Return the samples that an index names as (x, y), or (x, y, weights)."""
        return self.rows.take(np.arange(self.begin, self.end)[index])


def split_off(data: Any, share: float | None) -> Any:
    """Return data whose last samples, by a share of all, are for validation.

    Raises:
        DataError: the data has validation samples, has batches of its own, or has too few samples.
    """
    if share is None:
        return data
    if not isinstance(data, ArrayBatches):
        raise DataError(
            "has batches of its own, so no share of the samples can be split off; leave the"
            " validation split out, and give validation data",
            place=data.spec,
        )
    if data.held_out is not None:
        raise DataError(
            "has validation samples already; leave the validation split out", place=data.spec
        )
    whole = len(data.train)
    kept = whole - round(whole * share)
    samples = shared(kept, data.replicas)
    if not samples or kept == whole:
        raise DataError(
            f"has {whole} samples, too few to split off {share:g} of them", place=data.spec
        )
    size = min(data.batch_size, samples)
    return replace(
        data,
        train=_part_of(data.train, "train", 0, kept),
        held_out=_part_of(data.train, "val", kept, whole),
        batch_size=size,
        steps_per_epoch=math.ceil(samples / size),
    )


def _part_of(rows: Rows, part: str, begin: int, end: int) -> Rows:
    """Return some of the samples; those of arrays are arrays, which need no index."""
    if not isinstance(rows, ArrayRows):
        return RowRange(rows, part, begin, end)
    x, y = (map_arrays(lambda one: one[begin:end], tree) for tree in (rows.x, rows.y))
    weights = None if rows.w is None else map_arrays(lambda one: one[begin:end], rows.w)
    return replace(rows, part=part, x=x, y=y, w=weights)


def check_batch_size(spec: str, batch_size: int | None, replicas: int) -> None:
    """Refuse a batch size that replicas cannot share equally.

    Raises:
        DataError: it is no multiple of `replicas`.
    """
    if batch_size is not None and batch_size % replicas:
        near = max(replicas, shared(batch_size, replicas))
        raise DataError(
            f"{replicas} replicas share a batch equally, got a batch size of {batch_size};"
            f" take a multiple of {replicas}, such as {near}",
            place=spec,
        )


def warn_left_out(data: Any) -> None:
    """Warn of samples of arrays that an epoch leaves out, since replicas share the others."""
    if not isinstance(data, ArrayBatches):
        return
    samples = len(data.train)
    left = samples - shared(samples, data.replicas)
    if left:
        warnings.warn(
            f"{data.spec}: each epoch leaves out {left} of {samples} samples, other ones each time,"
            f" because {data.replicas} replicas share the samples equally",
            stacklevel=2,
        )


def shared(samples: int, replicas: int) -> int:
    """Return how many of the samples `replicas` replicas can share equally."""
    return samples - samples % replicas
