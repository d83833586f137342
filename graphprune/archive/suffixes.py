"""Which format the end of a model's name says, known without TensorFlow."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from graphprune.errors import OutputError

SUFFIXES = (".keras", ".h5")
"""Of files that hold a whole Keras model."""


def check_model_suffix(path: str | PathLike[str]) -> None:
    """Raise unless the file name says in which format to save a model.

    Raises:
        OutputError: it ends neither in `.keras` nor in `.h5`.
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise OutputError(
            f"{fspath(path)}: a model is saved as {' or '.join(SUFFIXES)}, got"
            f" {suffix or 'no suffix'}; change the end of the name"
        )


def check_export_suffix(path: str | PathLike[str]) -> None:
    """Raise unless the end of the name says in which format to write a model.

    Raises:
        OutputError: the suffix names no format.
    """
    suffix = Path(path).suffix
    if suffix not in ("", ".tflite", *SUFFIXES):
        raise OutputError(
            f"{fspath(path)}: no model format has the suffix {suffix}; use .keras, .h5, .tflite, or"
            " no suffix for a SavedModel folder"
        )
