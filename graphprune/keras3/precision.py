"""Mixed precision of live Keras 3 models: clones with another dtype policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from graphprune.engine.precision import explain_unbuildable, warn_of_float32
from graphprune.errors import TrainingError
from graphprune.graph.precision import (
    FLOAT32,
    SCALED,
    SERVED,
    PolicyChange,
    copy_in_float32,
    in_policy,
)
from graphprune.keras3.cloning import Precision, clone_model
from graphprune.keras3.held import HeldLayer
from graphprune.keras3.layers import is_layered_model
from graphprune.keras3.optimizers import LIKE_MODEL
from graphprune.keras3.surgery import hold_like, pruned_clone, set_by_run


def in_precision(model: Any, policy: str) -> Any:
    """Return a clone of a float32 model that computes by a mixed policy.

    The layers that make its outputs, and preprocessing layers, stay in float32.

    Raises:
        TrainingError: the model cannot be built with the policy.
    """
    if set_by_run(model):
        return model
    last = list(_last_layers(model))
    kept = frozenset(map(id, last))
    has_scale = hasattr(getattr(model, "optimizer", None), "inner_optimizer")
    scaling = "scaled" if policy == SCALED else LIKE_MODEL

    def hold(address: str, layer: Any, before: HeldLayer | None) -> HeldLayer | None:
        if before is None:
            return None
        held = hold_like(before, layer)
        held.provenance = in_policy(held.provenance, policy, scales_loss=has_scale)
        return held

    try:
        precision = Precision(PolicyChange((FLOAT32,), policy), kept, scaling)
        clone = pruned_clone(model, hold, precision=precision)
    except (TypeError, ValueError) as fault:
        raise explain_unbuildable(str(model.name), policy, fault) from fault
    _check_operations(model, clone, policy)
    warn_of_float32(model, clone, policy, kept=kept, holds=is_layered_model)
    return clone


def in_float32(model: Any, place: str) -> Any:
    """Return a model that TensorFlow Lite can compute: itself, or its clone in float32.

    Raises:
        OutputError: a layer cannot be cloned in float32; the text begins with `place`.
    """

    def copy(model: Any) -> Any:
        precision = Precision(SERVED, frozenset(), LIKE_MODEL)
        return clone_model(model, compiled=False, precision=precision)

    return copy_in_float32(model, copy, _computes_in, place)


def _computes_in(model: Any) -> dict[str, str]:
    """Return what each layer of a model computes in; inputs compute nothing."""
    layers = (
        one for one in model._flatten_layers() if not isinstance(one, keras.layers.InputLayer)
    )
    return {
        one.name: one.compute_dtype
        for one in layers
        if one is not model and not is_layered_model(one)
    }


def _check_operations(model: Any, clone: Any, policy: str) -> None:
    """Refuse a clone to which Keras added layers.

    Keras 3.5 to 3.9 makes a Cast layer wherever the dtype changes, and a stripped model would not
    have the config of the original.
    """
    added = _count_operations(clone) - _count_operations(model)
    if added:
        raise TrainingError(
            f"mixed precision: Keras {keras.__version__} adds {added} Cast layers"
            f" for {policy}, which strip cannot remove; use Keras 3.10 or newer, or train without",
            place=str(model.name),
        )


def _count_operations(model: Any) -> int:
    """Return the number of layers and operations of a model and of the models in it."""
    parts = list(getattr(model, "operations", ()))
    return len(parts) + sum(_count_operations(part) for part in parts if is_layered_model(part))


def _last_layers(model: Any) -> Iterator[Any]:
    """Yield the layers that make the outputs of a model; those before operations on them."""
    for tensor in keras.tree.flatten(getattr(model, "outputs", None) or ()):
        yield from _last(tensor._keras_history.operation)


def _last(operation: Any) -> Iterator[Any]:
    if is_layered_model(operation):
        yield from _last_layers(operation)
    elif isinstance(operation, keras.layers.Layer):
        yield operation
    else:
        for node in operation._inbound_nodes:
            for tensor in node.input_tensors:
                yield from _last(tensor._keras_history.operation)
