"""The strategy of a training run: `none`, `mirrored:N` on one machine, `multiworker` on several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tensorflow as tf

from graphprune.engine.shares import Share
from graphprune.engine.workers import ALONE, Workers
from graphprune.errors import TrainingError
from graphprune.runs.cluster import Cluster
from graphprune.runs.training_arguments import MULTIWORKER, NONE, parse_strategy
from graphprune.tf.training.workers import ClusterWorkers, lost_as_error, open_strategy


@dataclass(frozen=True, slots=True)
class Spread:
    """How a run is distributed over devices.

    Attributes:
        name: `none`, `mirrored:N` or `multiworker:NxM`, as the run's folder records it.
        strategy: TensorFlow's; None for none.
        workers: The processes that train the run together.
    """

    name: str
    strategy: tf.distribute.Strategy | None
    workers: Workers = ALONE

    @property
    def replicas(self) -> int:
        """The number of replicas that share a batch."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    @property
    def share(self) -> Share:
        """The part of each batch that this process takes."""
        return Share(self.workers.rank, self.workers.count, self.replicas)

    @contextmanager
    def scope(self, place: Path) -> Iterator[None]:
        """Make the model and its optimizer within; a lost worker is an error about `place`.

        Raises:
            WorkerError: another worker ended.
        """
        if self.strategy is None:
            yield
            return
        with lost_as_error(self.strategy, place), self.strategy.scope():
            yield


def open_spread(name: str, cluster: Cluster | None = None) -> Spread:
    """Return the spread for the strategy `name`.

    It is `none`, `mirrored` (all GPUs, or one CPU), `mirrored:N` (N GPUs; without a GPU, N logical
    CPU devices), or `multiworker` (all GPUs, or the CPU, of each worker of `cluster`).

    Raises:
        TrainingError: there is no such strategy, or the machine lacks the devices.
        WorkerError: a worker of the cluster did not come.
    """
    if name == MULTIWORKER:
        assert cluster is not None
        strategy = open_strategy(cluster)
        workers = ClusterWorkers(strategy, cluster)
        local = strategy.num_replicas_in_sync // workers.count
        return Spread(f"{MULTIWORKER}:{workers.count}x{local}", strategy, workers)
    if name == NONE:
        return Spread(NONE, None)
    kind, count = _devices(name)
    return Spread(f"mirrored:{count}", _mirrored(kind, count))


@cache
def _mirrored(kind: str, count: int) -> tf.distribute.Strategy:
    """Return the process's one strategy for these devices.

    TensorFlow would mix up the sums of two strategies for the same devices.
    """
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(count)])


def _devices(name: str) -> tuple[str, int]:
    named = parse_strategy(name)
    gpus = len(tf.config.list_physical_devices("GPU"))
    count = named or gpus or 1
    if gpus and count > gpus:
        raise TrainingError(
            f"strategy: {name} needs {count} GPUs, this machine has {gpus}; take mirrored:{gpus}"
        )
    if not gpus:
        _divide_cpu(name, count)
    return "GPU" if gpus else "CPU", count


def _divide_cpu(name: str, count: int) -> None:
    """Divide the CPU into `count` logical devices; only possible before TensorFlow is used."""
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    except RuntimeError:
        made = len(tf.config.list_logical_devices("CPU"))
        if made < count:
            raise TrainingError(
                f"strategy: {name} needs {count} devices, and TensorFlow is in use already, with"
                f" {made}; ask for it in a process that has not used TensorFlow"
            ) from None
