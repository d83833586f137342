"""Layers with weights that no rule can reach, and why.

These are layers that hold a model (TimeDistributed of a model), which is not part of the graph but
has a graph of its own, and the layers of models that were never built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphprune.archive import StoredTensor
from graphprune.archive.entries import Entry, is_model
from graphprune.errors import GraphError
from graphprune.graph.classes.builtin_layers import known_class, weights_of
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Layer

INSIDE = "layer"
"""The attribute in which wrappers keep what they wrap."""


@dataclass(frozen=True, slots=True)
class HeldGraph:
    """The graph of a model inside a layer, and the path of attributes that leads to it.

    The path is `layer`, or several where wrappers wrap wrappers.
    """

    path: tuple[str, ...]
    graph: LayerGraph

    @property
    def prefix(self) -> str:
        """The prefix of the model's weight names in the holding layer; an address follows."""
        return f"{'.'.join(self.path)}."

    def join(self, located: Mapping[str, Mapping[str, StoredTensor]]) -> dict[str, StoredTensor]:
        """Return the weights of the held model's layers as those of the holding layer.

        A weight that several layers share is listed for the first of them.
        """
        found = (
            (f"{self.prefix}{address}.{name}", tensor)
            for address, named in located.items()
            for name, tensor in named.items()
        )
        by_place: dict[str, tuple[str, StoredTensor]] = {}
        for name, tensor in found:
            by_place.setdefault(tensor.path, (name, tensor))
        return dict(by_place.values())


def find_held_graph(layer: Layer) -> HeldGraph | None:
    """Return the graph of the model inside the layer; None where it has none, or a damaged one."""
    path, inner = find_held_entry(layer)
    if inner is None:
        return None
    try:
        return HeldGraph(path, graph_from_config(inner))
    except GraphError:
        return None


def find_held_entry(layer: Layer) -> tuple[tuple[str, ...], Entry | None]:
    """Return where the layer holds a model, through wrappers in wrappers, and its entry."""
    path: tuple[str, ...] = ()
    inner = layer.config.get(INSIDE) if layer.kind == "layer" else None
    while (
        isinstance(inner, Mapping)
        and isinstance(inner.get("class_name"), str)
        and isinstance(inner.get("config"), Mapping)
    ):
        path += (INSIDE,)
        if is_model(inner):
            return path, inner
        inner = inner["config"].get(INSIDE)
    return path, None


_WAY_OUT = "call it once on data or give it an Input, and save it again"
NEVER_BUILT = f"the model was never built, so its weights are unknown; {_WAY_OUT}"
QUANTIZED = (
    "holds integers with scales in place of its matrix, which cannot be pruned; prune the model"
    " before it is quantized"
)
BY_NAME = (
    "holds weights of layers inside it, which an .h5 file tells by the names of these layers and"
    " not by their paths; save the model as .keras, where rules name each of them"
)
_SHAPES = ("batch_input_shape", "batch_shape", "input_shape", "input_dim", "build_config")
"""Keys of a Sequential model's first layer that give the shape of its input, in any dialect."""


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model inside a layer: its name, the number of its weights, and the names of its layers."""

    name: str
    weights: int
    layers: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why rules reach none of its weights, and what to do.

        The text follows the name of the layer that holds the model.
        """
        weights = f"{self.weights:,} weight{'' if self.weights == 1 else 's'}"
        return (
            f"holds {weights} inside the model {self.name!r} that rules cannot reach; apply the"
            " rules to that model by itself"
        )


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """A layer with weights that rules cannot claim, and the reason, with what to do."""

    address: str
    type: str
    reason: str


def find_held_model(layer: Layer) -> HeldModel | None:
    """Return the model with weights that the layer wraps, if rules reach none of them.

    Example:
        >>> from graphprune.graph.layers import Tensor
        >>> inner = {"class_name": "Sequential", "config": {"name": "frame_model", "layers": []}}
        >>> entry = {"class_name": "TimeDistributed", "config": {"layer": inner}}
        >>> find_held_model(
        ...     Layer(
        ...         "frames",
        ...         "TimeDistributed",
        ...         entry,
        ...         tensors=(Tensor("layer.fc.kernel", (144, 5)),),
        ...     )
        ... )
        HeldModel(name='frame_model', weights=720, layers=())
    """
    _, inner = find_held_entry(layer)
    if inner is None or not layer.tensors or layer.is_candidate:
        return None
    members = [
        entry.get("config") for entry in inner["config"]["layers"] if isinstance(entry, Mapping)
    ]
    names = [
        str(config["name"])
        for config in members
        if isinstance(config, Mapping) and "name" in config
    ]
    return HeldModel(
        str(inner["config"].get("name", "")),
        sum(tensor.size for tensor in layer.tensors),
        tuple(names),
    )


def is_never_built(graph: LayerGraph) -> bool:
    """Return whether this is a Sequential model without an input shape, so without weights."""
    frame = graph.frames[""]
    config = frame.entry["config"]
    if not graph.is_connected:
        return False
    if "input_layers" in config or frame.inputs or config.get("build_input_shape") is not None:
        return False
    known = (graph.layers[frame.address_of(member.name)] for member in frame.members)
    return not any(
        layer.tensors
        or any(layer.config.get(key, layer.entry.get(key)) is not None for key in _SHAPES)
        for layer in known
    )


def find_out_of_reach(graph: LayerGraph) -> tuple[OutOfReach, ...]:
    """Return the layers that rules cannot reach, in the graph's order.

    Of a model that was never built, these are all layers that would have weights.
    """
    unbuilt = is_never_built(graph)
    return tuple(
        found
        for layer in graph.layers.values()
        if (found := _judge(graph, layer, unbuilt=unbuilt)) is not None
    )


def explain_out_of_reach(graph: LayerGraph, address: str) -> str:
    """Return why rules cannot reach the layer at or around `address`; empty where they can."""
    parts = address.split(SEPARATOR)
    around = (
        graph.layers.get(SEPARATOR.join(parts[:length])) for length in range(1, len(parts) + 1)
    )
    unbuilt = is_never_built(graph)
    found = next(
        (
            judged
            for layer in around
            if layer is not None and (judged := _judge(graph, layer, unbuilt=unbuilt)) is not None
        ),
        None,
    )
    return "" if found is None else describe_out_of_reach((found,))[0].removesuffix(".")


def _judge(graph: LayerGraph, layer: Layer, *, unbuilt: bool) -> OutOfReach | None:
    held = find_held_model(layer)
    if held is not None:
        return OutOfReach(layer.address, layer.type, held.reason)
    if unbuilt and _awaits_weights(layer):
        return OutOfReach(layer.address, layer.type, NEVER_BUILT)
    if is_quantized(layer):
        return OutOfReach(layer.address, layer.type, QUANTIZED)
    if graph.keras == 3 and _holds_layers(layer):
        return OutOfReach(layer.address, layer.type, BY_NAME)
    return None


def _holds_layers(layer: Layer) -> bool:
    """Return whether a custom layer has the weights of layers inside it among its own.

    Of a `.keras` file of Keras 3 these layers are layers of the graph.
    """
    is_custom = layer.kind == "layer" and known_class(layer.entry) is None
    is_of_hdf5 = "module" not in layer.entry
    return is_custom and is_of_hdf5 and any("." in tensor.name for tensor in layer.tensors)


def is_quantized(layer: Layer) -> bool:
    """Return whether Keras 3 has quantized all matrices of a layer to integers.

    Example:
        >>> from graphprune.graph.layers import Tensor
        >>> matrix, scale = Tensor("kernel", (8, 4), "int8"), Tensor("kernel_scale", (4,))
        >>> entry = {"class_name": "Dense", "config": {}}
        >>> is_quantized(Layer("fc", "Dense", entry, tensors=(matrix, scale)))
        True
    """
    names = {tensor.name for tensor in layer.tensors}
    return not layer.is_candidate and any(
        tensor.dtype.startswith(("int", "uint"))
        and f"{tensor.name.replace('quantized_', '')}_scale" in names
        for tensor in layer.tensors
    )


def describe_out_of_reach(unreached: Sequence[OutOfReach]) -> tuple[str, ...]:
    """Return one sentence a layer, in their order; one for all of one kind.

    Kinds are layers of a model that was never built, and quantized ones.
    """
    unbuilt = sum(layer.reason == NEVER_BUILT for layer in unreached)
    weights = f"the weights and zeros of {unbuilt:,} layer{'' if unbuilt == 1 else 's'} are unknown"
    first = [f"The model was never built, so {weights}; {_WAY_OUT}."] if unbuilt else []
    quantized = [layer for layer in unreached if layer.reason == QUANTIZED]
    if len(quantized) > 1:
        first.append(
            f"{len(quantized):,} layers are quantized: they hold integers with scales, which cannot"
            " be pruned; prune the model before it is quantized."
        )
    return (
        *first,
        *(
            f"{layer.address} ({layer.type}) {layer.reason}."
            for layer in unreached
            if layer.reason != NEVER_BUILT and not (len(quantized) > 1 and layer in quantized)
        ),
    )


def _awaits_weights(layer: Layer) -> bool:
    """Return whether the layer would have weights once built, as far as its class is known."""
    if layer.kind != "layer" or layer.tensors:
        return False
    return find_held_entry(layer)[1] is not None or bool(weights_of(layer.entry))
