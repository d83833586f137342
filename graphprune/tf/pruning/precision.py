"""Mixed precision of live models: clones with another dtype policy, and the scale of their loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.layers.core.tf_op_layer import TFOpLambda

from graphprune.engine.precision import explain_unbuildable, warn_of_float32
from graphprune.graph.precision import (
    FLOAT32,
    SCALED,
    SERVED,
    PolicyChange,
    copy_in_float32,
    in_policy,
    policy_set_by_run,
    scale_set_by_run,
)
from graphprune.sparsity.pruning import Provenance
from graphprune.tf.layers.optimizer_state import inner_optimizer, scale_loss, scales_loss
from graphprune.tf.pruning.addresses import is_layered_model
from graphprune.tf.pruning.model_clone import clone_with_state, clone_wrapped
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def in_precision(model: tf_keras.Model, policy: str) -> tf_keras.Model:
    """Return a clone of a float32 model that computes by a mixed policy.

    The layers that make its outputs, and preprocessing layers, stay in float32.

    Raises:
        TrainingError: the model cannot be built with the policy.
    """
    if set_by_run(model):
        return model
    last = {id(layer) for layer in last_layers(model)}
    has_scale = scales_loss(model)

    def make(address: str, layer: Layer) -> Layer:
        change = None if id(layer) in last else PolicyChange((FLOAT32,), policy)
        made = clone_wrapped(address, layer, change)
        if isinstance(made, PruneLowMagnitude):
            made.provenance = in_policy(made.provenance, policy, scales_loss=has_scale)
        return made

    try:
        clone = clone_with_state(model, make, set())
    except (TypeError, ValueError) as fault:
        raise explain_unbuildable(model.name, policy, fault) from fault
    if policy == SCALED:
        scale_loss(clone)
    holds = (tf_keras.Model, PruneLowMagnitude)
    warn_of_float32(model, clone, policy, kept=last, holds=lambda one: isinstance(one, holds))
    return clone


def in_float32(model: tf_keras.Model, place: str) -> tf_keras.Model:
    """Return a model that TensorFlow Lite can compute: itself, or its clone in float32.

    Raises:
        OutputError: a layer cannot be cloned in float32; the text begins with `place`.
    """

    def copy(model: tf_keras.Model) -> tf_keras.Model:
        def make(address: str, layer: Layer) -> Layer:
            return clone_wrapped(address, layer, SERVED)

        return clone_with_state(model, make, set(), compiled=False)

    return copy_in_float32(model, copy, _computes_in, place)


def _computes_in(model: tf_keras.Model) -> dict[str, str]:
    """Return what each layer of a model computes in; inputs compute nothing."""
    inputs = tf_keras.layers.InputLayer
    return {
        one.name: one.compute_dtype
        for one in model._flatten_layers()
        if one is not model and not isinstance(one, inputs) and not is_layered_model(one)
    }


def set_by_run(model: tf_keras.Model) -> str:
    """Return the policy that a run set on the model's layers; empty if none did."""
    return policy_set_by_run(_provenances(model))


def _provenances(model: tf_keras.Model) -> list[Provenance]:
    wrappers = [one for one in model._flatten_layers() if isinstance(one, PruneLowMagnitude)]
    return [wrapper.provenance for wrapper in wrappers]


def change_back(model: tf_keras.Model) -> PolicyChange | None:
    """Return the change that takes back the policy that a run set; None if none did."""
    policy = set_by_run(model)
    return PolicyChange((policy,), FLOAT32) if policy else None


def unscale_loss(stripped: tf_keras.Model, pruned: tf_keras.Model) -> None:
    """Let the optimizer of a stripped model not scale the loss, if a run made it do so.

    Args:
        stripped: Changed in place.
        pruned: The model that it was made from, which says what a run set.
    """
    if stripped._is_compiled and scale_set_by_run(_provenances(pruned)):
        inner: Any = inner_optimizer(stripped.optimizer)
        stripped.optimizer = stripped._compile_config.config["optimizer"] = inner


def last_layers(model: tf_keras.Model) -> Iterator[Layer]:
    """Yield the layers that make the outputs of a model; those before operations on them."""
    for layer in getattr(model, "_output_layers", None) or model.layers[-1:]:
        yield from _last(layer)


def _last(layer: Layer) -> Iterator[Layer]:
    if is_layered_model(layer):
        yield from last_layers(layer)
        return
    yield layer
    if isinstance(layer, TFOpLambda):
        for node in layer._inbound_nodes:
            for tensor in tf.nest.flatten(node.keras_inputs):
                yield from _last(tensor._keras_history.layer)
