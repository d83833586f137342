"""What a model is, whichever Keras wrote its file: layers, arguments and connections.

Settings that are left out have their defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from graphprune.archive.entries import Entry, copy_config, type_of
from graphprune.graph.call_constants import collect_call_constants
from graphprune.graph.classes.applications import find_application
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.completion import complete_config, is_inherited, with_whole_axes
from graphprune.graph.classes.python_code import CODE
from graphprune.graph.computation import Computation, describe_computation
from graphprune.graph.figures import LayerFigures, describe_figures
from graphprune.graph.flow import call_order
from graphprune.graph.frames import Frame, Member
from graphprune.graph.layer_arguments import given_name, name_argument
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.precision import in_float32
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import TensorUse, find_tensor_shapes
from graphprune.nested import rebuild

_CONNECTIONS = frozenset({"input_layers", "output_layers", "inbound_nodes"})
WHEN_BUILT = frozenset(
    {
        "batch_input_shape",
        "build_input_shape",
        "key_shape",
        "query_shape",
        "value_shape",
        "vocabulary_size",
    }
)
"""Settings that may be null or missing until a layer or model is built; not of InputLayers."""


def hash_architecture(graph: LayerGraph) -> str:
    """Return a hash (hex), the same for files of one model whichever Keras wrote them.

    Wrappers are included.

    The code of a Lambda is left out, because another Python version writes other bytecode, and so
    are the inputs of a Sequential model, which Keras once did not write. Inputs and operations that
    the program gave no name are known by their place in the model, since each Keras names them in
    its own way.
    """
    return _hash(_Facts(graph))


def _hash(facts: _Facts) -> str:
    graph = facts.graph
    document: dict[str, Any] = {
        "name": graph.name,
        "frames": [facts.frame(frame) for frame in graph.frames.values()],
        "layers": sorted(
            (
                [facts.names.get(layer.address, layer.address), *facts.layer(layer)]
                for layer in facts.own_layers()
            ),
            key=_digest,
        ),
    }
    if not graph.is_connected:
        document["shapes"] = graph.shapes_inside
    return _digest(document)


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What tells a layer from others, whether it is pruned or not.

    Attributes:
        address: Of the layer.
        settings: A digest of its class, settings and constant arguments.
        inputs: A digest of the tensors that its calls take.
    """

    address: str
    settings: str
    inputs: str


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a model is, apart from how it is pruned; the same for all files of one model.

    Attributes:
        model: A digest of the classes, settings and ends of the model and of those inside it.
        layers: By name, where inputs and operations without a name of their own have a digest of
            what they do.
        computation: What it computes, for files without layers; None where that is not known.
        figures: What its layers hold and compute with, by address; for files without layers.
    """

    model: str
    layers: Mapping[str, LayerFacts]
    computation: Computation | None = None
    figures: Mapping[str, LayerFigures] = field(default_factory=dict)


def fingerprint(graph: LayerGraph) -> tuple[str, Architecture]:
    """Return the results of `hash_architecture` and `describe_architecture`, in one go."""
    facts = _Facts(graph)
    is_wrapped = any(layer.wrap is not None for layer in graph.layers.values())
    return _hash(facts), describe_architecture(graph) if is_wrapped else _describe(facts)


def describe_architecture(graph: LayerGraph) -> Architecture:
    """Return what a model is, layer by layer, so that two can be told apart and compared.

    The code of a Lambda and the inputs of a Sequential model are left out, as by
    `hash_architecture`, and so are wrappers and the precision that a run set.
    """
    graph = in_float32(graph)
    layers = {
        address: layer if layer.wrap is None else replace(layer, wrap=None)
        for address, layer in graph.layers.items()
    }
    return _describe(_Facts(replace(graph, layers=layers)))


def _describe(facts: _Facts) -> Architecture:
    graph = facts.graph
    ends = [facts.frame_ends(frame) for frame in graph.frames.values()]
    shapes = [] if graph.is_connected else [graph.shapes_inside]
    inputs = facts.inputs()
    layers = {}
    for layer in facts.own_layers():
        address = layer.address
        name = _short(facts.names[address]) if address in facts.names else address
        settings, taken = _digest(facts.layer(layer)), _digest(inputs.get(address, []))
        layers[name] = LayerFacts(address, _short(settings), _short(taken))
    computation = describe_computation(graph, facts.shapes)
    figures = describe_figures(graph, facts.constants)
    return Architecture(_short(_digest([*ends, *shapes])), layers, computation, figures)


def _short(digest: str) -> str:
    """Return the beginning of a digest, long enough to tell the layers of one model apart."""
    return digest[:16]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _Facts:
    """What tells the parts of a model apart.

    Attributes:
        graph: The model.
        constants: By address, the arguments of calls that are not tensors.
        names: By address, what stands for the names that Keras gave to inputs and operations.
    """

    def __init__(self, graph: LayerGraph) -> None:
        self.graph = graph
        self.constants = collect_call_constants(graph)
        self.names: dict[str, str] = {}
        self._layers: dict[str, list[Any]] = {}
        for frame in graph.frames.values():
            self._name_members(frame)

    def own_layers(self) -> Iterator[Layer]:
        """Yield the layers that the config has, without the inputs of Sequential models."""
        for layer in self.graph.layers.values():
            if not _is_implied(self.graph, layer) and layer.holder is None:
                yield layer

    def inputs(self) -> dict[str, list[Any]]:
        """Return the tensors that each layer takes, by address."""
        found: dict[str, list[Any]] = {}
        for frame in self.graph.frames.values():
            before: list[Any] = []
            for member in frame.members:
                address = frame.address_of(member.name)
                if not _is_sequential(frame):
                    found[address] = self._uses(frame, member)
                elif self.graph.layers[address].kind != "input":
                    found[address], before = before, [self._name(frame, member.name)]
        return found

    def _name_members(self, frame: Frame) -> None:
        """Name the inputs by their positions, and operations by what they do to which tensors."""
        for index, use in enumerate(frame.inputs):
            address = frame.address_of(use.source)
            if given_name(self.graph.layers[address]):
                self.names[address] = f"input {index}"
        for position, call in call_order(frame, self.graph.name):
            address = frame.address_of(frame.members[position].name)
            layer = self.graph.layers[address]
            if call == 0 and layer.kind == "layer" and given_name(layer):
                uses = self._uses(frame, frame.members[position])
                self.names[address] = _digest([*self.layer(layer), uses])

    def frame(self, frame: Frame) -> list[Any]:
        """Return what a model is apart from its layers: class, settings, and connections."""
        facts = self._frame_facts(frame)
        if _is_sequential(frame):
            addresses = map(frame.address_of, (member.name for member in frame.members))
            kept = [name for name in addresses if self.graph.layers[name].kind != "input"]
            return [*facts, [self.names.get(name, name) for name in kept]]
        uses = [
            [self._name(frame, member.name), *use]
            for member in frame.members
            for use in self._uses(frame, member)
        ]
        return [*facts, sorted(uses), self._ends(frame)]

    def frame_ends(self, frame: Frame) -> list[Any]:
        """Return what a model is apart from its layers: class, settings, inputs and outputs."""
        ends = [] if _is_sequential(frame) else self._ends(frame)
        return [*self._frame_facts(frame), ends]

    def _frame_facts(self, frame: Frame) -> list[Any]:
        settings = _comparable(_settings(frame.entry, names=True, is_model=True))
        return [frame.address, type_of(frame.entry), settings]

    def _ends(self, frame: Frame) -> list[list[list[Any]]]:
        return [
            [[self._name(frame, use.source), use.source_call, use.source_tensor] for use in end]
            for end in (frame.inputs, frame.outputs)
        ]

    def _name(self, frame: Frame, name: str) -> str:
        return self.names.get(frame.address_of(name), name)

    def _uses(self, frame: Frame, member: Member) -> list[list[Any]]:
        """Return the tensors that the calls of a layer take."""
        layer = self.graph.layers[frame.address_of(member.name)]
        return [
            [
                call,
                self._name(frame, use.source),
                use.source_call,
                use.source_tensor,
                name_argument(layer, use),
            ]
            for call, taken in enumerate(member.calls)
            for use in taken
        ]

    def layer(self, layer: Layer) -> list[Any]:
        """Return class, settings and constants of a layer, and how it is pruned."""
        if layer.address not in self._layers:
            self._layers[layer.address] = self._layer(layer)
        return self._layers[layer.address]

    def _layer(self, layer: Layer) -> list[Any]:
        wrap = layer.wrap
        settings = (
            plain_config(layer.entry, names=True)
            if layer.kind == "input"
            else _settings(layer.entry, names=True, is_model=layer.kind == "model")
        )
        return [
            layer.type,
            layer.kind,
            _comparable(with_whole_axes(layer.type, settings, lambda: self._rank(layer))),
            None if wrap is None else [wrap.type, wrap.pruning and wrap.pruning.to_config()],
            self.constants.get(layer.address, {}),
        ]

    def _rank(self, layer: Layer) -> int | None:
        """Return the number of axes of a layer's output: that of its input if it has `axis`."""
        shape = self.shapes.get((layer.address, 0, 0))
        return None if shape is None else len(shape)

    @cached_property
    def shapes(self) -> Mapping[TensorUse, Shape]:
        """The shapes of the model's tensors."""
        return find_tensor_shapes(self.graph)


def _is_sequential(frame: Frame) -> bool:
    return "input_layers" not in frame.entry["config"]


def _is_implied(graph: LayerGraph, layer: Layer) -> bool:
    """Return whether this is the input of a Sequential model."""
    return layer.kind == "input" and _is_sequential(graph.frames[layer.container or ""])


def _comparable(value: Any) -> Any:
    """Return settings without stored code, and without nulls: a missing key is null."""
    return rebuild(
        value,
        lambda mapping: {
            key: item for key, item in mapping.items() if key != CODE and item is not None
        },
    )


def plain_config(entry: Entry, *, names: bool, is_model: bool = False) -> dict[str, Any]:
    """Return a layer's settings without its name, alike in both dialects and all Keras versions.

    Of a model the inner layers and connections are left out: they are layers and connections of the
    graph themselves.

    Args:
        entry: The layer.
        names: Whether layers inside it (of `TimeDistributed`, `Bidirectional`) keep their names.
        is_model: Whether the layer is a model.
    """
    left_out = {"name"} | (_CONNECTIONS | {"layers"} if is_model else frozenset())
    config = {key: value for key, value in entry["config"].items() if key not in left_out}
    added = {"trainable": True} if is_model else {}
    complete = added | complete_config({**entry, "config": config})
    plain: dict[str, Any] = copy_config(complete) if names else rebuild(complete, _without_names)
    return plain


def settings_to_hash(entry: Entry, *, is_model: bool = False) -> dict[str, Any]:
    """Return the settings that tell whether two layers are the same, built or not."""
    found = _settings(entry, names=False, is_model=is_model)
    return {key: value for key, value in found.items() if key != "axis"}


def _settings(entry: Entry, *, names: bool, is_model: bool) -> dict[str, Any]:
    plain = plain_config(entry, names=names, is_model=is_model)
    # a layer of an application is known in some formats only, and has one hash in all of them
    has_defaults = known_class(entry) is not None and not find_application(entry)
    return {
        key: value
        for key, value in plain.items()
        if key not in WHEN_BUILT and (has_defaults or not is_inherited(key, value))
    }


def _without_names(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what is left of a mapping without connections, and of a layer without its name."""
    kept = {key: item for key, item in entry.items() if key not in _CONNECTIONS}
    if "class_name" in kept and isinstance(kept.get("config"), dict):
        kept.pop("name", None)
        kept["config"].pop("name", None)
    return kept
