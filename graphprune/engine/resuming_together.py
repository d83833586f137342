"""Where a run on several workers resumes: the chief decides, and the others take the same point."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphprune.engine.resuming import Resumption, find_result
from graphprune.engine.training_result import TrainingResult
from graphprune.engine.workers import Workers, is_chief
from graphprune.errors import CheckpointError
from graphprune.files import file_sha256
from graphprune.runs.checkpoints import STATE, Checkpoint, folder_of, read_checkpoint
from graphprune.runs.cluster import WAIT, Cluster, find_cluster
from graphprune.runs.run_file import check_arguments
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions
from graphprune.runs.training_arguments import MULTIWORKER

_FINISHED, _BEGINNING = -2, -1
"""In place of the step of a checkpoint."""


def cluster_settings(workers: Sequence[str] | None, wait: int) -> dict[str, Any]:
    """Return the arguments that name a cluster, by key of the run file."""
    return {"on.workers": None if workers is None else list(workers), "on.wait": wait}


def find_run_cluster(
    folder: RunFolder, workers: Sequence[str] | None, rank: int | None, wait: int = WAIT
) -> Cluster | None:
    """Return the cluster that goes on with a run; None for a run on one machine.

    A folder whose record cannot be read is left to the checks of `resume`.

    Raises:
        TrainingError: the cluster is not valid, or does not fit the strategy of the run.
        CheckpointError: the run began on another number of workers.
    """
    check_arguments(cluster_settings(workers, wait))
    try:
        options = folder.read_options()
    except CheckpointError:
        return None
    is_named = workers is not None or rank is not None
    is_multiworker = options.strategy.startswith(MULTIWORKER)
    strategy = MULTIWORKER if is_named or is_multiworker else options.strategy
    cluster = find_cluster(strategy, workers, rank, os.environ, wait)
    check_cluster(folder, options, cluster)
    return cluster


def check_cluster(folder: RunFolder, options: RunOptions, cluster: Cluster | None) -> None:
    """Refuse to go on with a run on another number of workers than it began with.

    Raises:
        CheckpointError: it began on another number of workers, or on one machine.
    """
    kind, _, size = options.strategy.partition(":")
    began = int(size.partition("x")[0]) if kind == MULTIWORKER else 1
    now = 1 if cluster is None else len(cluster.workers)
    if began == now:
        return
    remedy = f"give {began} workers with --workers and --rank, or set TF_CONFIG"
    if began == 1:
        remedy = "resume it without --workers, --rank and TF_CONFIG"
    raise CheckpointError(
        f"began with {began} worker{'s' if began > 1 else ''}, got {now}; {remedy}",
        place=folder.path,
    )


def find_together(
    folder: RunFolder, workers: Workers, find: Callable[[], TrainingResult | Resumption]
) -> TrainingResult | Resumption:
    """Return the result of a finished run, or the point to resume from that the chief chose.

    Whether the run is trusted is the chief's decision: workers run what the others send them.

    Args:
        folder: The run.
        workers: The processes that call this together.
        find: Finds the point, with the lock of the folder; the chief calls it.

    Raises:
        CheckpointError: a worker does not find what the chief found.
    """
    found: TrainingResult | Resumption | None
    if is_chief(workers):
        found = find()
        chosen = workers.gather(_mark_of(found))[0]
    else:
        chosen = workers.gather({"step": np.zeros(1, np.int64), "hash": np.zeros(32, np.uint8)})[0]
        found = _find_same(folder, int(chosen["step"][0]))
    step = int(chosen["step"][0])
    for rank, mark in enumerate(workers.gather(_mark_of(found))):
        if any(not np.array_equal(mark[name], chosen[name]) for name in chosen):
            what = f"the checkpoint of step {step}" if step >= 0 else "the state"
            raise CheckpointError(
                f"{workers.name_of(rank)} does not have {what} that {workers.name_of(0)} goes on"
                " from; give all workers the same run folder, on storage that they share",
                place=folder.path,
            )
    assert found is not None
    return found


def _find_same(folder: RunFolder, step: int) -> TrainingResult | Resumption | None:
    """Return what the chief found, as far as it is here: at `step`, the beginning or the end."""
    if step == _FINISHED:
        return find_result(folder)
    checkpoint: Checkpoint | None = None
    try:
        if step != _BEGINNING:
            checkpoint = read_checkpoint(folder_of(folder.checkpoints, step))
        return Resumption(folder.read_options(), checkpoint)
    except CheckpointError:
        return None  # the chief's answer names it


def _mark_of(found: TrainingResult | Resumption | None) -> dict[str, np.ndarray]:
    """Return the step of a point, and the hash of its checkpoint's record or of the run."""
    if isinstance(found, TrainingResult):
        return {"step": np.array([_FINISHED]), "hash": np.zeros(32, np.uint8)}
    if found is None:
        return {"step": np.array([_BEGINNING - 2]), "hash": np.zeros(32, np.uint8)}
    if found.checkpoint is None:
        step, digest = _BEGINNING, found.options.run_id.ljust(64, "0")
    else:
        state = found.checkpoint.folder / STATE
        step, digest = found.checkpoint.state.step, file_sha256(state)
    return {"step": np.array([step]), "hash": np.frombuffer(bytes.fromhex(digest), np.uint8)}
