"""Where a run resumes: finished already, from which checkpoint, or from the beginning.

A start from the beginning needs the model that the run began with. Unless that was a live model, it
is not in the run's folder, so it may have changed since or be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from graphprune.archive import read_archive
from graphprune.errors import ArchiveError, CheckpointError
from graphprune.files import model_sha256
from graphprune.runs.checkpoints import Checkpoint, RunState, find_checkpoint
from graphprune.runs.records import Damage
from graphprune.runs.run_folder import MetricsMark, RunFolder
from graphprune.runs.run_options import RunOptions, RunResult

Tell = Callable[[str], None]


def find_finished(folder: RunFolder, options: RunOptions, tell: Tell) -> RunResult | None:
    """Return how a finished run ended.

    Return None if it is not finished, or if its result must be written again.

    Raises:
        CheckpointError: the trained model has changed since the run wrote it.
    """
    again = "resuming from the last checkpoint, which writes it again"
    try:
        result = folder.read_result(options)
    except Damage as fault:
        tell(f"{folder.path}: damaged, {fault}; {again}")
        return None
    if result is not None and folder.find_model(options, result) is None:
        tell(f"{folder.path}: damaged, {result.model} is missing; {again}")
        return None
    return result


def find_start(folder: RunFolder, options: RunOptions, tell: Tell) -> Checkpoint | None:
    """Return the checkpoint to resume from; None for a start from the beginning.

    Raises:
        CheckpointError: no checkpoint is intact, one is of another run, or a start from the
            beginning would replace a trained model.
    """
    checkpoint, faults = find_checkpoint(folder.checkpoints, options.run_id)
    for message in (*faults, *folder.find_changed_files(options)):
        tell(message)
    if checkpoint is not None:
        check_same_run(checkpoint, options)
    elif (folder.path / options.model_name).exists():
        raise CheckpointError(
            f"{options.model_name} exists, but neither a valid result.json nor a"
            f" checkpoint; restore one from a backup, or move {options.model_name} away: then"
            f" graphprune resume {folder.path} starts from the beginning",
            place=folder.path,
        )
    return checkpoint


def check_same_run(checkpoint: Checkpoint, options: RunOptions) -> None:
    """Refuse a checkpoint that was not written by the run that `options` describe.

    Raises:
        CheckpointError: something differs; the text says what.
    """
    state, folder = checkpoint.state, checkpoint.folder
    name = state.find_difference(options)
    if name is not None:
        got, wanted = getattr(state, name), getattr(options, name)
    elif checkpoint.model.name != options.model_name:
        name, got, wanted = "model", checkpoint.model.name, options.model_name
    else:
        return
    raise CheckpointError(
        f"is a checkpoint of another run, with {name} {got or 'none'}, but run.json says"
        f" {wanted or 'none'}; move it away, then resume",
        place=folder,
    )


def cut_metrics(folder: RunFolder, state: RunState, tell: Tell) -> None:
    """Cut `metrics.jsonl` to what the run had written at `state`."""
    mark = None
    if state.metrics_size is not None:
        mark = MetricsMark(state.metrics_size, state.metrics_sha256)
    fault = folder.cut_metrics(state.step, mark)
    if fault is not None:
        tell(fault)


def find_original(folder: Path, options: RunOptions) -> Path:
    """Return where the model is that the run in `folder` began with.

    Example:
        >>> from types import SimpleNamespace
        >>> str(find_original(Path("runs/a"), SimpleNamespace(model="/models/net.h5")))
        '/models/net.h5'
        >>> str(find_original(Path("runs/a"), SimpleNamespace(model="original.keras")))
        'runs/a/original.keras'
    """
    return folder / options.model


def find_original_fault(folder: Path, options: RunOptions) -> str | None:
    """Return why the run's model is not the one that it began with, or None.

    It is read as a saved model first: what the path leads to now may be a device, or a folder of a
    million files.
    """
    path = find_original(folder, options)
    if not path.exists():
        return f"{path}: the model that the run began with is missing"
    try:
        read_archive(path)
    except ArchiveError:
        return f"{path}: the model that the run began with is no longer a saved model"
    if model_sha256(path) != options.model_sha256:
        return f"{path}: has changed since the run began with it"
    return None
