"""Layers of live models by address: the name after the names of the nested models around it."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath
from typing import Any, NoReturn

import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.engine.keras_tensor import KerasTensor

from graphprune.arguments import describe
from graphprune.errors import GraphError
from graphprune.graph.layers import SEPARATOR
from graphprune.tf.pruning.tfmot import foreign_wrapper, is_toolkit_layer
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def addressed_layers(model: tf_keras.Model, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield (address, layer) of every layer in the order of `model.layers`, input layers included.

    Nested models come before the layers in them.
    """
    for layer in model._flatten_layers(include_self=False, recursive=False):
        address = f"{prefix}{name_of(layer)}"
        yield address, layer
        if is_layered_model(layer):
            yield from addressed_layers(layer, f"{address}{SEPARATOR}")


def find_wrappers(model: tf_keras.Model) -> dict[str, PruneLowMagnitude]:
    """Return the pruned layers by address, each once, at its first address.

    Inside custom layers and subclassed models the address is the plain name.

    Raises:
        GraphError: this is not a model of tf_keras, or a layer is in a wrapper of the TensorFlow
            toolkit.
    """
    if not isinstance(model, tf_keras.Model):
        refuse_other_kind(model, "model", "a Sequential or Functional model")
    found: dict[int, tuple[str, PruneLowMagnitude]] = {}
    unaddressed = ((layer.name, layer) for layer in model._flatten_layers())
    for address, layer in (*addressed_layers(model), *unaddressed):
        if is_toolkit_layer(layer):
            raise foreign_wrapper(layer)
        if isinstance(layer, PruneLowMagnitude):
            found.setdefault(id(layer), (address, layer))
    return dict(found.values())


def is_wrapped(model: tf_keras.Model) -> bool:
    """Return whether a layer of the model is in a pruning wrapper, graphprune's or tfmot's."""
    return any(
        isinstance(layer, PruneLowMagnitude) or is_toolkit_layer(layer)
        for layer in model._flatten_layers()
    )


def is_layered_model(layer: object) -> bool:
    """Return whether this is a Sequential or Functional model, whose layers are known."""
    return isinstance(layer, tf_keras.Sequential) or (
        isinstance(layer, tf_keras.Model) and getattr(layer, "_is_graph_network", False)
    )


def is_unbuilt(model: object) -> bool:
    """Return whether this is a Sequential model without a known input shape.

    Its layers have no weights.
    """
    return isinstance(model, tf_keras.Sequential) and not model.built


def refuse_other_kind(value: Any, kind: str, wanted: str) -> NoReturn:
    """Raise the error that says what `value` is, instead of the `kind` (model or layer) wanted.

    Raises:
        GraphError: always.
    """
    if isinstance(value, str | PathLike):
        raise GraphError(
            f"{describe(value)} is a path, not a {kind}; load the model first:"
            f" graphprune.load_model({describe(fspath(value))})"
        )
    if isinstance(value, type):
        raise GraphError(
            f"{describe(value)} is not a {kind}; give an object of it, such as"
            f" {value.__name__}(...)"
        )
    if isinstance(value, KerasTensor) and hasattr(value, "_keras_history"):
        layer = value._keras_history.layer
        raise GraphError(
            f"a tensor, the output of {layer.name!r}, is not a {kind}; wrap the layer before it is"
            f" called: prune_low_magnitude({type(layer).__name__}(...))(x)"
        )
    named = f"{type(value).__module__}.{type(value).__qualname__}"
    if "keras" in {base.__module__.split(".")[0] for base in type(value).__mro__}:
        raise GraphError(
            f"{getattr(value, 'name', kind)}: {named} is of Keras 3 (module keras), and this"
            " function of graphprune.tf takes those of tf_keras; call the one of the same name that"
            " graphprune itself has, which takes both"
        )
    raise GraphError(f"{named} is not a Keras {kind}; give {wanted}")


def inner_layer(layer: Layer) -> Layer:
    """Return the layer inside a pruning wrapper, tfmot's included, or `layer` itself."""
    return layer.layer if isinstance(layer, PruneLowMagnitude) or is_toolkit_layer(layer) else layer


def name_of(layer: Layer) -> str:
    """Return the layer's name, without the prefix of the TensorFlow toolkit's live wrapper."""
    return str(layer.layer.name if is_toolkit_layer(layer) else layer.name)


def check_model(model: object) -> None:
    """Raise unless `model` is a built Sequential or Functional model of tf_keras.

    Raises:
        GraphError: it is something else; the text names its class.
    """
    if not isinstance(model, tf_keras.Model):
        refuse_other_kind(model, "model", "a Sequential or Functional model")
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if not is_layered_model(model):
        raise GraphError(
            f"{model.name}: {kind} is a subclassed model, whose layers and connections cannot be"
            " read; rebuild it with the Functional API: tf_keras.Model(inputs, outputs)"
        )
    if not model.built:
        raise GraphError(
            f"{model.name}: the model is not built, so it has no weights yet; call"
            " model.build(input_shape) first"
        )
