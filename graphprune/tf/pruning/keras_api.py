"""Pruning of layers and models in one call, with the names and meaning that users of Keras pruning know."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.saving.serialization_lib import serialize_keras_object

from graphprune.errors import GraphError
from graphprune.graph.classes.python_patterns import WAY_OUT, PatternArguments
from graphprune.sparsity.missed_targets import explain_missed
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.layers.live_tensors import holds_prunable_layer, is_builtin_layer, prunable_names
from graphprune.tf.pruning.addresses import addressed_layers, find_wrappers, is_layered_model
from graphprune.tf.pruning.keras_schedules import ConstantSparsity, PruningSchedule, own_schedule
from graphprune.tf.pruning.surgery import check_model, find_missed_targets, strip_model, wrap_layers
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule | None = None,
    block_size: tuple[int, int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: Any = None,
    sparsity_m_by_n: tuple[int, int] | None = None,
    **kwargs: Any,
) -> Any:
    """Return a layer, a list of layers or a model whose prunable layers are wrapped for pruning.

    A layer alone is wrapped itself; a model is cloned, with its weights, compile settings and optimizer state, and is not touched. Layers that cannot be
    pruned are carried over unchanged.

    Args:
        to_prune: A layer, a list of layers, or a built Sequential or Functional model.
        pruning_schedule: When and how much; half of the weights from step 0 on unless given.
        block_size: (rows, columns) of blocks that are zeroed whole, on kernels of rank 2 and on those of 1x1 convolutions. Other convolutions are pruned by
            single weights.
        block_pooling_type: Whether a block is scored by the mean (`AVG`) or the largest (`MAX`) of its magnitudes.
        pruning_policy: Only with a model. Any object with `allow_pruning(layer)`, which says of each layer that can be pruned whether it should be, and
            `ensure_model_supports_pruning(model)`, which is called first, with the model, and raises where the whole does not suit it.
        sparsity_m_by_n: (m, n) to zero m of each n weights along the input axis; how many is fixed by it, when is said by the schedule.
        **kwargs: Further arguments of a wrapper around a layer alone, such as `input_shape`.

    Raises:
        GraphError: a model that cannot be copied, or neither a layer nor a model.
        ValueError: a custom layer alone, of whose weights nothing is known; an argument out of range; a kernel that does not take the blocks or groups;
            a policy without a model, or an object that is none.
    """
    patterns = PatternArguments(block_size, block_pooling_type, sparsity_m_by_n)
    is_model = isinstance(to_prune, tf_keras.Model) or not isinstance(to_prune, Sequence | Layer)
    if pruning_policy is not None:
        _check_policy(pruning_policy, is_model=is_model)
    schedule = ConstantSparsity(0.5, 0) if pruning_schedule is None else pruning_schedule
    if isinstance(to_prune, Sequence):
        return [_prune_layer(layer, schedule, patterns, kwargs) for layer in to_prune]
    if isinstance(to_prune, Layer) and not isinstance(to_prune, tf_keras.Model):
        return _prune_layer(to_prune, schedule, patterns, kwargs)
    return _prune_model(to_prune, schedule, patterns, pruning_policy)


def strip_pruning(model: tf_keras.Model) -> tf_keras.Model:
    """Return a clone of `model` without pruning wrappers; its pruned weights are zero where their masks say so.

    Warns where pruned weights have fewer zeros than their target: the model was not trained, or not to the end of its schedules.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    stripped = strip_model(model)
    missed = find_missed_targets(model)
    if missed:
        warnings.warn(
            f"{model.name}: stripped, and {explain_missed(missed)}; train it with UpdatePruningStep until its schedules end, and strip then",
            stacklevel=2,
        )
    return stripped


def collect_prunable_layers(model: tf_keras.Model) -> list[PruneLowMagnitude]:
    """Return the wrapped layers of a model, nested models included, in its order."""
    return list(find_wrappers(model).values())


def _prune_model(model: Any, schedule: PruningSchedule, patterns: PatternArguments, policy: Any) -> tf_keras.Model:
    check_model(model)
    if policy is not None:
        policy.ensure_model_supports_pruning(model)
    prunings = {}
    for address, layer in addressed_layers(model):
        names = () if is_layered_model(layer) else prunable_names(layer)
        if names and (policy is None or policy.allow_pruning(layer)):
            prunings[address] = _pruning_for(layer, names, patterns, schedule)
    return wrap_layers(model, prunings, own_schedule(schedule))


def _prune_layer(layer: Any, schedule: PruningSchedule, patterns: PatternArguments, kwargs: Mapping[str, Any]) -> PruneLowMagnitude:
    if isinstance(layer, PruneLowMagnitude):
        return layer
    if not isinstance(layer, Layer):
        raise GraphError(f"{type(layer).__module__}.{type(layer).__qualname__} is not a tf_keras layer; give a layer, a list of layers or a model")
    names = prunable_names(layer)
    if not names and not is_builtin_layer(layer) and not holds_prunable_layer(layer):
        raise ValueError(
            f"{layer.name}: graphprune does not know the weights of custom layer class {type(layer).__name__}; "
            "leave it out, or let the class inherit graphprune.PrunableLayer and name its weights in get_prunable_weights"
        )
    pruning = _pruning_for(layer, names, patterns, schedule)
    return PruneLowMagnitude(layer, pruning, own_schedule=own_schedule(schedule), **kwargs)


def _pruning_for(layer: Layer, names: tuple[str, ...], patterns: PatternArguments, schedule: PruningSchedule) -> Pruning:
    """Return how the weights `names` of a layer are pruned; custom layers take no patterns, as nothing is known of the axes of their kernels."""
    kind = type(layer).__name__
    whose = f"custom layer class {kind}" if not is_builtin_layer(layer) else f"the custom layer in {kind}" if holds_prunable_layer(layer) else None
    if patterns.is_unstructured:
        return Pruning(schedule.target, schedule.to_schedule(), names)
    if whose is not None:
        raise ValueError(f"{layer.name}: {patterns.text} needs the meaning of a kernel's axes, and nothing is known of those of {whose}; {WAY_OUT}")
    return patterns.pruning_for(serialize_keras_object(layer), names, schedule.target, schedule.to_schedule())


def _check_policy(policy: Any, *, is_model: bool) -> None:
    if not is_model:
        raise ValueError("pruning_policy chooses among the layers of a model; leave it out for a layer or a list of layers, which say themselves what to prune")
    missing = [name for name in ("allow_pruning", "ensure_model_supports_pruning") if not callable(getattr(policy, name, None))]
    if missing:
        raise ValueError(f"pruning_policy must have methods allow_pruning(layer) and ensure_model_supports_pruning(model), got {policy!r} without {missing[0]}")
