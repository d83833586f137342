"""Pruning of Keras 3 layers and models in one call, with the names and meaning of tfmot."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

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
from graphprune.keras3.cloning import clone_model
from graphprune.keras3.held import HeldLayer
from graphprune.keras3.layers import (
    entry_of,
    find_weight,
    is_builtin_layer,
    prunable_names,
    says_what_to_prune,
    unique_layers,
)
from graphprune.keras3.model import KerasModel, held_layers
from graphprune.keras3.state import PruningState, share_counter, state_of
from graphprune.sparsity.mask_kernels import apply_mask
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
    held = held_layers(model)
    stripped = clone_model(model)
    _zero_masked(model, stripped)
    missed = missed_targets(held)
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
    before = held_layers(model)
    clone = clone_model(model)
    originals, state = unique_layers(model), PruningState(clone)
    for address, layer in unique_layers(clone).items():
        if address in before:
            state.layers[address] = _hold_like(before[address], layer)
            continue
        names = prunable_names(layer)
        if not names and not (says_what_to_prune(layer) and not layer.built):
            continue
        if policy is None or policy.allow_pruning(originals[address]):
            pruning = _pruning_for(layer, names, patterns, schedule)
            state.layers[address] = HeldLayer(layer, pruning, own_schedule(schedule))
    if not state.layers:
        raise TrainingError(
            f"{model.name}: nothing in the model is pruned: no layer that may be pruned has"
            " prunable weights, such as the kernels of Dense and Conv2D"
        )
    share_counter(state)
    _zero_masked(model, clone)
    KerasModel(clone).attach()
    return clone


def _hold_like(old: HeldLayer, layer: Any) -> HeldLayer:
    """Return the layer of a clone pruned like that of the model, with its masks and steps."""
    held = HeldLayer(layer, old.pruning, old.own_schedule, old.provenance)
    held.write_step(old.read_step())
    held.write_last_update(old.read_last_update())
    for tensor, other in zip(old.tensors, held.tensors, strict=True):
        other.write_mask(tensor.read_mask(), tensor.read_threshold())
    return held


def _zero_masked(model: Any, clone: Any) -> None:
    """Zero the masked weights of a clone, which averaging (EMA) may have written."""
    layers = unique_layers(clone)
    for address, held in held_layers(model).items():
        for tensor in held.tensors:
            values, mask = tensor.read(), tensor.read_mask()
            if np.any(values[~mask]):
                find_weight(layers[address], tensor.name).assign(apply_mask(values, mask))


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
