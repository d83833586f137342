"""Models that tfmot made ready for quantization, seen without its wrappers.

tfmot is the TensorFlow Model Optimization toolkit. `quantize_model` puts a layer into a
`QuantizeWrapperV2` (quantize_wrapper.py) that rounds its weights and outputs in training, and a
`QuantizeLayer` behind the model's inputs. Only the config is needed to see the layers inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from graphprune.archive.entries import Entry, is_entry, is_model, name_of, type_of
from graphprune.archive.keras3 import is_reference
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Layer, Tensor
from graphprune.graph.read import ModelFile
from graphprune.graph.weight_faults import find_shape_fault
from graphprune.graph.weights import ReadableWeights, TensorKey
from graphprune.nested import rebuild

_WRAPPER, _ROUNDING, _ACTIVATION = "QuantizeWrapperV2", "QuantizeLayer", "QuantizeAwareActivation"


@dataclass(frozen=True, slots=True)
class _WithoutQuantizers:
    """The weights of a model under the addresses of the layers inside its quantization wrappers.

    Attributes:
        graph: The layers without the wrappers.
        weights: Those of the model with its wrappers.
        places: Where these have each tensor.
    """

    graph: LayerGraph
    weights: ReadableWeights
    places: Mapping[TensorKey, TensorKey]

    @property
    def path(self) -> str:
        """What to call the model."""
        return self.weights.path

    def opened(self) -> AbstractContextManager[object]:
        """Keep open what is behind it for many reads."""
        return self.weights.opened()

    def read(self, address: str, name: str) -> NDArray[Any]:
        """Return the values of one tensor."""
        return self.weights.read(*self.places[address, name])

    def read_state(self, address: str, name: str) -> NDArray[Any] | None:
        """Return a tensor of the pruning wrapper around a layer; None where it has none."""
        return self.weights.read_state(address, name)


def without_quantizers(model: ModelFile) -> ModelFile:
    """Return a model without tfmot's quantization wrappers, or the same model if it has none.

    The layers inside have their own names, their activation, and their weights; the ranges of the
    quantizers are left out. A model whose wrappers cannot be told apart from their layers is
    returned as it is.
    """
    graph = model.graph
    wrapped = [layer for layer in graph.layers.values() if _is(layer.entry, _WRAPPER)]
    if not wrapped or not graph.is_connected:
        return model
    renamed = {layer.address: _new_address(layer, graph) for layer in graph.layers.values()}
    tensors: dict[str, list[tuple[str, Tensor]]] = {}
    for address, layer in graph.layers.items():
        if _is(layer.entry, _ROUNDING):
            continue
        inside = _tensors_inside(layer) if _is(layer.entry, _WRAPPER) else _own_tensors(layer)
        if inside is None:
            return model
        tensors[address] = inside
    facts = {
        renamed[address]: [(name, tensor.shape, tensor.dtype) for name, tensor in own]
        for address, own in tensors.items()
    }
    seen = graph_from_config(_see_through(graph.to_config()), tensors=facts, place=model.path)
    if find_shape_fault(seen) is not None:
        return model
    if model.located is None:
        return replace(model, graph=seen)
    places = {
        (renamed[address], name): (address, tensor.name)
        for address, own in tensors.items()
        for name, tensor in own
    }
    return replace(model, graph=seen, located=_WithoutQuantizers(seen, model.located, places))


def _is(entry: Any, kind: str) -> bool:
    return is_entry(entry) and type_of(entry).rpartition(">")[2] == kind


def _new_address(layer: Layer, graph: LayerGraph) -> str:
    """Return the address of a layer where wrappers have the names of the layers inside."""
    name = name_of(layer.entry["config"]["layer"]) if _is(layer.entry, _WRAPPER) else layer.name
    if layer.container is None:
        return name
    return f"{_new_address(graph.layers[layer.container], graph)}{SEPARATOR}{name}"


def _own_tensors(layer: Layer) -> list[tuple[str, Tensor]]:
    return [(tensor.name, tensor) for tensor in layer.tensors]


def _tensors_inside(layer: Layer) -> list[tuple[str, Tensor]] | None:
    """Return the weights of the layer inside a wrapper by their names; None if they are not there.

    `.h5` files and SavedModel folders name them; `.keras` files number those that are quantized
    among the wrapper's own, and the others among those of the layer.
    """
    config = layer.entry["config"]
    known = weights_of(config["layer"])
    wanted = [weight.name for weight in known or () if not weight.is_copy]
    prefixes = {f"{name_of(config['layer'])}.", "layer."}
    inside = {
        tensor.name[len(prefix) :]: tensor
        for tensor in layer.tensors
        for prefix in prefixes
        if tensor.name.startswith(prefix)
    }
    if not wanted or inside.keys() >= set(wanted):
        return [(name, inside[name]) for name in wanted]
    attributes = config.get("quantize_config", {}).get("config", {}).get("weight_attrs") or ()
    taken = iter([tensor for tensor in layer.tensors if "." not in tensor.name])
    rest = iter(inside.values())
    if len(inside) == len(wanted):
        return list(zip(wanted, rest, strict=True))
    found = [(name, next(taken if name in attributes else rest, None)) for name in wanted]
    return [(name, tensor) for name, tensor in found if tensor is not None] or None


def _see_through(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a model with the layers inside its wrappers, and without rounding."""
    config = entry["config"]
    members = [_see_through(member) if is_model(member) else member for member in config["layers"]]
    names = {
        name_of(member): name_of(member["config"]["layer"])
        for member in members
        if _is(member, _WRAPPER)
    }
    skipped = {
        name_of(member): _first_source(member.get("inbound_nodes"))
        for member in members
        if _is(member, _ROUNDING)
    }
    kept = [
        _unwrapped(member) if _is(member, _WRAPPER) else member
        for member in members
        if not _is(member, _ROUNDING)
    ]
    moved = [
        member | {"inbound_nodes": _rename(member["inbound_nodes"], names, skipped)}
        if "inbound_nodes" in member
        else member
        for member in kept
    ]
    ends = {
        key: _rename(config[key], names, skipped)
        for key in ("input_layers", "output_layers")
        if key in config
    }
    return entry | {"config": config | {"layers": moved} | ends}


def _unwrapped(member: Entry) -> dict[str, Any]:
    inner = rebuild(member["config"]["layer"], _plain_activation)
    placement = {key: member[key] for key in ("inbound_nodes",) if key in member}
    named = {"name": name_of(inner)} if "name" in member else {}
    return {**inner, **named, **placement}


def _plain_activation(value: dict[str, Any]) -> Any:
    """Return the activation inside of one that rounds; that of a fused layer is linear."""
    if not _is(value, _ACTIVATION):
        return value
    inside = value["config"].get("activation")
    return "linear" if _is(inside, "NoOpActivation") else inside


def _first_source(nodes: Any) -> list[Any] | None:
    return next(_references(nodes), None)


def _references(value: Any) -> Iterator[list[Any]]:
    if is_reference(value):
        yield value[:3]
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _rename(value: Any, names: Mapping[str, str], skipped: Mapping[str, Any]) -> Any:
    """Return nodes with the new names of layers, and past the layers that are left out."""
    if is_reference(value):
        source: Sequence[Any] = skipped.get(value[0]) or value[:3]
        rest = [_rename(item, names, skipped) for item in value[3:]]
        return [names.get(source[0], source[0]), *source[1:3], *rest]
    if isinstance(value, list):
        return [_rename(item, names, skipped) for item in value]
    if isinstance(value, dict):
        return {key: _rename(item, names, skipped) for key, item in value.items()}
    return value
