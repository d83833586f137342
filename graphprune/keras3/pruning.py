"""Pruning of Keras 3 layers and models in one call, with the names and meaning of tfmot."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from graphprune.arguments import user_level
from graphprune.engine.progress import missed_targets
from graphprune.engine.schedules import (
    ConstantSparsity,
    PruningSchedule,
    check_schedule,
    own_schedule,
)
from graphprune.errors import GraphError, TrainingError
from graphprune.graph.classes.python_patterns import WAY_OUT, PatternArguments
from graphprune.keras3.held import HeldLayer
from graphprune.keras3.layers import (
    entry_of,
    is_builtin_layer,
    prunable_names,
    says_what_to_prune,
    unique_layers,
)
from graphprune.keras3.model import held_layers
from graphprune.keras3.state import PruningState, state_of
from graphprune.keras3.surgery import hold_like, pruned_clone, strip_model
from graphprune.sparsity.missed_targets import explain_missed
from graphprune.sparsity.pruning import Pruning


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule | None = None,
    block_size: tuple[int, int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: Any = None,
    sparsity_m_by_n: tuple[int, int] | None = None,
    **kwargs: Any,
) -> Any:
    """Set up a layer, a list of layers or a model for pruning; see `prune_low_magnitude`.

    A layer alone is set up itself; a model is cloned and not touched.

    Raises:
        GraphError: a model that cannot be copied, or neither a layer nor a model.
        PlanError: a layer names weights to prune that it does not have.
        TrainingError: a model in which nothing can be pruned.
        TypeError: an unknown keyword, or a schedule that is not a `PruningSchedule`.
        ValueError: a single custom layer whose weights are unknown; an argument out of range; a
            kernel that does not fit the blocks or groups.
    """
    if kwargs:
        raise TypeError(
            f"prune_low_magnitude has no keyword {next(iter(kwargs))!r} for Keras 3, whose layers"
            " are not wrapped; give it to the layer"
        )
    schedule = ConstantSparsity(0.5, 0) if pruning_schedule is None else pruning_schedule
    check_schedule(schedule)
    patterns = PatternArguments(block_size, block_pooling_type, sparsity_m_by_n)
    if isinstance(to_prune, list | tuple):
        return [_prune(item, schedule, patterns, None) for item in to_prune]
    return _prune(to_prune, schedule, patterns, pruning_policy)


def strip_pruning(model: Any) -> Any:
    """Return a clone of `model` without the state of pruning; see `graphprune.strip_pruning`.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    stripped = strip_model(model)
    missed = missed_targets(held_layers(model))
    if missed:
        warnings.warn(
            f"{model.name}: stripped, and {explain_missed(missed)}; train it with UpdatePruningStep"
            " until its schedules end, or prune without training, with prune_one_shot",
            stacklevel=user_level(),
        )
    return stripped


def collect_prunable_layers(model: Any) -> list[HeldLayer]:
    """Return the pruned layers of a model, nested models included, in its order.

    Raises:
        GraphError: `model` is not a model of Keras 3.
    """
    return list(held_layers(model).values())


def _prune(
    to_prune: Any, schedule: PruningSchedule, patterns: PatternArguments, policy: Any
) -> Any:
    if isinstance(to_prune, keras.Model):
        return _prune_model(to_prune, schedule, patterns, policy)
    if isinstance(to_prune, keras.layers.InputLayer):
        return to_prune
    if not isinstance(to_prune, keras.layers.Layer):
        kind = f"{type(to_prune).__module__}.{type(to_prune).__qualname__}"
        raise GraphError(f"{kind} is neither a layer nor a model; give a layer, a list or a model")
    if policy is not None:
        raise ValueError(
            "pruning_policy selects layers of a model; leave it out for a single layer or a list of"
            " layers"
        )
    return _prune_layer(to_prune, schedule, patterns)


def _prune_layer(layer: Any, schedule: PruningSchedule, patterns: PatternArguments) -> Any:
    if state_of(layer) is not None:
        return layer
    names = prunable_names(layer)
    if not names and not is_builtin_layer(layer) and not says_what_to_prune(layer):
        raise ValueError(
            f"{layer.name}: graphprune does not know the weights of custom layer class"
            f" {type(layer).__name__}; leave it out, or let the class inherit"
            " graphprune.PrunableLayer and name its weights in get_prunable_weights"
        )
    pruning = _pruning_for(layer, names, patterns, schedule)
    if names or says_what_to_prune(layer):
        PruningState(layer).layers[""] = HeldLayer(layer, pruning, own_schedule(schedule))
    return layer


def _prune_model(
    model: Any, schedule: PruningSchedule, patterns: PatternArguments, policy: Any
) -> Any:
    """Return the pruned clone of a model; layers that are pruned already stay as they are."""
    if policy is not None:
        policy.ensure_model_supports_pruning(model)
    originals = unique_layers(model)

    def hold(address: str, layer: Any, before: HeldLayer | None) -> HeldLayer | None:
        if before is not None:
            return hold_like(before, layer)
        names = prunable_names(layer)
        if not names and not (says_what_to_prune(layer) and not layer.built):
            return None
        if policy is not None and not policy.allow_pruning(originals[address]):
            return None
        pruning = _pruning_for(layer, names, patterns, schedule)
        return HeldLayer(layer, pruning, own_schedule(schedule))

    clone = pruned_clone(model, hold)
    if not held_layers(clone):
        raise TrainingError(
            f"{model.name}: nothing in the model is pruned: no layer that may be pruned has"
            " prunable weights, such as the kernels of Dense and Conv2D"
        )
    return clone


def _pruning_for(
    layer: Any, names: tuple[str, ...], patterns: PatternArguments, schedule: PruningSchedule
) -> Pruning:
    """Return how the weights `names` of a layer are pruned.

    Custom layers take no patterns, since the axes of their kernels are unknown.
    """
    if patterns.is_unstructured:
        return Pruning(schedule.target, schedule.to_schedule(), names)
    if says_what_to_prune(layer) or not is_builtin_layer(layer):
        raise ValueError(
            f"{layer.name}: {patterns.text} needs the meaning of a kernel's axes, which is unknown"
            f" for custom layer class {type(layer).__name__}; {WAY_OUT}"
        )
    return patterns.pruning_for(entry_of(layer), names, schedule.target, schedule.to_schedule())
