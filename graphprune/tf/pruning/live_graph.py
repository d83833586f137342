"""The layer graph of a live model, and the values that its weights have."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tf_keras

from graphprune.errors import GraphError
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.plan.budgets import ReadWeight
from graphprune.tf.layers.live_tensors import (
    find_weight,
    holds_prunable_layer,
    named_weights,
    prunable_names,
    tensor_facts,
    tensor_zeros,
    type_name,
)
from graphprune.tf.pruning.addresses import (
    addressed_layers,
    check_model,
    inner_layer,
    is_layered_model,
)
from graphprune.tf.pruning.live_toolkit import is_toolkit_layer
from graphprune.tf.pruning.model_clone import clone_with_state, clone_wrapped


def weight_reader(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> ReadWeight:
    """Return the function that returns a weight of the model by address and name, as
    `graph_of_model` names them; `asked` as there.
    """
    layers = dict(addressed_layers(model))

    def read(address: str, name: str) -> Any:
        layer = inner_layer(layers[address])
        names = asked.get(type_name(layer), ())
        found = dict(named_weights(layer, names)).get(name) if name in names else None
        return (find_weight(layer, name) if found is None else found).numpy()

    return read


def count_zeros(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[tuple[str, str], int]:
    """Return the zeros in each weight of each layer, by address and name, as `measure_zeros` does
    for a file; `asked` as in `graph_of_model`.
    """
    return {
        (address, name): count
        for address, layer in addressed_layers(model)
        if not is_layered_model(layer)
        for name, count in tensor_zeros(
            inner_layer(layer), asked.get(type_name(inner_layer(layer)), ())
        ).items()
    }


def graph_of_model(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> LayerGraph:
    """Return the layer graph of a live model, weights included by name, shape and dtype.

    Args:
        model: The model.
        asked: Names of weights that rules or a plan use, by the type of their custom layer; a model
            that comes from no file gets the names of the format that has them.

    Raises:
        GraphError: the model is not a built Sequential or Functional model of tf_keras.
    """
    check_model(model)
    if any(is_toolkit_layer(layer) for layer in model._flatten_layers()):
        model = clone_with_state(model, clone_wrapped, set())
    inner = {
        address: inner_layer(layer)
        for address, layer in addressed_layers(model)
        if not is_layered_model(layer)
    }
    tensors = {
        address: tensor_facts(layer, asked.get(type_name(layer), ()))
        for address, layer in inner.items()
    }
    prunable = {
        address: prunable_names(layer)
        for address, layer in inner.items()
        if holds_prunable_layer(layer)
    }
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="The object being serialized includes a `lambda`"
            )
            return graph_from_config(model.get_config(), tensors=tensors, prunable=prunable)
    except NotImplementedError as err:
        raise GraphError(
            f"{model.name}: a layer has no get_config, so the model cannot be described"
            f" ({str(err).strip().splitlines()[0]})"
        ) from err
