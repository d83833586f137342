"""From a model's config to its layer graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

import networkx as nx

from graphprune.archive.entries import (
    PLACEMENT,
    Entry,
    is_entry,
    is_input,
    is_model,
    is_own_model,
    is_wrapper,
    name_of,
    to_snake_case,
    type_of,
)
from graphprune.errors import GraphError
from graphprune.graph.classes.builtin_layers import (
    has_too_many_inside,
    known_class,
    same_class,
    weights_of,
)
from graphprune.graph.classes.inference import INFERRED
from graphprune.graph.classes.layer_class import MAX_INSIDE
from graphprune.graph.flow import FlowBuilder, call_order, layer_order
from graphprune.graph.frames import Frame, frame_from_entry
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.graph.wrappers import read_wrap
from graphprune.nested import mappings_in
from graphprune.wrapper_names import is_state

FLOATS = ("float", "bfloat")
"""How the dtypes begin of weights that can be pruned; integers stand for quantized ones."""
TensorFacts = tuple[str, Sequence[int], str]
"""Name, shape and dtype."""
Kind = Literal["input", "layer", "model"]


def graph_from_config(
    config: Mapping[str, Any],
    *,
    tensors: Mapping[str, Iterable[TensorFacts]] | None = None,
    prunable: Mapping[str, Iterable[str]] = MappingProxyType({}),
    place: str = "",
) -> LayerGraph:
    """Return the layer graph of a serialized model, or of what its `get_config()` returned.

    Args:
        config: Either dialect; kept, not copied: do not change it afterwards.
        tensors: Name, shape and dtype of each layer's weights by address, in storage order. Layers
            that are left out have none.
        prunable: The names of the weights that may be pruned, by address, for custom layers that
            say so themselves; other layers go by the table.
        place: Begins error texts; the model's name unless given.

    Raises:
        GraphError: this is not a Functional or Sequential model, or its parts do not fit together.
    """
    if is_entry(config) and is_own_model(config):
        return _unconnected(config)
    entry, is_bare = _model_entry(config, place or "model config")
    name = str(entry["config"].get("name", ""))
    place = place or name
    frames: dict[str, Frame] = {}
    entries: dict[str, Entry] = {}
    _collect("", entry, place, frames, entries)
    orders = {address: call_order(frame, place) for address, frame in frames.items()}
    flow = FlowBuilder(frames, orders, place)
    outputs = {use.source for use in frames[""].outputs} | {address for address, _ in flow.outputs}
    trainable = {"": bool(entry["config"].get("trainable", True))}
    layers: dict[str, Layer] = {}
    for address, container in _in_order("", frames, orders):
        raw = entries[address]
        trainable[address] = trainable[container] and bool(raw["config"].get("trainable", True))
        kept = (
            frames[address].entry
            if address in frames
            else {key: value for key, value in raw.items() if key not in PLACEMENT}
        )
        kind: Kind = "input" if is_input(raw) else "layer"
        if address in frames:
            kind = "model"
        layers[address] = _layer(
            address,
            container,
            kind,
            kept,
            trainable[address],
            flow.calls.get(address, 0),
            address in outputs,
            place,
        )
    graph = LayerGraph(
        name=name,
        type=type_of(entry),
        layers=MappingProxyType(layers),
        frames=MappingProxyType(frames),
        flow=flow.graph,
        inputs=tuple(use.source for use in frames[""].inputs),
        outputs=tuple(use.source for use in frames[""].outputs),
        is_bare=is_bare,
        output_calls=tuple(dict.fromkeys(flow.outputs)),
    )
    return graph if tensors is None else graph_with_tensors(graph, tensors, prunable)


def _unconnected(entry: Entry) -> LayerGraph:
    """Return the graph of a model whose config has no layers; weights in a file show them."""
    name = str(entry["config"].get("name") or to_snake_case(type_of(entry).rpartition(">")[2]))
    return LayerGraph(
        name=name,
        type=type_of(entry),
        layers=MappingProxyType({}),
        frames=MappingProxyType({"": Frame("", entry, (), (), ())}),
        flow=nx.DiGraph(),
        inputs=(),
        outputs=(),
        is_connected=False,
    )


def check_models(config: Any, place: str) -> None:
    """Check the calls in every model inside `config`, at any depth.

    Models in wrappers and custom layers, which are not part of a graph, are checked too.

    Raises:
        GraphError: a model takes tensors that nobody makes, its calls form a cycle, or a layer is
            called on constants alone: Keras writes no such call, and would run it, at any size,
            while it builds the model.
    """
    for item in mappings_in(config):
        if isinstance(item.get("class_name"), str) and is_model(item):
            frame = frame_from_entry("", item, place)
            call_order(frame, place)
            _check_tensors_taken(frame, place)


def _check_tensors_taken(frame: Frame, place: str) -> None:
    for member in frame.members:
        if member.placement.get("inbound_nodes") and not all(member.calls):
            raise GraphError(
                f"layer {member.name!r} is called on no tensor of the model, only on"
                " constants; save the model again",
                place=place,
            )


def graph_with_tensors(
    graph: LayerGraph,
    tensors: Mapping[str, Iterable[TensorFacts]],
    prunable: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> LayerGraph:
    """Return the graph with these weights of its layers, by address.

    The state of wrappers may be among them and is left out.
    """
    layers = {
        address: replace(
            layer, tensors=_tensors(layer, tensors.get(address, ()), prunable.get(address))
        )
        for address, layer in graph.layers.items()
    }
    return replace(graph, layers=MappingProxyType(layers))


def _model_entry(config: Mapping[str, Any], place: str) -> tuple[Entry, bool]:
    if "class_name" in config and isinstance(config.get("config"), Mapping):
        entry, is_bare = config, False
    else:
        entry, is_bare = (
            {
                "class_name": "Functional" if "input_layers" in config else "Sequential",
                "config": config,
            },
            True,
        )
    if not is_model(entry):
        raise GraphError(
            f"{type_of(entry)!r} is not a Functional or Sequential model, its layers are"
            " not in its config; rebuild it with the Functional API",
            place=place,
        )
    return entry, is_bare


def _collect(
    address: str, entry: Entry, place: str, frames: dict[str, Frame], entries: dict[str, Entry]
) -> None:
    """Read the skeleton of a model and of all models in it."""
    frame = frame_from_entry(address, entry, place)
    frames[address] = frame
    for raw in entry["config"]["layers"]:
        inner = frame.address_of(name_of(raw))
        if inner in entries:
            raise GraphError(
                f"two layers have the address {inner!r}; rename one and save the model again",
                place=place,
            )
        entries[inner] = raw
        if is_model(raw):
            _collect(inner, raw, place, frames, entries)


def _in_order(
    address: str, frames: Mapping[str, Frame], orders: Mapping[str, tuple[tuple[int, int], ...]]
) -> Iterable[tuple[str, str]]:
    """Yield (address, address of the container) in the order of `LayerGraph.layers`."""
    frame = frames[address]
    for position in layer_order(frame, orders[address]):
        inner = frame.address_of(frame.members[position].name)
        yield inner, address
        if inner in frames:
            yield from _in_order(inner, frames, orders)


def _layer(
    address: str,
    container: str,
    kind: Kind,
    entry: Entry,
    trainable: bool,
    calls: int,
    produces_output: bool,
    place: str,
) -> Layer:
    wrap = read_wrap(entry, address, place) if is_wrapper(entry) else None
    if wrap is not None:
        entry = entry["config"]["layer"]
        trainable = trainable and bool(entry["config"].get("trainable", True))
    known = known_class(entry)
    if known is not None and has_too_many_inside(entry):
        raise GraphError(
            f"layer {address!r} ({type_of(entry)}) has more than {MAX_INSIDE:,} layers"
            " inside it; no such layer can be built, save the model again",
            place=place,
        )
    return Layer(
        address=address,
        type=same_class(entry),
        entry=entry,
        bases=known.bases if known else (),
        container=container or None,
        kind=kind,
        trainable=trainable,
        wrap=wrap,
        calls=calls,
        produces_output=produces_output,
    )


def _tensors(
    layer: Layer, facts: Iterable[TensorFacts], prunable: Iterable[str] | None
) -> tuple[Tensor, ...]:
    known = (
        {weight.name: weight for weight in weights_of(layer.entry) or ()}
        if layer.kind == "layer"
        else {}
    )
    own = None if prunable is None else frozenset(prunable)
    tensors = []
    for name, shape, dtype in facts:
        if layer.wrap is not None and not layer.wrap.is_attached and is_state(name):
            continue
        weight = known.get(name)
        fits = weight is not None and len(weight.axes) == len(shape)
        may = (
            weight is not None
            and weight.prunable
            and (fits or (INFERRED in layer.entry and not weight.axes))
            and dtype.startswith(FLOATS)
            if own is None
            else name in own
        )
        tensors.append(
            Tensor(name, tuple(shape), dtype, weight.axes if weight and fits else (), may)
        )
    return tuple(tensors)
