"""A live Keras 3 model as a saved one: the config and weights that `model.save` would write.

The model's graph is read by the code that reads files, so the two are the same. Keras walks the
model as when it saves it and hands each variable to a store that only notes its place; values are
read when they are asked for.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import keras
import numpy as np
from keras.src.saving import serialization_lib
from numpy.typing import NDArray

from graphprune.archive.archive import GroupFacts, Header, Layout, StoredTensor
from graphprune.archive.files import collector_paused
from graphprune.archive.hdf5.index import is_layer_group
from graphprune.archive.keras3 import config_from_keras_3
from graphprune.archive.read import opened_archive
from graphprune.errors import GraphError
from graphprune.graph.from_config import FLOATS
from graphprune.graph.layers import Layer
from graphprune.graph.read import ModelFile, model_file_of
from graphprune.graph.weights import ModelWeights, measure_zeros
from graphprune.keras3.backend import sync
from graphprune.keras3.layers import (
    addressed_layers,
    check_built,
    find_weight,
    names_its_weights,
    prunable_names,
    saved_parts,
    says_what_to_prune,
)
from graphprune.keras3.places import place_of, saved_places


class LiveSource:
    """A live model in place of the file that it would be saved to."""

    layout: ClassVar[Layout] = "keras"

    def __init__(self, model: Any) -> None:
        self._model, self.path = model, str(model.name)

    @contextmanager
    def opened(self) -> Iterator[OpenedLive]:
        """Look at the model as it is now."""
        sync(self._model)
        yield OpenedLive(self._model)


class OpenedLive:
    """A live model, as the file that Keras would write of it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._places: dict[str, dict[str, Any]] | None = None

    def read_header(self) -> Header:
        """Return the config that would be saved.

        Raises:
            GraphError: a layer cannot be described.
        """
        try:
            return Header(keras.__version__, _serialized(self._model))
        except (NotImplementedError, TypeError, ValueError) as err:
            reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
            raise GraphError(
                f"{self._model.name}: Keras cannot describe the model ({reason}); every layer needs"
                " a get_config that returns plain values"
            ) from err

    def index(self) -> Mapping[str, tuple[StoredTensor, ...]]:
        """Return the weights by group."""
        return {
            group: tuple(_stored(group, name, value) for name, value in entries.items())
            for group, entries in self._saved().items()
            if is_layer_group(group)
        }

    def describe(self, group: str, /) -> GroupFacts:
        """Return name, class and config of the layer that a group belongs to."""
        layer = self._owners.get(group)
        if layer is None:
            return GroupFacts()
        name = str(layer.name)
        if says_what_to_prune(layer):
            return GroupFacts(name, is_whole=True)
        try:
            return GroupFacts(name, config_from_keras_3(_serialized(layer)))
        except (NotImplementedError, TypeError, ValueError):  # a file has its weights all the same
            return GroupFacts(name)

    @cached_property
    def _owners(self) -> dict[str, Any]:
        return {path.replace(".", "/"): layer for path, layer in saved_parts(self._model)}

    def read(self, tensor: StoredTensor, /) -> NDArray[Any]:
        """Return the values of one weight as they are now."""
        return _array(self._saved()[tensor.group][tensor.name])

    def find(self, tensor: StoredTensor) -> Any:
        """Return what Keras would save as this tensor: a variable, or values."""
        return self._saved()[tensor.group][tensor.name]

    def check_checksums(self) -> None:
        """Do nothing: there is no file."""

    def _saved(self) -> dict[str, dict[str, Any]]:
        if self._places is None:
            self._places = saved_places(self._model)
        return self._places


def _serialized(saveable: Any) -> Any:
    """Return a layer or model as files hold it, in plain JSON."""
    with warnings.catch_warnings(), serialization_lib.ObjectSharingScope():
        warnings.filterwarnings("ignore", message=".*[Ll]ambda.*")
        config = serialization_lib.serialize_keras_object(saveable)
    return json.loads(json.dumps(config))


def _stored(group: str, name: str, value: Any) -> StoredTensor:
    dtype = keras.backend.standardize_dtype(value.dtype)
    path = f"{group}/vars/{name}".lstrip("/")
    return StoredTensor(group, name, path, tuple(value.shape), dtype)


def _array(value: Any) -> NDArray[Any]:
    found = value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value)
    return np.asarray(found, np.float32) if found.dtype.name == "bfloat16" else np.asarray(found)


class LiveModel:
    """A live model with what a file of it would hold: its graph, weights and pruning.

    Args:
        model: The model.
        asked: Names of weights that rules or a plan use, by the type of their custom layer. A layer
            that says itself what to prune has its weights by attribute, unless other names are
            asked for.

    Attributes:
        graph: The layers of the model.
        path: The model's name.
        layers: The live layers by address.

    Raises:
        GraphError: the model is not built, or cannot be described.
        PlanError: a layer names weights to prune that it does not have.
    """

    def __init__(
        self, model: Any, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> None:
        check_built(model)
        self.layers = dict(addressed_layers(model))
        self._source = LiveSource(model)
        with collector_paused(), opened_archive(self._source) as archive:
            found = model_file_of(archive).weights
            self._weights = _named_by_layers(found, self._own_names(found, asked))
        self.graph, self.path = self._weights.graph, self._weights.path

    def opened(self) -> AbstractContextManager[object]:
        """Look at the model as it is now, for many reads."""
        return self._weights.opened()

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        """Return a weight of the layer at `address`, or a tensor of the state of its pruning."""
        return self._weights.read(address, name)

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        """Return a tensor of the state of the layer's pruning; None if it is not pruned."""
        return self._weights.read_state(address, name)

    def place_of(self, address: str, name: str) -> str | None:
        """Return where the layer at `address` saves a weight; None if the table of layers says so.

        `name` is that of the graph.
        """
        layer = self.layers[address]
        if names_its_weights(layer) or name not in self._weights.tensors.get(address, {}):
            return None
        return place_of(layer, self._variable(address, name))

    def _variable(self, address: str, name: str) -> Any:
        tensor = self._weights.tensors[address][name]
        with self._source.opened() as live:
            return live.find(tensor)

    def _own_names(
        self, weights: ModelWeights, asked: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, str]]:
        """Return the weights that layers themselves want pruned, by address.

        Each is a name by the name in `weights`.
        """
        found: dict[str, dict[str, str]] = {}
        for address, layer in self.layers.items():
            if not says_what_to_prune(layer) or address not in weights.graph.layers:
                continue
            named = weights.tensors.get(address, {})
            own = {id(find_weight(layer, name)): name for name in prunable_names(layer)}
            with self._source.opened() as live:
                by_place = {
                    name: own[id(live.find(tensor))]
                    for name, tensor in named.items()
                    if id(live.find(tensor)) in own
                }
            wanted = set(asked.get(weights.graph.layers[address].type, ()))
            is_by_place = bool(wanted & named.keys()) and not wanted <= set(own.values())
            found[address] = {name: name for name in by_place} if is_by_place else by_place
        return found


def _named_by_layers(weights: ModelWeights, names: Mapping[str, Mapping[str, str]]) -> ModelWeights:
    """Return the weights with new names for some, by address; exactly these may be pruned."""
    layers: dict[str, Layer] = {}
    tensors = dict(weights.tensors)
    for address, renamed in names.items():
        layer = weights.graph.layers[address]
        layers[address] = replace(
            layer,
            tensors=tuple(
                replace(
                    tensor,
                    name=renamed.get(tensor.name, tensor.name),
                    prunable=tensor.name in renamed and tensor.dtype.startswith(FLOATS),
                )
                for tensor in layer.tensors
            ),
        )
        tensors[address] = {
            renamed.get(name, name): tensor for name, tensor in tensors.get(address, {}).items()
        }
    graph = weights.graph.replace(layers) if layers else weights.graph
    return replace(weights, graph=graph, tensors=MappingProxyType(tensors))


def count_zeros(model: Any) -> dict[tuple[str, str], int]:
    """Return the zeros in each weight of each layer, by address and name."""
    return dict(measure_zeros(LiveModel(model)))


def read_live(model: Any, asked: Mapping[str, Sequence[str]] = MappingProxyType({})) -> ModelFile:
    """Return a live model in the form of a saved one; see `LiveModel`."""
    live = LiveModel(model, asked)
    return ModelFile(live.path, live.graph, live)
