"""The strategy of a training run: `none`, or `mirrored:N`, N replicas on one machine."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import tensorflow as tf

from graphprune.errors import TrainingError
from graphprune.runs.training_arguments import NONE, parse_strategy


@dataclass(frozen=True, slots=True)
class Spread:
    """How a run is distributed over devices.

    Attributes:
        name: `none` or `mirrored:N`, as the run's folder records it.
        strategy: TensorFlow's; None for none.
    """

    name: str
    strategy: tf.distribute.Strategy | None

    @property
    def replicas(self) -> int:
        """The number of replicas that share a batch."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    def scope(self) -> AbstractContextManager[Any]:
        """Return the scope to make the model and its optimizer in."""
        return nullcontext() if self.strategy is None else self.strategy.scope()


def open_spread(name: str) -> Spread:
    """Return the spread for the strategy `name`.

    It is `none`, `mirrored` (all GPUs, or one CPU), or `mirrored:N` (N GPUs; without a GPU, N
    logical CPU devices).

    Raises:
        TrainingError: there is no such strategy, the machine lacks the devices, or the environment
            names several machines.
    """
    _check_one_machine()
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


def _check_one_machine() -> None:
    """Refuse an environment that names other machines.

    Each of them would train the whole run by itself.

    Raises:
        TrainingError: TF_CONFIG names a cluster of several tasks, or is not valid JSON.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text or "{}").get("cluster", {})
        tasks = sum(len(addresses) for addresses in cluster.values())
    except (ValueError, AttributeError, TypeError):
        raise TrainingError(
            f"TF_CONFIG: not what TensorFlow takes for a cluster, got {text!r}; unset it"
        ) from None
    if tasks > 1:
        raise TrainingError(
            f"TF_CONFIG: names a cluster of {tasks} tasks, and a run trains on one machine; unset"
            " it, or train under MultiWorkerMirroredStrategy in Python, with"
            " graphprune.UpdatePruningStep in fit"
        )
