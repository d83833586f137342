"""Whether training runs are running, finished, interrupted or failed, without changing them.

    DIR/failure.json    the step and the message of the error that ended the last attempt

It is removed when the run is resumed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from graphprune.errors import CheckpointError, GraphpruneError
from graphprune.runs.checkpoints import find_checkpoint, find_folders
from graphprune.runs.records import Count, Damage, read_record, write_record
from graphprune.runs.resume_point import Tell, check_same_run
from graphprune.runs.run_files import FAILURE, LOCK, is_folder, step_of
from graphprune.runs.run_folder import RunFolder
from graphprune.runs.run_options import RunOptions, RunResult

Status = Literal["running", "finished", "missed", "interrupted", "failed"]

DEEPEST = 3
"""How many folders deep runs are looked for."""
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended the last attempt to train a run.

    Attributes:
        step: Optimizer updates done.
        message: The text of the error.
    """

    step: Count
    message: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as `graphprune runs` shows it.

    Attributes:
        folder: Its folder.
        status: `missed` for a finished run in which a tensor missed its target, `failed` for one
            that an error ended or whose record is damaged.
        options: What it was asked to do; None where the record is damaged.
        step: Optimizer updates done, as far as a checkpoint, an epoch's line or the end tells.
        metrics: The last line of `metrics.jsonl`.
        missed: The tensors that missed their targets, as `ADDRESS NAME`.
        message: Why it failed; empty otherwise.
    """

    folder: Path
    status: Status
    options: RunOptions | None = None
    step: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
    message: str = ""


def write_failure(folder: Path, step: int, fault: Exception) -> None:
    """Record that an error ended the run; the caller holds the lock.

    A failure of the writing itself is passed over: the error is about to be told anyway.
    """
    message = f"{type(fault).__name__}: {fault}"
    if isinstance(fault, GraphpruneError):
        message = str(fault).removeprefix(f"{folder}: ")
    with suppress(GraphpruneError, OSError):
        write_record(folder / FAILURE, {"step": step, "message": message[:_LONGEST]})


def clear_failure(folder: Path) -> None:
    """Forget the error that ended an earlier attempt; the caller holds the lock."""
    (folder / FAILURE).unlink(missing_ok=True)


def find_runs(folder: Path) -> tuple[Path, ...]:
    """Return the folders of runs: `folder` itself, or those up to three folders deep in it.

    They are in the order of their paths. Hidden folders and links are left out.

    Raises:
        CheckpointError: there is no such folder.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise CheckpointError(
            f"{what}; give a folder in which graphprune train made runs", place=folder
        )
    return tuple(_walk(folder, DEEPEST))


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    if RunFolder(folder).is_run:
        yield folder
        return
    if not depth:
        return
    with suppress(PermissionError):
        for path in sorted(folder.iterdir()):
            if is_folder(path) and not path.name.startswith("."):
                yield from _walk(path, depth - 1)


def summarize_run(folder: Path) -> RunSummary:
    """Return the state of the run in `folder`; whatever is damaged becomes its message."""
    run = RunFolder(folder)
    status: Status = "running" if _is_held(folder) else "interrupted"
    try:
        options = run.read_options()
        result = run.read_result(options)
    except (Damage, CheckpointError) as fault:
        return RunSummary(folder, "failed", message=str(fault).removeprefix(f"{folder}: "))
    metrics = run.last_metrics()
    if result is not None and status != "running":
        return _finished(folder, options, result)
    step = max(int(metrics.get("step", 0)), _last_step(run))
    failure = None if status == "running" else _read_failure(folder)
    if failure is None:
        return RunSummary(folder, status, options, step, metrics)
    return RunSummary(
        folder, "failed", options, max(step, failure.step), metrics, message=failure.message
    )


def _finished(folder: Path, options: RunOptions, result: RunResult) -> RunSummary:
    missed = tuple(
        f"{tensor.address} {tensor.name}"
        for tensor in result.tensors
        if tensor.zeros < tensor.target_zeros
    )
    status: Status = "missed" if missed else "finished"
    return RunSummary(folder, status, options, result.step, result.final_metrics, missed)


def _last_step(run: RunFolder) -> int:
    try:
        folders = find_folders(run.checkpoints)
    except CheckpointError:
        return 0
    return max((step_of(folder.name) or 0 for folder in folders), default=0)


def _read_failure(folder: Path) -> Failure | None:
    if not (folder / FAILURE).exists():
        return None
    try:
        return read_record(folder / FAILURE).parse(Failure)
    except (Damage, CheckpointError) as fault:
        return Failure(0, str(fault))


def _is_held(folder: Path) -> bool:
    """Return whether a process trains in `folder`; its lock file is not created.

    The lock is tried as a shared one, so that several listings do not disturb each other.
    """
    try:
        number = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(number)
    return False


def newest_model(run: RunFolder, tell: Tell) -> Path:
    """Return the trained model of a run, or that of its newest intact checkpoint until it has one.

    Args:
        run: The run.
        tell: Called with what a user must know: that the run is not finished, and which
            checkpoints are damaged.

    Raises:
        CheckpointError: the run is damaged, or has neither.
    """
    options = run.read_options()
    if run.has_result:
        return run.need_model()
    checkpoint, faults = find_checkpoint(run.checkpoints, options.run_id)
    if checkpoint is None:
        raise CheckpointError(
            "this training run is not finished and has no checkpoint yet; continue with graphprune"
            f" resume {run.path}",
            place=run.path,
        )
    check_same_run(checkpoint, options)
    for fault in faults:
        tell(fault.partition("; resuming")[0])
    tell(
        f"{run.path}: not finished; this is its checkpoint of step {checkpoint.state.step} of"
        f" {options.steps}"
    )
    return checkpoint.model
