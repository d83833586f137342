"""The model that a run began with. Unless it was a live one, it is not in the run's folder, so it
may have changed since, or be gone.
"""

from __future__ import annotations

from pathlib import Path

from graphprune.archive import read_archive
from graphprune.errors import ArchiveError
from graphprune.files import model_sha256
from graphprune.runs.run_options import RunOptions


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
    """Return why the model that the run in `folder` names is not the one that it began with; None
    where it is.

    It is read as a saved model first: what the path leads to now may be a device, or a folder of a
    million files.
    """
    path = find_original(folder, options)
    if not path.exists():
        return f"{path}: the model that the run began with is gone"
    try:
        read_archive(path)
    except ArchiveError:
        return f"{path}: the model that the run began with is no longer a saved model"
    if model_sha256(path) != options.model_sha256:
        return f"{path}: has changed since the run began with it"
    return None
