"""Models of a run: loading, saving, the user's own classes in them, and finite weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from graphprune.archive import read_archive
from graphprune.engine import own_objects as own
from graphprune.engine.read_back import check_saved
from graphprune.engine.training_seam import Load
from graphprune.keras3.loading import load_archive
from graphprune.keras3.optimizers import innermost
from graphprune.keras3.saving import save_model


def load_model(
    path: str | Path,
    custom_objects: Mapping[str, Any] | None = None,
    *,
    unsafe_lambda: bool = False,
    unsafe_ops: bool = False,
) -> Any:
    """Return the model in a file, with its optimizer and pruned layers.

    Raises:
        ArchiveError: the file is not a model that can be loaded.
    """
    return load_archive(
        read_archive(path), custom_objects or {}, unsafe_lambda=unsafe_lambda, unsafe_ops=unsafe_ops
    )


def check_reads_back(model: Any, suffix: str, place: str, load: Load) -> None:
    """Save a model with custom classes to a temporary file and load it.

    Raises:
        OutputError: the file cannot be written, or loading it does not return the same model.
    """
    if own_objects(model):
        check_saved(
            model, suffix, place, save=save_model, load=load, is_compiled=lambda one: one.compiled
        )


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
