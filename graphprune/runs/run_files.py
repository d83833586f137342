"""The files in a run's folder that belong to the run, by exact name; others are never touched.

Temporary files of a process that was killed have exact names too: `.run.json.abcd1234` or
`.model.keras.0123456789abcdef.graphprune-part` in the run's folder, and among its checkpoints
`.step-00000400.0123456789abcdef.graphprune-part` and `.step-00000400.old`, before also
`.step-00000400.tmp`.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

from graphprune.errors import OutputError
from graphprune.files import PART
from graphprune.runs.records import Damage, hash_file
from graphprune.runs.run_options import ORIGINAL, RunOptions

RUN, RESULT, FAILURE, PLAN, GRAPH, METRICS, SETTINGS = (
    "run.json",
    "result.json",
    "failure.json",
    "plan.json",
    "original.graph.json",
    "metrics.jsonl",
    "run.yaml",
)
FIXED = (RUN, RESULT, FAILURE, PLAN, GRAPH, METRICS, SETTINGS)
RULES, CHECKPOINTS, STAGED, LOCK = "rules", "checkpoints", ".new-run", ".lock"
MODELS = ("model.keras", "model.h5")
BESTS = ("best.keras", "best.h5")
STEP_FILES = (*MODELS, "state.npz", "state.json")
_STEP = re.compile(r"step-(0[0-9]{7}|[1-9][0-9]{7,})")
_UNFINISHED = re.compile(rf"\.step-[0-9]{{8,}}\.(tmp|old|[0-9a-f]{{16}}{re.escape(PART)})")
_NAMES = "|".join(re.escape(name) for name in (*FIXED, ORIGINAL, *STEP_FILES, *BESTS))
_TEMPORARY = re.compile(rf"\.({_NAMES})\.([a-z0-9_]{{8}}|[0-9a-f]{{16}}\.graphprune-part)")
_EVENTS = re.compile(r"events\.out\.tfevents\.[0-9]+\..+")


def step_of(name: str) -> int | None:
    """Return the step of a checkpoint's folder by its name; None for any other name.

    Example:
        >>> [
        ...     step_of(name)
        ...     for name in (
        ...         "step-00000400",
        ...         "step-123456789",
        ...         "step-notes.txt",
        ...         "step-00000020.bak",
        ...         "step-000000400",
        ...     )
        ... ]
        [400, 123456789, None, None, None]
    """
    found = _STEP.fullmatch(name)
    return int(found[1]) if found else None


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def has_only_leftovers(folder: Path) -> bool:
    """Return whether `folder` is empty except for the lock and leftovers of a killed process."""
    return all(
        path.name in (LOCK, STAGED) or _TEMPORARY.fullmatch(path.name) for path in folder.iterdir()
    )


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from the run's folder and its checkpoints.

    The caller holds the lock.
    """
    steps = folder / CHECKPOINTS
    places = [folder]
    if is_folder(steps):
        places += [
            path for path in steps.iterdir() if step_of(path.name) is not None and is_folder(path)
        ]
    for place in places:
        for path in list(place.iterdir()):
            if _TEMPORARY.fullmatch(path.name):
                _remove_tree(path)
    if is_folder(steps):
        clear_unfinished(steps)


def clear_unfinished(steps: Path) -> None:
    """Remove incomplete checkpoints under `steps`, and those that were moved aside."""
    for path in list(steps.iterdir()):
        if _UNFINISHED.fullmatch(path.name) and is_folder(path):
            if path.name.endswith(".old"):
                settle_aside(path)
            else:
                shutil.rmtree(path)


def settle_aside(aside: Path) -> None:
    """Remove a checkpoint that was moved aside for a new one, except for a user's files in it.

    If there is no new one, it is moved back.
    """
    folder = aside.with_name(aside.name.removeprefix(".").removesuffix(".old"))
    if not os.path.lexists(folder):
        os.rename(aside, folder)
        return
    for path in list(aside.iterdir()):
        if path.name not in STEP_FILES and not os.path.lexists(folder / path.name):
            os.rename(path, folder / path.name)
    remove_checkpoint(aside)


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint's files, `state.json` first, and the folder if nothing else is in it."""
    for name in ("state.json", "state.npz", *MODELS):
        if not is_folder(folder / name):
            (folder / name).unlink(missing_ok=True)
    for path in list(folder.iterdir()):
        if _TEMPORARY.fullmatch(path.name):
            _remove_tree(path)
    _remove_if_empty(folder)


def find_first_files(folder: Path, options: RunOptions) -> set[str]:
    """Return the names of the files that the run began with.

    Format 1 does not list its copies of rules; they are found by their hashes.
    """
    if options.files or not is_folder(folder / RULES):
        return set(options.files)
    known = {made for _, made in options.rules}
    return {f"{RULES}/{path.name}" for path in (folder / RULES).iterdir() if _has_hash(path, known)}


def _has_hash(path: Path, known: set[str]) -> bool:
    try:
        return hash_file(path) in known
    except Damage:
        return False


def remove_run(folder: Path, options: RunOptions | None) -> None:
    """Remove what the run in `folder` wrote, except `run.json`; everything else stays.

    Args:
        folder: The run's folder.
        options: Its options; None where `run.json` is damaged, so that the model and the copies of
            rules, whose names it holds, stay too.

    Raises:
        OutputError: a folder is in the place of a file of the run.
    """
    _remove_file(folder / RESULT)
    if options is not None:
        for name in options.written_models:
            _remove_file(folder / name)
        for name in find_first_files(folder, options):
            _remove_file(folder / name)
        if not options.events_outside and options.tensorboard is not None:
            _remove_events(folder / options.tensorboard)
    steps = folder / CHECKPOINTS
    if is_folder(steps):
        clear_unfinished(steps)
        for path in list(steps.iterdir()):
            if step_of(path.name) is not None and is_folder(path):
                remove_checkpoint(path)
        _remove_if_empty(steps)
    for name in (FAILURE, METRICS, PLAN, GRAPH):
        _remove_file(folder / name)
    _remove_if_empty(folder / RULES)


def move_in(staged: Path, folder: Path) -> None:
    """Move the files of a new run from `staged` into `folder`, `run.json` last.

    An interrupted move can be done again.

    Raises:
        OutputError: a folder is in the place of a file of the run, or a file in that of a folder.
    """
    names = sorted(
        path.relative_to(staged).as_posix() for path in staged.rglob("*") if not path.is_dir()
    )
    for name in [name for name in names if name not in (RUN, LOCK)] + [
        name for name in names if name == RUN
    ]:
        target = folder / name
        if target.parent != folder and not is_folder(target.parent):
            if os.path.lexists(target.parent):
                raise OutputError(
                    "is not a folder, but the run needs one there; move it away",
                    place=target.parent,
                )
            target.parent.mkdir()
        _check_no_folder(target)
        os.replace(staged / name, target)
    shutil.rmtree(staged)


def _remove_events(folder: Path) -> None:
    for place in (folder / "train", folder / "validation", folder):
        if is_folder(place):
            for path in list(place.iterdir()):
                if _EVENTS.fullmatch(path.name):
                    _remove_file(path)
            _remove_if_empty(place)


def _remove_file(path: Path) -> None:
    _check_no_folder(path)
    path.unlink(missing_ok=True)


def _check_no_folder(path: Path) -> None:
    if is_folder(path):
        raise OutputError("is a folder, but the run needs a file there; move it away", place=path)


def _remove_if_empty(folder: Path) -> None:
    if is_folder(folder) and not any(folder.iterdir()):
        folder.rmdir()


def _remove_tree(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()
