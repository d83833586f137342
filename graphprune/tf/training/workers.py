"""The workers of a run under `MultiWorkerMirroredStrategy`: opening, gathering, losing one."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.distribute.collective_all_reduce_strategy import coordination_config_pb2
from tensorflow.python.distribute.multi_worker_util import coordination_leader
from tensorflow.python.eager import context

from graphprune.errors import TrainingError, WorkerError
from graphprune.runs.cluster import Cluster
from graphprune.runs.rendezvous import meet

Arrays = Mapping[str, NDArray[Any]]
_JOB = "worker"
_CONNECT = 120
"""Seconds in which TensorFlow connects workers that have all come.

No thread of Python runs meanwhile, so nothing can end it earlier.
"""
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)
_SIGNS = ("Collective ops is aborted", "heartbeat", "coordination service", "CoordinationService")
"""What TensorFlow says where another worker, rather than the input or a layer, is the cause."""
_REMOTE = re.compile(
    r"(?:remote target|unhealthy[^/]*|reported from)\s*/job:worker(?:/replica:0)?/task:(\d+)"
)


@cache
def open_strategy(cluster: Cluster) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Return the process's strategy for a cluster, once all workers have come.

    It is made before TensorFlow is used in any other way.

    Raises:
        WorkerError: a worker did not come in time.
        TrainingError: TensorFlow is in use already, or the worker's own address cannot be used.
    """
    with meet(cluster) as peers:
        resolver = _configure(cluster)
        try:
            with _own_sigterm():
                return tf.distribute.MultiWorkerMirroredStrategy(resolver)
        except RuntimeError as fault:
            raise TrainingError(
                "strategy: multiworker cannot begin, because TensorFlow is in use already"
                f" ({fault}); ask for it in a process that has not used TensorFlow, with a saved"
                " model"
            ) from fault
        except tf.errors.OpError as fault:
            raise _explain_opening(cluster, peers.find_lost(), fault) from fault


def _configure(cluster: Cluster) -> tf.distribute.cluster_resolver.ClusterResolver:
    """Return what the strategy is made from, and bound the time in which TensorFlow connects."""
    spec = tf.train.ClusterSpec({_JOB: list(cluster.workers)})
    eager = context.context()
    eager.configure_coordination_service(
        service_type="standalone",
        service_leader=coordination_leader(spec),
        cluster_register_timeout_in_ms=_CONNECT * 1000,
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name=_JOB, num_tasks=len(cluster.workers))
        ],
    )
    # else workers that are connected wait an hour for one that has ended since it came
    eager.coordination_service.cluster_register_with_barrier = True
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec,
        task_type=_JOB,
        task_id=cluster.rank,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which TensorFlow's coordination service replaces.

    Only the main thread can set handlers; a run in another thread is not stopped by signals.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _explain_opening(
    cluster: Cluster, lost: Sequence[int], fault: tf.errors.OpError
) -> TrainingError:
    if lost:
        names = ", ".join(map(cluster.name_of, lost))
        return WorkerError(
            f"workers: lost {names} before TensorFlow had connected all workers; its output says"
            " why; start the same command on every worker again"
        )
    reason = str(fault.message).strip().partition("\n")[0]
    return WorkerError(
        f"workers: TensorFlow cannot connect {cluster.name_of(cluster.rank)} with"
        f" {cluster.others()} ({reason}); check that the ports of all workers are free and can be"
        " reached from each other"
    )


class ClusterWorkers:
    """The processes of a cluster, and the exchange of arrays between them.

    Args:
        strategy: Their strategy.
        cluster: Their addresses.
    """

    def __init__(
        self, strategy: tf.distribute.MultiWorkerMirroredStrategy, cluster: Cluster
    ) -> None:
        self._cluster = cluster
        self._sum = _summing(strategy, strategy.num_replicas_in_sync // len(cluster.workers))

    @property
    def rank(self) -> int:
        """The place of this process; 0 is the chief."""
        return self._cluster.rank

    @property
    def count(self) -> int:
        """The number of workers."""
        return len(self._cluster.workers)

    def name_of(self, rank: int) -> str:
        """Return the name of a worker in messages."""
        return self._cluster.name_of(rank)

    def gather(self, arrays: Arrays) -> tuple[Arrays, ...]:
        """Return the arrays of every worker; see `graphprune.engine.workers.Workers`.

        They are sent as one vector of integers, each worker in a place of its own and zero
        elsewhere, so that their sum is all of them.
        """
        own = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
        words = np.frombuffer(own.ljust(-(-len(own) // 4) * 4, b"\0"), np.int32)
        table = np.zeros((self.count, len(words)), np.int32)
        table[self.rank] = words
        whole = self._sum(tf.constant(table)).numpy()
        return tuple(_unpack(row.tobytes(), arrays) for row in whole)


def _unpack(content: bytes, like: Arrays) -> Arrays:
    found, at = {}, 0
    for name, array in like.items():
        size = array.nbytes
        found[name] = np.frombuffer(content[at : at + size], array.dtype).reshape(array.shape)
        at += size
    return found


def _summing(strategy: Any, local: int) -> Any:
    """Return the function that sums an array over all workers."""

    def own(value: tf.Tensor) -> Any:
        replica = tf.distribute.get_replica_context()
        is_first = tf.equal(replica.replica_id_in_sync_group % local, 0)
        return replica.all_reduce(
            tf.distribute.ReduceOp.SUM, tf.where(is_first, value, tf.zeros_like(value))
        )

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False, jit_compile=False
    )
    def total(value: tf.Tensor) -> tf.Tensor:
        return strategy.experimental_local_results(strategy.run(own, args=(value,)))[0]

    return total


def is_lost(fault: BaseException) -> bool:
    """Return whether TensorFlow raised an error because another worker ended."""
    return isinstance(fault, _LOST) and any(sign in str(fault) for sign in _SIGNS)


@contextmanager
def lost_as_error(strategy: Any, place: object = None) -> Iterator[None]:
    """Turn TensorFlow's error about another worker that ended into one line.

    Args:
        strategy: The strategy of the run; nothing is done where it has no cluster.
        place: The run's folder, for the text.

    Raises:
        WorkerError: another worker ended.
    """
    try:
        yield
    except _LOST as fault:
        if not is_lost(fault) or getattr(strategy, "cluster_resolver", None) is None:
            raise
        raise WorkerError(_explain_lost(strategy, fault), place=place) from fault
    except WorkerError as fault:
        if place is None or fault.place is not None:
            raise
        raise WorkerError(fault.text, place=place) from fault


def _explain_lost(strategy: Any, fault: tf.errors.OpError) -> str:
    workers = strategy.cluster_resolver.cluster_spec().job_tasks(_JOB)
    found = _REMOTE.search(str(fault))
    name = "another worker"
    if found is not None and int(found[1]) < len(workers):
        name = f"worker {found[1]} ({workers[int(found[1])]})"
    return (
        f"lost {name}: it ended or cannot be reached, and its output says why; checkpoints are"
        " intact, continue with graphprune resume on every worker"
    )
