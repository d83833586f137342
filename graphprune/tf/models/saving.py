"""Saving of models so that a crash leaves the old file or the new one."""

from __future__ import annotations

import tempfile
import warnings
from os import PathLike, fspath
from pathlib import Path

import h5py
import tf_keras
from tf_keras.src.layers.preprocessing.index_lookup import IndexLookup

from graphprune.errors import OutputError
from graphprune.files import sync
from graphprune.tf.layers.growing_vocabularies import check_savable

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


def _check_vocabularies(model: tf_keras.Model, path: Path) -> None:
    check_savable(model, path.name)
    learned = [layer.name for layer in model._flatten_layers() if isinstance(layer, IndexLookup) and not layer._has_input_vocabulary]
    if learned and path.suffix == ".h5":
        raise OutputError(f"{path.name}: the vocabulary of layer {learned[0]!r} was learned from data, which .h5 files do not hold; save the model as .keras")


def _write(model: tf_keras.Model, path: Path) -> None:
    _check_vocabularies(model, path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        try:
            if path.suffix == ".h5":
                path.write_bytes(_to_hdf5(model))
            else:
                model.save(path)
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as err:
            lines = str(err).strip().splitlines()
            way_out = "save it as .keras" if path.suffix == ".h5" else "every layer needs a get_config that returns plain values"
            raise OutputError(f"{path.name}: Keras cannot save {model.name} ({lines[0] if lines else type(err).__name__}); {way_out}") from err


def _to_hdf5(model: tf_keras.Model) -> bytes:
    """Return the bytes of an `.h5` file, made in memory: where a disk is full, HDF5 would end the process instead of raising an error."""
    with h5py.File(f"{model.name}.h5", "w", driver="core", backing_store=False) as file:
        model.save(file, save_format="h5")
        file.flush()
        image: bytes = file.id.get_file_image()
    return image
