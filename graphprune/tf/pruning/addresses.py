"""Layers of live models by address: the name, prefixed by the names of the nested models around it."""

from __future__ import annotations

from collections.abc import Iterator

import tf_keras
from tf_keras.src.engine.base_layer import Layer

from graphprune.graph.layers import SEPARATOR
from graphprune.tf.pruning.live_toolkit import foreign_wrapper, is_toolkit_layer
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def addressed_layers(model: tf_keras.Model, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield (address, layer) of every layer, nested models before the layers in them, in the order of `model.layers`; input layers included."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        address = f"{prefix}{name_of(layer)}"
        yield address, layer
        if is_layered_model(layer):
            yield from addressed_layers(layer, f"{address}{SEPARATOR}")


def find_wrappers(model: tf_keras.Model) -> dict[str, PruneLowMagnitude]:
    """Return the pruned layers by address, each once, at its first address; inside custom layers and subclassed models the address is the plain name.

    Raises:
        GraphError: a layer is in a wrapper of the TensorFlow toolkit.
    """
    found: dict[int, tuple[str, PruneLowMagnitude]] = {}
    unaddressed = ((layer.name, layer) for layer in model._flatten_layers())
    for address, layer in (*addressed_layers(model), *unaddressed):
        if is_toolkit_layer(layer):
            raise foreign_wrapper(layer)
        if isinstance(layer, PruneLowMagnitude):
            found.setdefault(id(layer), (address, layer))
    return dict(found.values())


def is_layered_model(layer: object) -> bool:
    """Return whether this is a Sequential or Functional model, whose layers are known."""
    return isinstance(layer, tf_keras.Sequential) or (isinstance(layer, tf_keras.Model) and getattr(layer, "_is_graph_network", False))


def inner_layer(layer: Layer) -> Layer:
    """Return the layer inside a pruning wrapper, the TensorFlow toolkit's included, or `layer` itself."""
    return layer.layer if isinstance(layer, PruneLowMagnitude) or is_toolkit_layer(layer) else layer


def name_of(layer: Layer) -> str:
    """Return the layer's name, without what the TensorFlow toolkit's live wrapper puts before it."""
    return str(layer.layer.name if is_toolkit_layer(layer) else layer.name)
