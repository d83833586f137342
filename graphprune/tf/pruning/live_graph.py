"""The layer graph of a live model, and the values of its weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from graphprune.errors import GraphError
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.read import ModelFile
from graphprune.plan.weight_hashes import ReadWeight
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
from graphprune.tf.pruning.model_clone import clone_with_state, clone_wrapped
from graphprune.tf.pruning.tfmot import is_toolkit_layer, live_masks, live_state
from graphprune.tf.pruning.wrapper import PruneLowMagnitude
from graphprune.wrapper_names import state_names


class LiveWeights:
    """The weights of a live model by address and name, as `graph_of_model` names them.

    Args:
        model: The model.
        asked: Names of weights that rules or a plan use, as for `graph_of_model`.

    Raises:
        GraphError: the model is not a built Sequential or Functional model of tf_keras.
    """

    def __init__(
        self, model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> None:
        self.graph = graph_of_model(model, asked)
        self.path = str(model.name)
        self._layers = dict(addressed_layers(model))
        self._read = weight_reader(model, asked)

    def opened(self) -> AbstractContextManager[object]:
        """Do nothing: a live model is open."""
        return nullcontext()

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        """Return a weight of the layer at `address`, or a tensor of the wrapper around it."""
        state = self.read_state(address, name)
        return np.asarray(self._read(address, name)) if state is None else state

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        """Return a tensor of the pruning wrapper around the layer; None if there is none."""
        wrapper = self._layers[address]
        if isinstance(wrapper, PruneLowMagnitude):
            variables, weights = wrapper.pruning_state, wrapper.pruning.weights
        elif is_toolkit_layer(wrapper):
            variables, weights = live_state(wrapper), tuple(of for of, _ in live_masks(wrapper))
        else:
            return None
        state = dict(zip(state_names(weights), variables, strict=False))
        return np.asarray(state[name].numpy()) if name in state else None


def read_live(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> ModelFile:
    """Return a live model in the form of a saved one; see `LiveWeights`."""
    weights = LiveWeights(model, asked)
    return ModelFile(weights.path, weights.graph, weights)


def weight_reader(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> ReadWeight:
    """Return the function that returns a weight of the model by address and name.

    Names and `asked` are those of `graph_of_model`.
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
    """Return the zeros in each weight of each layer, by address and name.

    `measure_zeros` does the same for a file; `asked` as in `graph_of_model`.
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
            that was not loaded from a file gets the names of the format that has them.

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
