"""Checkpoints of a training run: each folder is complete, or does not exist.

    DIR/checkpoints/step-00000400/
        model.keras or model.h5     the wrapped model with its optimizer
        state.npz                   what model files do not hold: random generators, sums of
                                    metrics, states of stateful layers
        state.json                  the position of the run, the run's id, and the sha256
                                    of both files and of itself

A checkpoint whose hashes do not match is skipped, and the one before it is used. Only folders
with exactly such a name and such files are checkpoints; everything else in `checkpoints` is
ignored and kept.
"""

from __future__ import annotations

import io
import math
import os
import shlex
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from graphprune.errors import CheckpointError, WriteError
from graphprune.files import file_sha256, whole_folder
from graphprune.runs.best import Best
from graphprune.runs.records import (
    Count,
    Damage,
    Hash,
    HashOrNone,
    Named,
    hash_file,
    open_regular,
    read_record,
    write_record,
)
from graphprune.runs.run_facts import RunFacts
from graphprune.runs.run_files import (
    MODELS,
    STEP_FILES,
    clear_unfinished,
    is_folder,
    remove_checkpoint,
    settle_aside,
    step_of,
)
from graphprune.runs.run_options import KEPT
from graphprune.write_faults import cannot_write, writing

STATE, ARRAYS = "state.json", "state.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState(RunFacts):
    """The position of a run, and what must be unchanged to resume it.

    Attributes:
        step: Optimizer updates since the run began.
        epoch: The epoch of the next batch, from 0.
        batch: The place of the next batch in its epoch, from 0; at its end before validation.
        versions: Versions of graphprune, of Keras and of its backend.
        metrics_size, metrics_sha256: See `MetricsMark`; None and empty in format 1.
        best: The best checkpoint so far, which may be this one; None if none is to be kept.
    """

    step: Count
    epoch: Count
    batch: Count
    versions: Named[str]
    metrics_size: Count | None = None
    metrics_sha256: HashOrNone = ""
    best: Best | None = None


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The hash of each file of a checkpoint, by name."""

    files: Named[Hash] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint on disk."""

    folder: Path
    state: RunState
    model: Path
    arrays: Mapping[str, np.ndarray]


def write_checkpoint(
    root: Path,
    state: RunState,
    arrays: Mapping[str, np.ndarray],
    model_name: str,
    save_model: Callable[[Path], None],
    *,
    keep: int = KEPT,
) -> Path:
    """Write a checkpoint under `root` and return its folder; the newest and the best are kept.

    It is written under a temporary name, flushed to disk and renamed, so that a crash leaves no
    partial checkpoint. Older ones are removed only once it is in place and verified.

    Args:
        root: The run's folder of checkpoints.
        state: The position of the run.
        arrays: What else a resume needs.
        model_name: `model.keras` or `model.h5`.
        save_model: Saves the model at a path.
        keep: How many of the newest are kept.

    Raises:
        CheckpointError: what was written does not read back.
        WriteError: the disk is full, or the folder cannot be written.
    """
    folder = folder_of(root, state.step)
    with resumable(root, folder):
        root.mkdir(parents=True, exist_ok=True)
        clear_unfinished(root)
        with _set_aside(folder), whole_folder(folder) as part:
            save_model(part / model_name)
            with (part / ARRAYS).open("xb") as stream:
                np.savez(stream, **dict(arrays))  # type: ignore[arg-type]  # its other parameter is a flag
            files = {path.name: file_sha256(path) for path in sorted(part.iterdir())}
            write_record(part / STATE, {**asdict(state), "files": files})
    try:
        _read(folder)
    except Damage as fault:
        raise CheckpointError(
            f"damaged as soon as it was written, {fault}; check the disk. Earlier checkpoints are"
            " intact",
            place=folder,
        ) from fault
    with resumable(root, folder):
        _remove_others(root, state, keep)
    return folder


def folder_of(root: Path, step: int) -> Path:
    """Return the folder of the checkpoint after `step` steps."""
    return root / f"step-{step:08d}"


@contextmanager
def resumable(root: Path, path: Path | None = None) -> Iterator[None]:
    """Report a failed write to a run's file, with what is intact and how to resume.

    Args:
        root: The run's folder of checkpoints.
        path: The file; None for the one that the inner message names.

    Raises:
        WriteError: the operating system refuses.
    """
    try:
        with nullcontext() if path is None else writing(path):
            yield
    except WriteError as fault:
        raise cannot_write(
            fault.path,
            fault.fault,
            needed=fault.needed,
            kept="earlier checkpoints are intact" if any(root.glob("step-*")) else "",
            then=f"graphprune resume {shlex.quote(str(root.parent))}",
        ) from fault


def find_checkpoint(root: Path, run_id: str = "") -> tuple[Checkpoint | None, tuple[str, ...]]:
    """Return the newest checkpoint that verifies, with a message for each newer one that does not.

    The checkpoint is None if none was written.

    Args:
        root: The run's folder of checkpoints.
        run_id: Of the run; a checkpoint of another run is an error, whichever is the newest.

    Raises:
        CheckpointError: a checkpoint belongs to another run, a newer graphprune wrote it, or there
            are checkpoints and none verifies.
    """
    folders = find_folders(root)
    _check_owner(folders, run_id)
    damaged: list[str] = []
    for folder in folders:
        try:
            found = _read(folder)
        except Damage as fault:
            damaged.append(f"{folder}: damaged, {fault}")
            continue
        return found, tuple(f"{fault}; resuming from step {found.state.step}" for fault in damaged)
    if damaged:
        way_on = (
            f"restore one from a backup, or move {root} away: then graphprune resume {root.parent}"
            " starts from the beginning"
        )
        raise CheckpointError(
            "\n".join([*damaged, f"{root.parent}: no checkpoint is intact; {way_on}"])
        )
    return None, ()


def find_folders(root: Path) -> list[Path]:
    """Return the folders of checkpoints under `root`, the newest first.

    Raises:
        CheckpointError: something else has the name of a checkpoint, or `root` is not a folder.
    """
    if not os.path.lexists(root):
        return []
    if not is_folder(root):
        raise CheckpointError("is not a folder; move it away, then resume", place=root)
    for path in root.iterdir():
        if step_of(path.name) is not None and not is_folder(path):
            raise CheckpointError(
                "has the name of a checkpoint but is not a folder; move it away, then resume",
                place=path,
            )
    for path in (folder / name for folder in _folders(root) for name in STEP_FILES):
        if is_folder(path):
            raise CheckpointError(
                "is a folder, but a checkpoint needs a file there; move it away, then resume",
                place=path,
            )
    return _folders(root)


def _folders(root: Path) -> list[Path]:
    steps = [
        (step, path)
        for path in root.iterdir()
        if (step := step_of(path.name)) is not None and is_folder(path)
    ]
    return [
        path
        for _, path in sorted(steps, reverse=True)
        if any(os.path.lexists(path / name) for name in STEP_FILES)
    ]


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder has the name and the position file of a checkpoint."""
    return step_of(folder.name) is not None and (folder / STATE).is_file()


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return the checkpoint in `folder` after verifying the hash of every file.

    Raises:
        CheckpointError: a file is missing or differs, or a newer graphprune wrote the checkpoint.
    """
    try:
        return _read(folder)
    except Damage as fault:
        raise CheckpointError(f"damaged, {fault}", place=folder) from fault


def _read(folder: Path) -> Checkpoint:
    record = read_record(folder / STATE)
    state, files = record.parse(RunState), record.parse(_Manifest).files
    models = [name for name in MODELS if name in files]
    if set(files) != {ARRAYS, *models} or len(models) != 1:
        raise Damage(
            f"{STATE} lists the files {', '.join(sorted(files)) or 'none'}; they must be {ARRAYS}"
            " and one model"
        )
    _check_place(folder, state)
    for name, made in files.items():
        if hash_file(folder / name) != made:
            raise Damage(f"{name} has changed since it was written")
    with open_regular(folder / ARRAYS) as stream:
        return Checkpoint(folder, state, folder / models[0], _read_arrays(stream))


def _check_place(folder: Path, state: RunState) -> None:
    if state.step != step_of(folder.name):
        raise Damage(f"{STATE} is for step {state.step}")
    place = state.epoch * state.steps_per_epoch + state.batch
    if (
        state.step != place
        or state.batch > state.steps_per_epoch
        or place > state.epochs * state.steps_per_epoch
    ):
        raise Damage(
            f"{STATE} says step {state.step} is batch {state.batch} of epoch {state.epoch}, "
            f"which does not fit {state.epochs} epochs of {state.steps_per_epoch} steps"
        )


def _read_arrays(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz`; nothing is unpickled, and no array is larger than the file.

    Raises:
        Damage: it is not such a file.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members) or sum(
                member.file_size for member in members
            ) > _size(stream):
                raise ValueError("its arrays are larger than the file")
            return {
                member.filename.removesuffix(".npy"): _read_array(archive.read(member))
                for member in members
            }
    except (
        zipfile.BadZipFile,
        ValueError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        TypeError,
        OverflowError,
    ) as fault:
        raise Damage(f"{ARRAYS} cannot be read ({fault})") from fault


def _read_array(content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(stream)
    claimed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or claimed != len(content) - stream.tell():
        raise ValueError(f"an array claims {claimed:,} bytes of {dtype}")
    stream.seek(0)
    array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _check_owner(folders: list[Path], run_id: str) -> None:
    """Refuse checkpoints of another run, which this run must not remove."""
    for folder in folders:
        owner = _owner(folder)
        if owner is not None and owner != run_id:
            raise CheckpointError(
                f"is a checkpoint of another run (run_id {owner or 'none'}, this run has"
                f" {run_id or 'none'}); move it away, then resume",
                place=folder,
            )


def _owner(folder: Path) -> str | None:
    """Return the run that a checkpoint belongs to; None where `state.json` is damaged."""
    try:
        return read_record(folder / STATE).parse(RunState).run_id
    except Damage:
        return None


@contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    """Move a damaged checkpoint, or a user's files, at `folder` aside while the block runs."""
    aside = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        os.rename(folder, aside)
    try:
        yield
    finally:
        if aside.exists():
            settle_aside(aside)


def _remove_others(root: Path, state: RunState, keep: int) -> None:
    """Remove this run's damaged checkpoints after `state` and all but the newest before it.

    The run will write those after `state` again.
    """
    folders = [folder for folder in _folders(root) if _may_remove(folder, state.run_id)]
    ahead = [folder for folder in folders if (step_of(folder.name) or 0) > state.step]
    behind = [folder for folder in folders if folder not in ahead]
    best = None if state.best is None else state.best.step
    for folder in ahead + [folder for folder in behind[keep:] if step_of(folder.name) != best]:
        remove_checkpoint(folder)


def _may_remove(folder: Path, run_id: str) -> bool:
    try:
        return _owner(folder) in (run_id, None)
    except CheckpointError:  # a newer graphprune's, or not readable
        return False
