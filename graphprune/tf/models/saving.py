"""Saving of models so that a crash leaves the old file or the new one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.layers.preprocessing.index_lookup import IndexLookup

from graphprune.archive.files import check_model_suffix
from graphprune.arguments import check_path
from graphprune.errors import OutputError
from graphprune.files import whole_file, write_whole
from graphprune.tf.layers.growing_vocabularies import check_savable
from graphprune.tf.models.keras_file import to_hdf5, write_keras
from graphprune.tf.pruning.addresses import refuse_other_kind


def save_model(model: tf_keras.Model, path: str | PathLike[str]) -> None:
    """Write `model`, with its optimizer, to a `.keras` or `.h5` file, replacing what is there;
    folders on the way are made.

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
    target = Path(path)
    _check_vocabularies(model, target)
    needed = estimate_bytes(model)
    if target.suffix == ".h5":
        with _keras_faults(model, target):
            content = to_hdf5(model)
        write_whole(target, content)
        return
    with whole_file(target, needed=needed) as stream, _keras_faults(model, target):
        write_keras(model, stream)


def estimate_bytes(model: tf_keras.Model) -> int:
    """Return how many bytes the numbers of a model and of its optimizer take, those of variables
    that grow left out; a file of it is a little larger.
    """
    optimizer: Any = getattr(model, "optimizer", None)
    slots = getattr(optimizer, "variables", [])
    variables = [*model.weights, *(slots() if callable(slots) else slots)]
    return sum(
        (variable.shape.num_elements() or 0) * variable.dtype.size
        for variable in variables
        if isinstance(variable, tf.Variable)
    )


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
    """Say in one line what Keras cannot save, and how else to save it."""
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
