"""Saving of models so that a crash leaves the old file or the new one."""

from __future__ import annotations

import tempfile
import warnings
from os import PathLike, fspath
from pathlib import Path

import tf_keras

from graphprune.errors import OutputError
from graphprune.files import sync

SUFFIXES = (".keras", ".h5")


def save_model(model: tf_keras.Model, path: str | PathLike[str]) -> None:
    """Write `model`, with its optimizer, to a `.keras` or `.h5` file, replacing what is there; folders on the way are made.

    Raises:
        OutputError: the suffix names no format, or the file cannot be written.
    """
    check_model_suffix(path)
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            temporary = Path(folder, target.name)
            _write(model, temporary)
            sync(temporary)
            temporary.replace(target)
        sync(target.parent)
    except OSError as err:
        raise OutputError(f"{target}: cannot be written ({err.strerror or err}); choose another place") from err


def check_model_suffix(path: str | PathLike[str]) -> None:
    """Raise unless the file name says in which format to save a model.

    Raises:
        OutputError: it ends neither in `.keras` nor in `.h5`.
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise OutputError(f"{fspath(path)}: a model is saved as {' or '.join(SUFFIXES)}, got {suffix or 'no suffix'}; change the end of the name")


def _write(model: tf_keras.Model, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        try:
            model.save(path)
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as err:
            lines = str(err).strip().splitlines()
            way_out = "save it as .keras" if path.suffix == ".h5" else "every layer needs a get_config that returns plain values"
            raise OutputError(f"{path.name}: Keras cannot save {model.name} ({lines[0] if lines else type(err).__name__}); {way_out}") from err
