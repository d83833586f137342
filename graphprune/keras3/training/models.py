"""Models of a run: loading, saving, the user's own classes in them, and finite weights."""

from __future__ import annotations

import inspect
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from graphprune.engine import own_objects as own
from graphprune.engine.training_seam import Load
from graphprune.errors import GraphpruneError, OutputError
from graphprune.files import whole_file
from graphprune.keras3.optimizers import innermost
from graphprune.keras3.scope import prune_scope


def load_model(
    path: str | Path,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> Any:
    """Return the model in a file, with its optimizer and pruned layers.

    Raises:
        ValueError: Keras cannot load it.
    """
    with prune_scope():
        return keras.models.load_model(
            path, custom_objects=custom_objects, safe_mode=not unsafe_lambda
        )


def save_model(model: Any, path: Path) -> None:
    """Write a model, with its optimizer and pruned layers, to a file.

    Raises:
        OutputError: Keras cannot save the model, or the file cannot be written.
    """
    with TemporaryDirectory(prefix="graphprune-") as folder:
        file = Path(folder) / path.name
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="You are saving your model as an HDF5")
                model.save(file)
        except (NotImplementedError, TypeError, ValueError, RuntimeError) as err:
            lines = str(err).strip().splitlines()
            raise OutputError(
                f"{path.name}: Keras cannot save {model.name}"
                f" ({lines[0] if lines else type(err).__name__}); every layer needs a get_config"
                " that returns plain values"
            ) from err
        size = file.stat().st_size
        with file.open("rb") as stream, whole_file(path, needed=size) as target:
            shutil.copyfileobj(stream, target)


def check_reads_back(model: Any, suffix: str, place: str, load: Load) -> None:
    """Save a model with custom classes to a temporary file and load it.

    Raises:
        OutputError: the file cannot be written, or loading it does not return the same model.
    """
    if not own_objects(model):
        return
    with TemporaryDirectory(prefix="graphprune-") as folder:
        path = Path(folder) / f"model{suffix}"
        save_model(model, path)
        fault = _find_fault(model, path, load)
    if fault:
        raise OutputError(
            f"{model.name} can be saved as {suffix}, but not be loaded again ({fault}); give its"
            " classes get_config and from_config that fit each other, and name all of them with"
            " --custom-objects (custom_objects in Python)",
            place=place,
        )


def _find_fault(model: Any, path: Path, load: Load) -> str:
    """Return what is wrong with the model that `load` returns; empty if nothing is."""
    try:
        loaded = load(path)
    except GraphpruneError as fault:
        return fault.text
    if model.compiled and not loaded.compiled:
        return "its compile settings are lost"
    before, after = model.get_weights(), loaded.get_weights()
    if len(before) != len(after) or not all(
        np.array_equal(one, two) for one, two in zip(before, after, strict=True)
    ):
        return "its weights come back in another order or with other values"
    return ""


KINDS = (
    keras.layers.Layer,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.dtype_policies.DTypePolicy,
)


def own_objects(model: Any) -> dict[str, Any]:
    """Return the user's own classes and functions in a model's layers and compile settings.

    Raises:
        TrainingError: two have the same name, so a file cannot distinguish them.
    """
    return own.own_objects(model.name, _values(model), KINDS, keras.saving.get_registered_name)


def _values(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield layer
        for value in vars(layer).values():
            if inspect.isfunction(value) or isinstance(value, KINDS):
                yield value
    if model.compiled:
        yield from keras.tree.flatten(dict(model._compile_config.config))
        for part in (model.optimizer, *innermost(model.optimizer)):
            yield from (part, getattr(part, "_learning_rate", None))
