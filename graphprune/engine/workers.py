"""What the processes of a run do together: stop at the same step, and put their state in one place.

Each worker holds the same weights and chooses the same masks from them. What differs between
workers is in their own state: sums of metrics, random generators, batch statistics and states of
recurrent layers. The chief writes the state of all of them into its checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graphprune.engine.held import PrunedLayer
from graphprune.errors import CheckpointError, TrainingError
from graphprune.runs.training_arguments import StopRequest

Arrays = Mapping[str, NDArray[Any]]
OWN_KINDS = ("metrics", "random", "recurrent", "replicas")
"""The kinds of state that differ between workers."""
_BETWEEN = 0.5
"""Seconds between two questions whether a worker was asked to stop."""


class Workers(Protocol):
    """The processes that train a run together."""

    @property
    def rank(self) -> int:
        """The place of this process among them; 0 is the chief."""
        ...

    @property
    def count(self) -> int:
        """The number of processes."""
        ...

    def name_of(self, rank: int) -> str:
        """Return the name of a worker in messages."""
        ...

    def gather(self, arrays: Arrays) -> tuple[Arrays, ...]:
        """Return the arrays of every worker, in the order of the ranks.

        All workers call it, with arrays of the same names, shapes and types; it returns when all
        have.
        """
        ...


@dataclass(frozen=True, slots=True)
class Alone:
    """One process that trains a run by itself."""

    rank: int = 0
    count: int = 1

    def name_of(self, rank: int) -> str:
        """Return the name of this process."""
        return "this process"

    def gather(self, arrays: Arrays) -> tuple[Arrays, ...]:
        """Return the arrays."""
        return (arrays,)


ALONE = Alone()


def is_chief(workers: Workers) -> bool:
    """Return whether this process writes the run's folder."""
    return workers.rank == 0


def wait_for_all(workers: Workers) -> None:
    """Return when every worker has come here."""
    workers.gather({"here": np.zeros(1, np.int32)})


def first_different(workers: Workers, values: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the first name whose value differs from the chief's, and a rank with another value.

    None if all workers have the same values.
    """
    digests = {name: _digest([value.encode()]) for name, value in values.items()}
    chief, *others = workers.gather(digests)
    for name in values:
        for rank, found in enumerate(others, start=1):
            if not np.array_equal(chief[name], found[name]):
                return name, rank
    return None


def check_same_run(workers: Workers, values: Mapping[str, str]) -> None:
    """Refuse to train with workers that were asked for something else than the chief.

    Raises:
        TrainingError: a worker has another model, other data or other settings.
    """
    found = first_different(workers, values)
    if found is not None:
        name, rank = found
        raise TrainingError(
            f"{workers.name_of(rank)} differs from {workers.name_of(0)} in its {name}; give each"
            " worker the same command, model, rules and data"
        )


class StopVotes:
    """Asks all workers whether one of them was asked to stop, so that all stop at the same step.

    Questions between steps are asked about twice a second: their distance in steps follows from the
    time that the workers measured together.
    """

    def __init__(self, workers: Workers, stop: StopRequest) -> None:
        self._workers, self._stop = workers, stop
        self._distance, self._passed, self._asked_at = 1, 0, time.monotonic()

    def asked(self) -> bool:
        """Return whether one was asked to stop; all workers call it at the same place."""
        if self._workers.count == 1:
            return self._stop.asked
        passed, self._passed = max(1, self._passed), 0
        seconds = time.monotonic() - self._asked_at
        said = np.array([self._stop.asked, min(10**6, int(seconds * 1000))], np.int32)
        answers = [found["said"] for found in self._workers.gather({"said": said})]
        slowest = max(1, *(int(answer[1]) for answer in answers)) / 1000
        self._distance = max(1, min(10_000, int(passed * _BETWEEN / slowest)))
        self._asked_at = time.monotonic()
        return any(answer[0] for answer in answers)

    def asked_after_step(self) -> bool:
        """Return whether one was asked to stop, if it is time for the question."""
        if self._workers.count == 1:
            return self._stop.asked
        self._passed += 1
        return self._passed >= self._distance and self.asked()


def gather_state(
    workers: Workers, state: Mapping[str, Arrays], layers: Iterable[PrunedLayer], place: str
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint by path: the state of this process, and that of others.

    Arrays of the chief are `KIND/NAME`, those of others `worker-RANK/KIND/NAME`. Every worker calls
    it at the same step.

    Args:
        workers: The workers.
        state: Arrays by kind and name.
        layers: The pruned layers; their masks must be equal on all workers.
        place: The start of the error's text.

    Raises:
        TrainingError: masks differ between workers.
    """
    flat = {
        f"{kind}/{name}": array for kind, found in state.items() for name, array in found.items()
    }
    if workers.count == 1:
        return flat
    own = {path: array for path, array in flat.items() if path.partition("/")[0] in OWN_KINDS}
    chief, *others = workers.gather({**own, "masks": mask_digest(layers)})
    for rank, found in enumerate(others, start=1):
        if not np.array_equal(found["masks"], chief["masks"]):
            raise TrainingError(
                f"{workers.name_of(rank)} has other masks than {workers.name_of(0)}, so its weights"
                " differ; train on machines with the same processors and the same versions",
                place=place,
            )
        flat |= {f"worker-{rank}/{path}": found[path] for path in own}
    return flat


def own_state(
    state: Mapping[str, dict[str, NDArray[Any]]], workers: Workers
) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the state of this worker from the arrays of a checkpoint by kind and name.

    Raises:
        CheckpointError: the checkpoint has no state of this worker.
    """
    kept = {kind: found for kind, found in state.items() if not kind.startswith("worker-")}
    if not state or workers.rank == 0:
        return kept
    wanted = {f"{kind}/{name}" for kind in OWN_KINDS for name in kept.get(kind, {})}
    own = state.get(f"worker-{workers.rank}", {})
    if set(own) != wanted:
        raise CheckpointError("the checkpoint was written with other workers; start a new run")
    for path, array in own.items():
        kind, _, name = path.partition("/")
        kept[kind] = {**kept[kind], name: array}
    return kept


def mask_digest(layers: Iterable[PrunedLayer]) -> NDArray[np.uint8]:
    """Return the sha256 of all masks, as bits, in the order of the layers."""
    return _digest(
        np.packbits(tensor.read_mask()).data for layer in layers for tensor in layer.tensors
    )


def _digest(parts: Iterable[bytes | memoryview]) -> NDArray[np.uint8]:
    found = sha256()
    for part in parts:
        found.update(part)
    return np.frombuffer(found.digest(), np.uint8)
