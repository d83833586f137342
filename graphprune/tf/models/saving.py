"""Saving of models, and a check that a saved model loads: a run depends on its checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import tf_keras
from tf_keras.src.layers.preprocessing.index_lookup import IndexLookup
from tf_keras.src.saving import serialization_lib

from graphprune.archive.allowed import find_refused
from graphprune.archive.file_copy import FileCopy, HDF5Bytes
from graphprune.archive.files import check_model_suffix
from graphprune.arguments import check_path
from graphprune.engine.read_back import check_saved
from graphprune.errors import OutputError
from graphprune.tf.layers.growing_vocabularies import check_savable
from graphprune.tf.models.given import kinds_of
from graphprune.tf.models.keras_file import copy_hdf5, copy_keras, keras_format
from graphprune.tf.pruning.addresses import refuse_other_kind
from graphprune.tf.pruning.keras_api import prune_objects


def save_model(model: tf_keras.Model, path: str | PathLike[str]) -> None:
    """Write `model`, with its optimizer, to a `.keras` or `.h5` file.

    An existing file is replaced; missing folders are made.

    Raises:
        GraphError: `model` is not a model of tf_keras.
        OutputError: the suffix names no format, or the file cannot be written.
        TypeError: `path` is not a path.
    """
    if not isinstance(model, tf_keras.Model):
        refuse_other_kind(
            model, "model", "a model and the path to save it at: save_model(model, path)"
        )
    check_model_suffix(check_path("path", path, "the path of a .keras or .h5 file"))
    copy_model(model, Path(path), HDF5Bytes()).write(Path(path))


def copy_model(model: tf_keras.Model, path: Path, made: HDF5Bytes) -> FileCopy:
    """Return the file that `save_model` writes to `path`.

    Args:
        model: The model.
        path: Its suffix says the format.
        made: Where its tensors are written; the copy keeps it until it is written itself.

    Raises:
        OutputError: the format of `path` cannot hold the model.
    """
    _check_vocabularies(model, path)
    with _keras_faults(model, path):
        copy = copy_hdf5 if path.suffix == ".h5" else copy_keras
        return copy(model, made)


def _check_vocabularies(model: tf_keras.Model, path: Path) -> None:
    check_savable(model, path.name)
    learned = [
        layer.name
        for layer in model._flatten_layers()
        if isinstance(layer, IndexLookup) and not layer._has_input_vocabulary
    ]
    if learned and path.suffix == ".h5":
        raise OutputError(
            f"{path.name}: the vocabulary of layer {learned[0]!r} was learned from data, which .h5"
            " files do not hold; save the model as .keras"
        )


@contextmanager
def _keras_faults(model: tf_keras.Model, path: Path) -> Iterator[None]:
    """Turn errors of Keras into one line that says what cannot be saved and what to do instead."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        try:
            yield
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as err:
            lines = str(err).strip().splitlines()
            way_out = (
                "save it as .keras"
                if path.suffix == ".h5"
                else "every layer needs a get_config that returns plain values"
            )
            raise OutputError(
                f"{path.name}: Keras cannot save {model.name}"
                f" ({lines[0] if lines else type(err).__name__}); {way_out}"
            ) from err


def check_reads_back(
    model: tf_keras.Model, suffix: str, place: str, load: Callable[[Path], tf_keras.Model]
) -> None:
    """Save `model` to a temporary file and load it, if the model has custom classes.

    Args:
        model: The model as it will be saved.
        suffix: `.keras` or `.h5`.
        place: The start of the error's text.
        load: Loads a saved model with the user's own classes.

    Raises:
        OutputError: the file cannot be written, or loading it does not return the same model.
    """
    if _has_custom_objects(model):
        check_saved(
            model,
            suffix,
            place,
            save=save_model,
            load=load,
            is_compiled=lambda one: one._is_compiled,
        )


def _has_custom_objects(model: tf_keras.Model) -> bool:
    with keras_format():
        config = serialization_lib.serialize_keras_object(model)
    compiling = config.pop("compile_config", None)
    given = kinds_of(prune_objects())
    return (
        find_refused(config, given, unsafe_ops=True) is not None
        or find_refused(compiling, given, kind=None) is not None
    )
