"""The optimizer's state in a SavedModel folder, restored into the rebuilt model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.archive.saved_model.optimizer import SavedOptimizer, read_optimizer
from graphprune.arguments import user_level
from graphprune.tf.layers.optimizer_state import inner_optimizer, listed_variables


def restore_optimizer(
    model: tf_keras.Model, folder: str, stored: Mapping[str, tf.Variable]
) -> None:
    """Give the optimizer of `model` its saved iterations, slots and loss scale.

    If they do not fit the model, nothing is restored, with a warning.

    Args:
        model: The compiled model.
        folder: The SavedModel.
        stored: The weights of the model by the keys of their tensors in the checkpoint.

    Raises:
        ArchiveError: the checkpoint is damaged.
    """
    saved = read_optimizer(folder)
    if saved is None or model.optimizer is None:
        return
    optimizer = inner_optimizer(model.optimizer)
    is_legacy = isinstance(optimizer, OptimizerV2)
    pairs = [
        *(_legacy if is_legacy else _listed)(optimizer, model, saved, stored),
        *_tracked(optimizer, saved.attributes),
        *_tracked(getattr(model.optimizer, "_loss_scale", None), saved.loss_scale),
    ]
    unlike = [key for variable, key in pairs if not _fits(variable, saved.shape(key))]
    if unlike:
        warnings.warn(
            f"{folder}: the saved optimizer state does not fit the model ({unlike[0]}), so the"
            " optimizer is reset; save the model as .keras",
            stacklevel=user_level(),
        )
        return
    for variable, key in pairs:
        variable.assign(saved.read(key))


Pairs = Iterable[tuple[tf.Variable | None, str]]
"""Variables with the keys of their values; None for a value that has no variable."""


def _listed(
    optimizer: Any, model: tf_keras.Model, saved: SavedOptimizer, stored: Mapping[str, tf.Variable]
) -> Pairs:
    """Build the optimizer over the weights that it was built over; return all its variables."""
    if len(saved.variables) > len(optimizer.variables):
        known = [stored[key] for key in saved.weights if key in stored]
        covered = {id(weight) for weight in known or model.trainable_variables}
        for weight in model.trainable_variables:
            if id(weight) not in covered:  # no config says that a part of a layer was frozen
                return [(None, f"no slots for {weight.name}")]
        optimizer.build(known or model.trainable_variables)
    variables = listed_variables(optimizer)
    if len(variables) != len(saved.variables):
        return [(None, f"{len(saved.variables)} variables in place of {len(variables)}")]
    return zip(variables, saved.variables, strict=True)


def _legacy(
    optimizer: Any, model: tf_keras.Model, saved: SavedOptimizer, stored: Mapping[str, tf.Variable]
) -> Pairs:
    """Create the step counter, settings and slots of a legacy optimizer, and return the slots."""
    trained = {id(stored[weight]) for weight in saved.weights if weight in stored}
    optimizer._create_all_weights([weight for weight in model.weights if id(weight) in trained])
    known = set(optimizer.get_slot_names())
    return [
        (optimizer.get_slot(stored[weight], name), key)
        if weight in stored and name in known
        else (None, key)
        for weight, name, key in saved.slots
    ]


def _tracked(owner: Any, attributes: Mapping[str, str]) -> Iterator[tuple[tf.Variable, str]]:
    """Yield the variables that `owner` tracks by the names of `attributes`."""
    for name, key in attributes.items():
        variable = None if owner is None else owner._lookup_dependency(name)
        if isinstance(variable, tf.Variable):
            yield variable, key


def _fits(variable: tf.Variable | None, shape: tuple[int, ...] | None) -> bool:
    return variable is not None and tuple(variable.shape) == shape
