"""A trial of saving, before anything depends on it: a run whose checkpoints cannot be loaded is
lost.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tf_keras
from tf_keras.src.saving import serialization_lib

from graphprune.archive.allowed import find_refused
from graphprune.errors import GraphpruneError, OutputError
from graphprune.tf.models.given import kinds_of
from graphprune.tf.models.keras_file import keras_format
from graphprune.tf.models.loading import UncompiledWarning
from graphprune.tf.models.saving import save_model
from graphprune.tf.pruning.scope import prune_objects


def check_reads_back(
    model: tf_keras.Model, suffix: str, place: str, load: Callable[[Path], tf_keras.Model]
) -> None:
    """Save `model` to a temporary file and load that, unless everything in the model is Keras's
    own.

    Args:
        model: The model as it will be saved.
        suffix: `.keras` or `.h5`.
        place: Begins the error's text.
        load: Loads a saved model with the user's own classes.

    Raises:
        OutputError: the file cannot be written, or not be loaded again as it was.
    """
    if not _has_custom_objects(model):
        return
    with TemporaryDirectory(prefix="graphprune-") as folder:
        path = Path(folder) / f"model{suffix}"
        save_model(model, path)
        fault = _find_fault(model, path, load)
    if fault:
        raise OutputError(
            f"{model.name} can be saved as {suffix}, but not be loaded again ({fault});"
            f" {_remedy(suffix)}",
            place=place,
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


def _find_fault(model: tf_keras.Model, path: Path, load: Callable[[Path], tf_keras.Model]) -> str:
    """Return what is wrong with the model that `load` makes of the file; empty where it is the
    model that was saved.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loaded = load(path)
        except GraphpruneError as fault:
            return fault.text
    if model._is_compiled and not loaded._is_compiled:
        messages = (told.message for told in caught)
        faults = (told.fault for told in messages if isinstance(told, UncompiledWarning))
        return next(faults, "its compile settings are lost")
    before, after = model.get_weights(), loaded.get_weights()
    if len(before) != len(after) or not all(
        np.array_equal(one, two) for one, two in zip(before, after, strict=True)
    ):
        return "its weights come back in another order or with other values"
    return ""


def _remedy(suffix: str) -> str:
    if suffix == ".h5":
        return "choose .keras: save the original model as .keras and start from that file"
    return (
        "give its classes get_config and from_config that fit each other, and name all of them with"
        " --custom-objects (custom_objects in Python)"
    )
