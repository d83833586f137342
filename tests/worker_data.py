"""Datasets for the tests of several workers: the same samples in each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

SAMPLES, BATCH = 32, 8
_POLICY = tf.data.experimental.AutoShardPolicy


def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    y = rng.integers(0, 3, SAMPLES)
    return (rng.normal(size=(SAMPLES, 4, 4, 1)) + y.reshape(-1, 1, 1, 1)).astype("float32"), y


def _dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(arrays())


def shared() -> tuple:
    """Global batches: each worker takes its part."""
    return _dataset().shuffle(SAMPLES, seed=1).batch(BATCH), _dataset().take(13).batch(BATCH)


def own() -> tuple:
    """The batches of this worker alone, of every second sample."""
    cluster = tf.distribute.get_strategy().cluster_resolver
    rank, workers = cluster.task_id, len(cluster.cluster_spec().job_tasks("worker"))
    train = _dataset().shard(workers, rank).batch(BATCH // workers)
    return _with_policy(train, _POLICY.OFF), None


def service() -> tuple:
    """Batches of this worker from a service that all workers share."""
    found = tf.data.experimental.service.distribute(
        processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC,
        service=Path("service").read_text(),
        job_name="train",
    )
    batches = _dataset().batch(BATCH // 2, drop_remainder=True)
    return batches.repeat().apply(found), None


def by_file() -> tuple:
    return _with_policy(_dataset().batch(BATCH), _POLICY.FILE), None


def odd() -> tuple:
    return _dataset().batch(BATCH - 1, drop_remainder=True), None


def first_odd() -> tuple:
    """Batches whose size only the first one tells."""
    return _dataset().batch(BATCH - 1), None


def _with_policy(dataset: tf.data.Dataset, policy: _POLICY) -> tf.data.Dataset:
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = policy
    return dataset.with_options(options)


class Numbered(tf_keras.utils.Sequence):
    def __init__(self) -> None:
        self.x, self.y = arrays()

    def __len__(self) -> int:
        return SAMPLES // BATCH

    def __getitem__(self, number: int) -> tuple:
        place = slice(number * BATCH, (number + 1) * BATCH)
        return self.x[place], self.y[place]


def numbered() -> tuple:
    return Numbered(), None
