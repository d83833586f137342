"""Pruning of layers and models in one call, with the names of tfmot."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.saving.serialization_lib import serialize_keras_object

from graphprune.arguments import describe, user_level
from graphprune.engine.schedules import PruningSchedule, check_schedule, own_schedule
from graphprune.errors import TrainingError
from graphprune.graph.classes.python_patterns import WAY_OUT, PatternArguments
from graphprune.sparsity.missed_targets import explain_missed
from graphprune.sparsity.pruning import Pruning
from graphprune.suggestions import find_close
from graphprune.tf.layers.live_tensors import holds_prunable_layer, is_builtin_layer, prunable_names
from graphprune.tf.pruning.addresses import (
    addressed_layers,
    check_model,
    find_wrappers,
    is_layered_model,
    is_unbuilt,
    is_wrapped,
    refuse_other_kind,
)
from graphprune.tf.pruning.keras_schedules import ConstantSparsity
from graphprune.tf.pruning.pruner import find_missed_targets
from graphprune.tf.pruning.skipped_layers import (
    Skipped,
    describe_skipped,
    find_quantized,
    find_skipped,
)
from graphprune.tf.pruning.surgery import strip_model, wrap_layers
from graphprune.tf.pruning.tfmot import foreign_wrapper, is_toolkit_layer
from graphprune.tf.pruning.wrapper import PruneLowMagnitude
from graphprune.wrapper_names import REGISTERED

_OWN_KEYWORDS = (
    "to_prune",
    "pruning_schedule",
    "block_size",
    "block_pooling_type",
    "pruning_policy",
    "sparsity_m_by_n",
)
_LAYER_KEYWORDS = (
    *(
        "name",
        "trainable",
        "dtype",
        "dynamic",
        "autocast",
        "activity_regularizer",
        "weights",
        "implementation",
    ),
    *("input_shape", "input_dim", "batch_input_shape", "batch_size"),
)
"""Arguments of the constructor of every Keras layer (tf_keras/src/engine/base_layer.py)."""


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

    `graphprune.prune_low_magnitude` documents the arguments.

    A layer alone is wrapped itself; a model is cloned, with its weights, compile settings and
    optimizer state, and is not touched. Layers that cannot be pruned are carried over unchanged; a
    warning names those that hold weights graphprune cannot reach.

    Raises:
        GraphError: a model that cannot be copied, or neither a layer nor a model.
        TrainingError: a model in which nothing can be pruned.
        TypeError: an unknown keyword, or a schedule that is not a `PruningSchedule`.
        ValueError: a single custom layer whose weights are unknown; an argument out of range; a
            kernel that does not fit the blocks or groups; a policy without a model, or an object
            that is not a policy.
    """
    is_model = isinstance(to_prune, tf_keras.Model) or not isinstance(
        to_prune, list | tuple | Layer
    )
    _check_keywords(kwargs, is_layer=isinstance(to_prune, Layer) and not is_model)
    patterns = PatternArguments(block_size, block_pooling_type, sparsity_m_by_n)
    if pruning_policy is not None:
        _check_policy(pruning_policy, is_model=is_model)
    schedule = ConstantSparsity(0.5, 0) if pruning_schedule is None else pruning_schedule
    check_schedule(schedule)
    if isinstance(to_prune, list | tuple):
        return [_prune_listed(layer, schedule, patterns) for layer in to_prune]
    if not is_model:
        return _prune_layer(to_prune, schedule, patterns, kwargs)
    pruned, skipped = _prune_model(to_prune, schedule, patterns, pruning_policy)
    if skipped:
        warnings.warn(f"{to_prune.name}: {describe_skipped(skipped)}", stacklevel=user_level())
    return pruned


def strip_pruning(model: tf_keras.Model) -> tf_keras.Model:
    """Return a clone of `model` without pruning wrappers.

    Masked weights are zero. Warns if pruned weights have fewer zeros than their target, because the
    model was not trained to the end of its schedules.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    stripped = strip_model(model)
    missed = find_missed_targets(model)
    if missed:
        warnings.warn(
            f"{model.name}: stripped, and {explain_missed(missed)}; train it with UpdatePruningStep"
            " until its schedules end, or prune without training, with prune_one_shot",
            stacklevel=user_level(),
        )
    return stripped


def collect_prunable_layers(model: tf_keras.Model) -> list[PruneLowMagnitude]:
    """Return the wrapped layers of a model, nested models included, in its order.

    Raises:
        GraphError: `model` is not a model of tf_keras.
    """
    return list(find_wrappers(model).values())


def _check_keywords(keywords: Mapping[str, Any], *, is_layer: bool) -> None:
    for name in keywords:
        if name in _LAYER_KEYWORDS and not is_layer:
            raise TypeError(
                f"prune_low_magnitude takes the keyword {name!r} only with a single layer, whose"
                " wrapper gets it; leave it out"
            )
        if name not in _LAYER_KEYWORDS:
            close = find_close(name, (*_OWN_KEYWORDS, *_LAYER_KEYWORDS), count=1)
            help = f"closest: {close[0]!r}" if close else f"it takes {', '.join(_OWN_KEYWORDS)}"
            raise TypeError(f"prune_low_magnitude has no keyword {name!r}; {help}")


def _prune_model(
    model: Any, schedule: PruningSchedule, patterns: PatternArguments, policy: Any
) -> tuple[tf_keras.Model, list[Skipped]]:
    """Return the pruned clone of a model, and the skipped layers that hold weights to prune."""
    if not is_unbuilt(model):
        check_model(model)
    if policy is not None:
        policy.ensure_model_supports_pruning(model)
    prunings, forbidden = {}, 0
    for address, layer in addressed_layers(model):
        names = () if is_layered_model(layer) else prunable_names(layer)
        if not names and (layer.built or not holds_prunable_layer(layer)):
            continue
        if policy is None or policy.allow_pruning(layer):
            prunings[address] = _pruning_for(layer, names, patterns, schedule)
        else:
            forbidden += 1
    skipped = find_skipped(model)
    if not prunings and not is_wrapped(model):
        raise TrainingError(
            f"{model.name}: nothing in the model is pruned:"
            f" {_why_nothing(model, skipped, forbidden)}"
        )
    return wrap_layers(model, prunings, own_schedule(schedule)), skipped


def _why_nothing(model: tf_keras.Model, skipped: list[Skipped], forbidden: int) -> str:
    """Return why no layer is pruned, with what to do."""
    quantized = find_quantized(model)
    if quantized:
        return (
            f"it was prepared for quantization ({quantized[0]}); prune the model before, and"
            " quantize what strip_pruning returns"
        )
    if forbidden:
        return (
            f"pruning_policy allows none of the {forbidden} layers that can be pruned; change its"
            " allow_pruning"
        )
    return (
        describe_skipped(skipped)
        if skipped
        else (
            "no layer has weights that can be pruned, such as the kernels of Dense and Conv2D;"
            " there is nothing to prune"
        )
    )


def _prune_listed(layer: Any, schedule: PruningSchedule, patterns: PatternArguments) -> Any:
    """Return one item of a list, pruned; an input layer is returned unchanged."""
    if isinstance(layer, tf_keras.layers.InputLayer):
        return layer
    if not isinstance(layer, tf_keras.Model):
        return _prune_layer(layer, schedule, patterns, {})
    pruned, skipped = _prune_model(layer, schedule, patterns, None)
    if skipped:
        warnings.warn(f"{layer.name}: {describe_skipped(skipped)}", stacklevel=user_level())
    return pruned


def _prune_layer(
    layer: Any, schedule: PruningSchedule, patterns: PatternArguments, kwargs: Mapping[str, Any]
) -> PruneLowMagnitude:
    if isinstance(layer, PruneLowMagnitude):
        return layer
    if is_toolkit_layer(layer):
        raise foreign_wrapper(layer)
    if not isinstance(layer, Layer):
        refuse_other_kind(layer, "layer", "a layer, a list of layers or a model")
    names = prunable_names(layer)
    if not names and not is_builtin_layer(layer) and not holds_prunable_layer(layer):
        raise ValueError(
            f"{layer.name}: graphprune does not know the weights of custom layer class"
            f" {type(layer).__name__}; leave it out, or let the class inherit"
            " graphprune.PrunableLayer and name its weights in get_prunable_weights"
        )
    pruning = _pruning_for(layer, names, patterns, schedule)
    return PruneLowMagnitude(layer, pruning, own_schedule=own_schedule(schedule), **kwargs)


def _pruning_for(
    layer: Layer, names: tuple[str, ...], patterns: PatternArguments, schedule: PruningSchedule
) -> Pruning:
    """Return how the weights `names` of a layer are pruned.

    Custom layers take no patterns, since the axes of their kernels are unknown.
    """
    kind = type(layer).__name__
    whose = None
    if not is_builtin_layer(layer):
        whose = f"custom layer class {kind}"
    elif holds_prunable_layer(layer):
        whose = f"the custom layer in {kind}"
    if patterns.is_unstructured:
        return Pruning(schedule.target, schedule.to_schedule(), names)
    if whose is not None:
        raise ValueError(
            f"{layer.name}: {patterns.text} needs the meaning of a kernel's axes, which is unknown"
            f" for {whose}; {WAY_OUT}"
        )
    return patterns.pruning_for(
        serialize_keras_object(layer), names, schedule.target, schedule.to_schedule()
    )


def _check_policy(policy: Any, *, is_model: bool) -> None:
    if not is_model:
        raise ValueError(
            "pruning_policy selects layers of a model; leave it out for a single layer or a list of"
            " layers"
        )
    missing = [
        name
        for name in ("allow_pruning", "ensure_model_supports_pruning")
        if not callable(getattr(policy, name, None))
    ]
    if missing:
        raise ValueError(
            "pruning_policy must have methods allow_pruning(layer) and"
            f" ensure_model_supports_pruning(model), got {describe(policy)} without {missing[0]}"
        )


UNLISTED: tuple[type, ...] = (
    tf_keras.layers.SpectralNormalization,
    tf_keras.layers.experimental.RandomFourierFeatures,
    tf_keras.optimizers.Adafactor,
    tf_keras.optimizers.Lion,
)
"""Classes that Keras exports but does not find by name in its own files."""


def prune_scope() -> Any:
    """Return a scope, for `with`, in which Keras's `load_model` knows graphprune's classes.

    It also knows classes of tf_keras that Keras does not find by name.
    """
    return tf_keras.utils.custom_object_scope(prune_objects())


def prune_objects() -> dict[str, type]:
    """Return the classes of `prune_scope` by name."""
    own = {REGISTERED: PruneLowMagnitude, PruneLowMagnitude.__name__: PruneLowMagnitude}
    return {**{unlisted.__name__: unlisted for unlisted in UNLISTED}, **own}
