"""A model as a value: layers by address, how they are connected, and the way back to a config."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import networkx as nx

from graphprune.archive.entries import canonical, copy_config
from graphprune.archive.keras3 import is_keras_3
from graphprune.errors import GraphError
from graphprune.graph.frames import Frame, Member
from graphprune.graph.layer_arguments import name_argument
from graphprune.graph.layers import Layer
from graphprune.shown import Shown
from graphprune.suggestions import closest


@dataclass(frozen=True, eq=False, repr=False)
class LayerGraph(Shown):
    """The layers of one model and their connections; never changed, `replace` returns another.

    Two graphs are equal when their configs say the same and their layers have the same tensors;
    dialect, memory addresses (`shared_object_id`), build and compile settings do not count.

    Attributes:
        name: The model's name.
        type: Its class name (`Functional`, `Sequential`, ...).
        layers: By address, in topological order, ties by position in `model.layers`, and where
            shared layers feed each other, by their first calls; nested models come before the
            layers in them; read-only.
        frames: The skeleton of the model (key: empty text) and of each nested model (key: its
            address).
        flow: The call graph: nodes (address, call index) of the layers that compute, nested models
            flattened and their inputs passed through; acyclic.
        inputs, outputs: Addresses of the layers whose tensors enter and leave the model.
        output_calls: The nodes of `flow` whose tensors leave the model.
        is_connected: Whether the config has the layers and their connections. A subclassed model,
            or one whose config is the arguments of its constructor, has layers and no connections.
        is_bare: Whether the config was what `get_config()` returns, without class name.
    """

    name: str
    type: str
    layers: Mapping[str, Layer]
    frames: Mapping[str, Frame]
    flow: nx.DiGraph[Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_bare: bool = False
    is_connected: bool = True
    output_calls: tuple[tuple[str, int], ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayerGraph):
            return NotImplemented
        return (
            self.sha256 == other.sha256
            and self.layers.keys() == other.layers.keys()
            and all(
                layer.tensors == other.layers[address].tensors
                for address, layer in self.layers.items()
            )
        )

    def __hash__(self) -> int:
        return hash(self.sha256)

    @cached_property
    def network(self) -> nx.MultiDiGraph[Any]:
        """One node an address (attribute `layer`), one edge a tensor use inside a model.

        Edges have `source_call`, `source_tensor`, `target_call` and `argument`.
        """
        network: nx.MultiDiGraph[Any] = nx.MultiDiGraph()
        network.add_nodes_from(
            (address, {"layer": layer}) for address, layer in self.layers.items()
        )
        network.add_edges_from(self._edges())
        return network

    def _edges(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for frame in self.frames.values():
            for member in frame.members:
                target = frame.address_of(member.name)
                for call, uses in enumerate(member.calls):
                    for use in uses:
                        facts = {
                            "source_call": use.source_call,
                            "source_tensor": use.source_tensor,
                            "target_call": call,
                            "argument": name_argument(self.layers[target], use),
                        }
                        yield frame.address_of(use.source), target, facts

    @cached_property
    def sha256(self) -> str:
        """The hash (hex) of the canonical JSON of the config, wrappers included.

        A config without layers does not tell models apart, so the shapes of weights count as well.
        """
        facts = [canonical(self._model_entry("", copy=False))]
        if not self.is_connected:
            facts.append(self.shapes_inside)
        attached = self._attached()
        if attached:
            facts.append(attached)
        whole = facts if len(facts) > 1 else facts[0]
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def keras(self) -> int:
        """The major version of the Keras that wrote the config, 2 or 3."""
        return 3 if is_keras_3("", self.frames[""].entry) else 2

    def _attached(self) -> dict[str, Any]:
        """Return how layers are pruned that have no wrapper in the config, by address."""
        wraps = ((address, layer.wrap) for address, layer in self.layers.items())
        return {
            address: [wrap.pruning and wrap.pruning.to_config(), wrap.provenance.to_config()]
            for address, wrap in wraps
            if wrap is not None and wrap.is_attached
        }

    @cached_property
    def shapes_inside(self) -> dict[str, list[list[int]]]:
        """The shapes of the weights of layers that no config has, by address."""
        return {
            address: [list(tensor.shape) for tensor in layer.tensors]
            for address, layer in self.layers.items()
            if layer.holder is not None
        }

    @cached_property
    def parameters(self) -> int:
        """The number of weights in all layers, without the state of wrappers."""
        return sum(tensor.size for layer in self.layers.values() for tensor in layer.tensors)

    @cached_property
    def prunable_weights(self) -> int:
        """The number of weights that rules may claim."""
        return sum(tensor.size for layer in self.layers.values() for tensor in layer.prunable)

    def candidates(self) -> tuple[Layer, ...]:
        """Return the layers with prunable tensors, in order."""
        return self._candidates

    @cached_property
    def _candidates(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers.values() if layer.is_candidate)

    def layer(self, address: str) -> Layer:
        """Return the layer at `address`.

        Raises:
            GraphError: there is none; the text names close matches.
        """
        if address in self.layers:
            return self.layers[address]
        near = closest(address, self.layers, count=3)
        way_out = near or "'graphprune layers MODEL' lists all addresses"
        raise GraphError(
            f"{self.name}: no layer has the address {address!r}; {way_out}", "layer/unknown"
        )

    def to_config(self) -> dict[str, Any]:
        """Return the config that this graph was read from, as a copy that the caller may change."""
        entry = self._model_entry("", copy=True)
        config: dict[str, Any] = entry["config"] if self.is_bare else entry
        return config

    def _model_entry(self, address: str, *, copy: bool) -> dict[str, Any]:
        frame = self.frames[address]
        entry: dict[str, Any] = copy_config(frame.entry) if copy else dict(frame.entry)
        if not self.is_connected:
            return entry
        entry["config"] = dict(entry["config"]) | {
            "layers": [self._member_entry(frame, member, copy=copy) for member in frame.members]
        }
        return entry

    def _member_entry(self, frame: Frame, member: Member, *, copy: bool) -> dict[str, Any]:
        address = frame.address_of(member.name)
        placement: dict[str, Any] = (
            copy_config(member.placement) if copy else dict(member.placement)
        )
        if address in self.frames:
            return self._model_entry(address, copy=copy) | placement
        layer = self.layers[address]
        entry = layer.entry if layer.wrap is None else layer.wrap.entry
        return {**(copy_config(entry) if copy else entry), **placement}

    def replace(self, changes: Mapping[str, Layer]) -> LayerGraph:
        """Return the graph with other values for some layers (wrapped, unwrapped); all else stays.

        Raises:
            GraphError: a change is for an unknown address, gives the layer another address, or is
                for a nested model.
        """
        for address, layer in changes.items():
            self.layer(address)
            if layer.address != address or address in self.frames:
                raise GraphError(
                    f"{self.name}: layer {address!r} cannot become {layer.address!r}; a replacement"
                    " keeps the address, and nested models are not replaced"
                )
        layers = {address: changes.get(address, layer) for address, layer in self.layers.items()}
        return replace(self, layers=MappingProxyType(layers))
