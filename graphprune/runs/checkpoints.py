"""Checkpoints of a training run: folders that are whole or not there at all.

    DIR/checkpoints/step-00000400/
        model.keras or model.h5     the wrapped model with its optimizer
        state.npz                   what model files do not hold: random generators, sums of metrics, states of stateful layers
        state.json                  where the run stands, and the sha256 of both files and of itself

A checkpoint whose hashes do not fit is passed over, and the one before it is taken.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from graphprune.errors import CheckpointError, WriteError
from graphprune.files import file_sha256, sync, write_whole
from graphprune.write_faults import cannot_write

KEPT = 3
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands, and what it must find unchanged to go on.

    Attributes:
        step: Optimizer updates since the run began.
        epoch: The epoch of the next batch, from 0.
        batch: The place of the next batch in its epoch, from 0.
        epochs, steps_per_epoch, batch_size, seed: The run's length and order. `batch_size` is None where datasets of a function bring their own.
        schedule_units: The units in which schedules are written (`epoch`, `step`, `percent`).
        plan_sha256: Of the plan that the model was wrapped by; empty where it was wrapped before the run.
        rules: (path, sha256) of each rule file.
        versions: Versions of graphprune, tensorflow and tf_keras.
    """

    step: int
    epoch: int
    batch: int
    epochs: int
    steps_per_epoch: int
    batch_size: int | None
    seed: int
    schedule_units: tuple[str, ...]
    plan_sha256: str
    rules: tuple[tuple[str, str], ...]
    versions: Mapping[str, str]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RunState:
        """Return the state that `state.json` holds; unknown keys are ignored.

        Raises:
            KeyError: a field is missing.
        """
        values = {field.name: config[field.name] for field in fields(cls)}
        rules = tuple((path, digest) for path, digest in values["rules"])
        return cls(**{**values, "schedule_units": tuple(values["schedule_units"]), "rules": rules})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk that was verified."""

    folder: Path
    state: RunState
    model: Path
    arrays: Mapping[str, np.ndarray]


def write_checkpoint(root: Path, state: RunState, arrays: Mapping[str, np.ndarray], model_name: str, save_model: Callable[[Path], None]) -> Path:
    """Write a checkpoint under `root` and return its folder; the newest three stay.

    It is written under a temporary name, flushed to disk and renamed, so that no crash leaves half of one. Older ones go only when it is in place.

    Args:
        root: The run's folder of checkpoints.
        state: Where the run stands.
        arrays: What else a resume needs.
        model_name: `model.keras` or `model.h5`.
        save_model: Saves the model at a path.

    Raises:
        WriteError: the disk is full, or the folder cannot be written.
    """
    folder = root / f"step-{state.step:08d}"
    temporary = root / f".{folder.name}.tmp"
    try:
        root.mkdir(parents=True, exist_ok=True)
        clear_leftovers(root)
        temporary.mkdir()
        save_model(temporary / model_name)
        packed = io.BytesIO()
        np.savez(packed, **dict(arrays))  # type: ignore[arg-type]  # its other parameter is a flag
        write_whole(temporary / "state.npz", packed.getvalue())
        files = {path.name: file_sha256(path) for path in sorted(temporary.iterdir())}
        config = {"format_version": _FORMAT, **asdict(state), "files": files}
        write_whole(temporary / "state.json", _to_json({**config, "sha256": _digest(config)}))
        for path in temporary.iterdir():
            sync(path)
        sync(temporary)
        _put_in_place(temporary, folder)
        _remove_others(root, state.step)
    except (OSError, WriteError) as fault:
        refused = fault.fault if isinstance(fault, WriteError) else fault
        kept = "the checkpoints before are whole" if any(root.glob("step-*")) else ""
        needed = fault.needed if isinstance(fault, WriteError) else None
        raise cannot_write(folder, refused, needed=needed, kept=kept, then=f"graphprune resume {shlex.quote(str(root.parent))}") from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def find_checkpoint(root: Path, run: Path) -> tuple[Checkpoint, tuple[str, ...]]:
    """Return the newest checkpoint that verifies, with one message for each newer one that does not.

    Raises:
        CheckpointError: no checkpoint verifies, or there is none.
    """
    damaged: list[str] = []
    for folder in sorted(root.glob("step-*"), reverse=True):
        try:
            return read_checkpoint(folder), tuple(f"{fault}; going on from the one before it" for fault in damaged)
        except CheckpointError as fault:
            damaged.append(str(fault))
    if damaged:
        raise CheckpointError("\n".join([*damaged, f"{run}: no checkpoint is whole; start again with graphprune train --force"]))
    raise CheckpointError(f"{run}: no checkpoint was written before the run stopped; start again with graphprune train --force")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return the checkpoint in `folder`, once every file is what was written.

    Raises:
        CheckpointError: a file is missing or differs, or the checkpoint is of a newer graphprune.
    """
    config = _read_state(folder)
    for name, digest in config["files"].items():
        path = folder / name
        if path.name != name or not path.is_file():
            raise CheckpointError(f"{folder}: damaged, {name} is missing")
        if file_sha256(path) != digest:
            raise CheckpointError(f"{folder}: damaged, {name} is not what was written")
    state = RunState.from_config(config)
    models = [folder / name for name in config["files"] if name.startswith("model.")]
    with np.load(folder / "state.npz", allow_pickle=False) as stored:
        return Checkpoint(folder, state, models[0], dict(stored))


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "state.json").read_bytes())
        digest = config.pop("sha256")
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: damaged, state.json is missing") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as fault:
        raise CheckpointError(f"{folder}: damaged, state.json cannot be read") from fault
    if digest != _digest(config):
        raise CheckpointError(f"{folder}: damaged, state.json is not what was written")
    if config["format_version"] > _FORMAT:
        raise CheckpointError(f"{folder}: written by a newer graphprune ({config['versions']['graphprune']}); resume with that one")
    return dict(config)


def clear_leftovers(root: Path) -> None:
    """Remove what a write that was cut off has left: temporary folders, and checkpoints that were moved aside."""
    for path in root.glob(".step-*"):
        shutil.rmtree(path)


def _put_in_place(temporary: Path, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.old")
    if folder.exists():  # damaged: a resume had to go back behind it
        os.rename(folder, aside)
    os.rename(temporary, folder)
    sync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _remove_others(root: Path, step: int) -> None:
    known = sorted(root.glob("step-*"), reverse=True)
    ahead = [folder for folder in known if folder.name > f"step-{step:08d}"]  # damaged: the run comes from before them
    for folder in ahead + [folder for folder in known if folder not in ahead][KEPT:]:
        shutil.rmtree(folder)


def _to_json(config: Mapping[str, Any]) -> bytes:
    return (json.dumps(config, indent=2) + "\n").encode()


def _digest(config: Mapping[str, Any]) -> str:
    return sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
