"""The parts of batches that the replicas of one process take, as datasets of `tf.distribute`."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from graphprune.engine.data_kinds import count_steps
from graphprune.engine.shares import Share
from graphprune.errors import DataError

_FILE, _OFF = (tf.data.experimental.AutoShardPolicy.FILE, tf.data.experimental.AutoShardPolicy.OFF)


def own_parts(batches: tf.data.Dataset, share: Share, *, is_even: bool) -> tf.data.Dataset:
    """Return the parts of each batch for the replicas of this process, one element each.

    Args:
        batches: The batches of all workers together.
        share: What this process takes of each.
        is_even: Leave out the last samples of a batch that cannot be divided equally. Otherwise
            parts may differ by one sample, and be empty.
    """

    def part(number: tf.Tensor, batch: Any) -> Any:
        samples = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]
        if is_even:
            samples -= samples % share.replicas
        low, high = ((number + edge) * samples // share.replicas for edge in (0, 1))
        return tf.nest.map_structure(lambda tensor: tensor[low:high], batch)

    def parts(*batch: Any) -> tf.data.Dataset:
        whole = batch[0] if len(batch) == 1 else batch
        numbers = tf.data.Dataset.range(share.parts.start, share.parts.stop)
        return numbers.map(lambda number: part(number, whole))

    return batches.flat_map(parts)


def distribute(parts: tf.data.Dataset, share: Share) -> Any:
    """Return parts for the replicas of this process as what `fit` and `evaluate` take."""
    if share.is_whole:
        return parts
    strategy = tf.distribute.get_strategy()
    return strategy.distribute_datasets_from_function(lambda context: parts)


def distribute_batches(batches: tf.data.Dataset, share: Share, *, is_even: bool) -> Any:
    """Return batches of all workers as what `fit` and `evaluate` take; see `own_parts`.

    A dataset whose auto-shard policy is OFF has batches of this worker alone.
    """
    if share.is_whole:
        return batches
    taken = share.own if _policy(batches) == _OFF else share
    return distribute(own_parts(batches, taken, is_even=is_even), share)


def distribute_test(batches: tf.data.Dataset | None, share: Share) -> Any:
    """Return a validation set as what `evaluate` takes; None where there is none."""
    return None if batches is None else distribute_batches(batches, share, is_even=False)


def test_steps(place: str, batches: tf.data.Dataset | None, share: Share) -> int | None:
    """Return the number of batches of a validation set that workers share; None otherwise.

    Raises:
        DataError: it is read to count them, and reading fails.
    """
    return None if share.is_whole or batches is None else count_steps(place, batches)


def check_batches(spec: str, batches: tf.data.Dataset, share: Share) -> None:
    """Refuse datasets that several workers cannot share exactly.

    Raises:
        DataError: the auto-shard policy is FILE, or the batch size does not divide.
    """
    if share.is_whole:
        return
    if _policy(batches) == _FILE:
        raise DataError(
            "has the auto-shard policy FILE, under which a resumed run could not find its place;"
            " choose the files of each worker in the function and set the policy OFF, or set DATA",
            place=spec,
        )
    size = tf.nest.flatten(batches.element_spec)[0].shape[:1]
    check_size(spec, size.num_elements(), batches, share)


def check_size(place: str, samples: int | None, batches: tf.data.Dataset, share: Share) -> None:
    """Refuse batches of a number of samples, where it is known, that workers cannot share equally.

    Raises:
        DataError: it does not divide by the replicas that take a part of each batch.
    """
    divisor = share.local if _policy(batches) == _OFF else share.replicas
    if not share.is_whole and samples is not None and samples % divisor:
        raise DataError(
            f"has batches of {samples} samples, which {divisor} replicas cannot share equally; take"
            f" a multiple of {divisor}",
            place=place,
        )


def _policy(batches: tf.data.Dataset) -> Any:
    return batches.options().experimental_distribute.auto_shard_policy
