"""Clones of live models: new layers, the same names, connections, weights, masks, compile state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.engine.functional import has_functional_like_constructor

from graphprune.errors import GraphError
from graphprune.graph.layers import SEPARATOR
from graphprune.graph.precision import PolicyChange
from graphprune.sparsity.mask_kernels import apply_mask, is_masked
from graphprune.tf.layers.building import foresee_outputs, spectral_layers_buildable
from graphprune.tf.layers.layer_clone import clone_layer, copy_state, without_random_values
from graphprune.tf.layers.live_tensors import find_weight
from graphprune.tf.layers.replicas import strategy_scope
from graphprune.tf.pruning.addresses import check_model, inner_layer, is_layered_model, name_of
from graphprune.tf.pruning.compile_state import copy_compile_state
from graphprune.tf.pruning.tfmot import is_toolkit_layer, live_masks, live_state, read_live_pruning
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

MakeLayer = Callable[[str, Layer], Layer]
"""From a layer and its address to its replacement in the clone: a new, unbuilt layer."""


def clone_unbuilt(model: tf_keras.Sequential, make: MakeLayer) -> tf_keras.Sequential:
    """Return the clone of a Sequential model that is not built, with compile settings.

    Models inside it may be built, and keep their weights.
    """
    cloning = _Clone(make)
    with spectral_layers_buildable():
        clone = cloning.of_model(model, "")
    variables: dict[int, tf.Variable] = {}
    for address, old, new in cloning.pairs:
        if len(old.weights) and not len(new.weights):
            raise ValueError(
                f"{model.name}: the model is not built, and its layer {address!r} has weights; call"
                " model.build(input_shape) first"
            )
        _copy_layer(old, new, keep_masks=True)
        variables |= {
            id(a): b
            for a, b in zip(inner_layer(old).weights, inner_layer(new).weights, strict=True)
        }
    copy_compile_state(model, clone, variables)
    return clone


@dataclass(slots=True)
class _Clone:
    """A clone in progress.

    The new layers are kept by the identity of the old ones, so that shared layers stay shared.
    """

    make: MakeLayer
    made: dict[int, Layer] = field(default_factory=dict)
    pairs: list[tuple[str, Layer, Layer]] = field(default_factory=list)

    def of_model(self, model: tf_keras.Model, prefix: str) -> tf_keras.Model:
        if (
            not isinstance(model, tf_keras.Sequential)
            and type(model) is not tf_keras.Model
            and not has_functional_like_constructor(type(model))
        ):
            raise GraphError(
                f"{model.name}: model class {type(model).__name__} has a constructor of its own, so"
                " it cannot be copied with other layers in it; rebuild it as"
                " tf_keras.Model(model.inputs, model.outputs)"
            )
        clone = tf_keras.models.clone_model(
            model, clone_function=lambda layer: self.of_layer(layer, f"{prefix}{name_of(layer)}")
        )
        clone._trainable = model._trainable
        if hasattr(
            model, "use_legacy_config"
        ):  # Keras sets it on nested models once saved as .h5, and `get_config` depends on it
            clone.use_legacy_config = model.use_legacy_config
        return clone

    def of_layer(self, layer: Layer, address: str) -> Layer:
        if id(layer) not in self.made:
            if is_layered_model(layer):
                self.made[id(layer)] = self.of_model(layer, f"{address}{SEPARATOR}")
            else:
                clone = self.made[id(layer)] = self.make(address, layer)
                foresee_outputs(layer, clone, inner_layer(clone))
                self.pairs.append((address, layer, clone))
        return self.made[id(layer)]


def clone_with_state(
    model: tf_keras.Model, make: MakeLayer, rebuilt: set[str], *, compiled: bool = True
) -> tf_keras.Model:
    """Return the clone with weights and masks.

    With `compiled`, it has compile settings and optimizer state too. Layers at `rebuilt` addresses
    get new masks.
    """
    check_model(model)
    with strategy_scope(model):
        return _clone_here(model, make, rebuilt, compiled=compiled)


def _clone_here(
    model: tf_keras.Model, make: MakeLayer, rebuilt: set[str], *, compiled: bool
) -> tf_keras.Model:
    cloning = _Clone(make)
    with spectral_layers_buildable(), without_random_values():
        clone = cloning.of_model(model, "")
        if not clone.built:
            clone.build(model._build_input_shape)
    variables: dict[int, tf.Variable] = {}
    for address, old, new in cloning.pairs:
        _copy_layer(old, new, keep_masks=address not in rebuilt)
        variables |= {
            id(a): b
            for a, b in zip(inner_layer(old).weights, inner_layer(new).weights, strict=True)
        }
    if compiled:
        copy_compile_state(model, clone, variables)
    return clone


def _copy_layer(old: Layer, new: Layer, *, keep_masks: bool) -> None:
    copy_state(inner_layer(old), inner_layer(new))
    if inner_layer(old) is old:
        return
    if isinstance(new, PruneLowMagnitude) and keep_masks:
        for source, target in zip(
            _state_of(old), new.pruning_state, strict=False
        ):  # the toolkit lacks `last_update`, which comes last
            target.assign(tf.cast(source, target.dtype))
    for name, mask in _masks_of(old):
        kept = np.asarray(tf.cast(mask, tf.bool))
        if kept.all():
            continue
        weight = _twin(inner_layer(old), inner_layer(new), name)
        values = np.asarray(tf.convert_to_tensor(weight))  # without the copy of `weight.numpy()`
        if not is_masked(values, kept):  # trained weights are masked already, and writing is slow
            weight.assign(apply_mask(values, kept))


def _twin(old: Layer, new: Layer, name: str) -> tf.Variable:
    """Return the weight of a clone that corresponds to the weight `name` of the layer.

    The clone may name it differently.
    """
    weight = find_weight(old, name)
    return next(b for a, b in zip(old.weights, new.weights, strict=True) if a is weight)


def _state_of(wrapper: Layer) -> list[tf.Variable]:
    return live_state(wrapper) if is_toolkit_layer(wrapper) else wrapper.pruning_state  # type: ignore[no-any-return]


def _masks_of(wrapper: Layer) -> list[tuple[str, tf.Variable]]:
    """Return the name and the mask of each weight that a wrapper prunes."""
    if is_toolkit_layer(wrapper):
        return live_masks(wrapper)
    return [
        (name, mask)
        for (_, mask, _), name in zip(wrapper.pruning_vars, wrapper.pruning.weights, strict=True)
    ]


def clone_wrapped(address: str, layer: Layer, change: PolicyChange | None = None) -> Layer:
    """Return a clone of a layer, in a wrapper like the one it has."""
    inner = clone_layer(inner_layer(layer), address, change)
    if is_toolkit_layer(layer):
        return PruneLowMagnitude(inner, read_live_pruning(layer))
    return (
        PruneLowMagnitude(inner, layer.pruning, layer.provenance, own_schedule=layer.own_schedule)
        if isinstance(layer, PruneLowMagnitude)
        else inner
    )
