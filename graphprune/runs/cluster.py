"""The workers of a run on several machines, checked before TensorFlow is imported.

They are named by `--workers` and `--rank`, or by `TF_CONFIG`, which is what TensorFlow reads and
what cluster managers set: `{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type":
"worker", "index": 0}}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import PlainValidator, WithJsonSchema

from graphprune.errors import TrainingError
from graphprune.rules.text.shape import Fault
from graphprune.runs.training_arguments import MULTIWORKER, NONE

VARIABLE = "TF_CONFIG"
WAIT = 600
"""Seconds to wait for the other workers."""
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\],]+):(?P<port>[0-9]{1,5})")
_FORM = "write for example 'node-a:2222,node-b:2222'"
_ONE_OF = "--workers HOST:PORT,HOST:PORT and --rank NUMBER"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The workers of a run, and which of them this process is.

    Attributes:
        workers: The address of each, `HOST:PORT`.
        rank: The place of this process among them; worker 0 is the chief, which writes the run's
            folder.
        wait: Seconds to wait for the others.
    """

    workers: tuple[str, ...]
    rank: int
    wait: int = WAIT

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.rank == 0

    def name_of(self, rank: int) -> str:
        """Return the name of a worker in messages.

        Example:
            >>> Cluster(("a:2222", "b:2222"), 0).name_of(1)
            'worker 1 (b:2222)'
        """
        return f"worker {rank} ({self.workers[rank]})"

    def others(self) -> str:
        """Return the names of all other workers in messages."""
        ranks = range(len(self.workers))
        return ", ".join(self.name_of(rank) for rank in ranks if rank != self.rank)


def parse_workers(value: Any) -> tuple[str, ...]:
    """Return the addresses of workers from a list, or from text with commas.

    Example:
        >>> parse_workers("a:2222, b:2222")
        ('a:2222', 'b:2222')
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise Fault("value/type", "must be addresses HOST:PORT, in the order of the ranks", _FORM)
    fault = find_fault(value)
    if fault is not None:
        raise Fault("value/range", fault, _FORM)
    return tuple(value)


def find_fault(addresses: Sequence[str]) -> str | None:
    """Return what is wrong with the addresses of a cluster, or None.

    Example:
        >>> find_fault(["a:2222", "b:0"])
        "must be HOST:PORT with a port from 1 to 65535, not 'b:0'"
        >>> find_fault(["a:1", "a:1"]), find_fault(["a:1", "b:1"])
        ('must not name a:1 twice', None)
    """
    for address in addresses:
        found = _ADDRESS.fullmatch(address)
        if found is None or not 1 <= int(found["port"]) <= 65535:
            return f"must be HOST:PORT with a port from 1 to 65535, not {address!r}"
        if addresses.count(address) > 1:
            return f"must not name {address} twice"
    if len(addresses) < 2:
        return "must name at least 2 workers"
    return None


Workers = Annotated[
    tuple[str, ...],
    PlainValidator(parse_workers),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": ","},
                {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
            ]
        }
    ),
]


def find_cluster(
    strategy: str,
    workers: Sequence[str] | None,
    rank: int | None,
    environment: Mapping[str, str],
    wait: int = WAIT,
) -> Cluster | None:
    """Return the cluster that a run trains on; None for a run on one machine.

    Args:
        strategy: The strategy that was asked for.
        workers: The addresses of all workers, where they were given.
        rank: The place of this process among them.
        environment: The environment variables; `TF_CONFIG` names the cluster where `workers` do
            not.
        wait: Seconds to wait for the other workers.

    Raises:
        TrainingError: the cluster is not valid, or does not fit the strategy.
    """
    given = _given_cluster(workers, rank, wait)
    found = _read_variable(environment.get(VARIABLE, ""), wait)
    if strategy != MULTIWORKER:
        _refuse_cluster(strategy, given, found)
        return None
    if given is None and found is None:
        raise TrainingError(
            f"strategy: multiworker needs the workers; give {_ONE_OF}, or set {VARIABLE}"
        )
    if given is not None and found is not None and given != found:
        raise TrainingError(
            f"workers: {VARIABLE} names {_describe(found)}, and --workers and --rank name"
            f" {_describe(given)}; unset {VARIABLE}, or leave both options out"
        )
    cluster = given or found
    assert cluster is not None
    fault = find_fault(cluster.workers)
    if fault is not None:
        raise TrainingError(f"its workers {fault}; {_FORM}", place=VARIABLE)
    return cluster


def _describe(cluster: Cluster) -> str:
    return f"worker {cluster.rank} of {', '.join(cluster.workers)}"


def _given_cluster(workers: Sequence[str] | None, rank: int | None, wait: int) -> Cluster | None:
    if workers is None and rank is None:
        return None
    if workers is None or rank is None:
        name, other = ("rank", "workers") if workers is None else ("workers", "rank")
        raise TrainingError(f"{name}: given without {other}; give both, {_ONE_OF}")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 0 <= rank < len(workers):
        raise TrainingError(
            f"rank: must be from 0 to {len(workers) - 1} for {len(workers)} workers, got {rank!r};"
            " give each worker its place in --workers"
        )
    return Cluster(tuple(workers), rank, wait)


def _refuse_cluster(strategy: str, given: Cluster | None, found: Cluster | None) -> None:
    """Refuse a cluster for another strategy: each worker would train the whole run by itself."""
    if given is not None:
        raise TrainingError(
            f"workers: given with the strategy {strategy}; add --strategy {MULTIWORKER}, or leave"
            " the workers out"
        )
    if found is not None and len(found.workers) > 1:
        remedy = f"add --strategy {MULTIWORKER}, or unset it"
        one = "one device" if strategy == NONE else "one machine"
        raise TrainingError(
            f"names a cluster of {len(found.workers)} tasks, and the strategy"
            f" {strategy} trains on {one}; {remedy}",
            place=VARIABLE,
        )


def _read_variable(text: str, wait: int) -> Cluster | None:
    """Return the cluster of `TF_CONFIG`; None where it is not set or names none.

    Raises:
        TrainingError: it is not valid, or names tasks that are not workers.
    """
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except ValueError:
        _refuse_variable(f"not valid JSON, got {text!r}")
    cluster = config.get("cluster", {}) if isinstance(config, dict) else None
    if not isinstance(cluster, dict):
        _refuse_variable(f"must be a JSON object with the keys cluster and task, got {text!r}")
    if not cluster:
        return None
    others = sorted(set(cluster) - {"worker"})
    if others:
        _refuse_variable(
            f"names tasks of the type {', '.join(map(str, others))}; a run has workers alone, and"
            " the first of them is the chief"
        )
    return _variable_cluster(cluster["worker"], config.get("task"), wait)


def _variable_cluster(workers: Any, task: Any, wait: int) -> Cluster:
    if not isinstance(workers, list) or not all(isinstance(one, str) for one in workers):
        _refuse_variable(f"worker must be a list of addresses HOST:PORT, got {workers!r}")
    if not isinstance(task, dict) or task.get("type") != "worker":
        _refuse_variable(f"task must be an object with the type worker and an index, got {task!r}")
    index = task.get("index")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(workers):
        _refuse_variable(
            f"the task's index must be from 0 to {len(workers) - 1} for {len(workers)} workers, got"
            f" {index!r}"
        )
    return Cluster(tuple(workers), index, wait)


def _refuse_variable(fault: str) -> NoReturn:
    raise TrainingError(f"{fault}; correct it, or unset it and give {_ONE_OF}", place=VARIABLE)
