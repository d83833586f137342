"""What a model is, whichever Keras wrote its file: layers, arguments and connections.

Settings that are left out have their defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from graphprune.archive.calls import CONSTANT
from graphprune.archive.entries import Entry, canonical, copy_config, type_of
from graphprune.archive.op_layers import find_operation, plain_keywords
from graphprune.archive.operations import Operation
from graphprune.graph.classes.builtin_layers import known_class
from graphprune.graph.classes.completion import complete_config, is_inherited
from graphprune.graph.classes.python_code import CODE
from graphprune.graph.frames import Frame
from graphprune.graph.layer_arguments import name_argument
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
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


_NOTHING: tuple[Any, ...] = (None, {}, [])


def hash_architecture(graph: LayerGraph) -> str:
    """Return a hash (hex), the same for files of one model whichever Keras version wrote them.

    Wrappers are included.

    The code of a Lambda is left out, because another Python version writes other bytecode, and so
    are the inputs of a Sequential model, which Keras once did not write.
    """
    document = {
        "name": graph.name,
        "frames": [_frame_facts(graph, frame) for frame in graph.frames.values()],
        "layers": {
            address: _layer_facts(layer)
            for address, layer in graph.layers.items()
            if not _is_implied(graph, layer) and layer.holder is None
        },
        "constants": collect_call_constants(graph),
    }
    if not graph.is_connected:
        document["shapes"] = graph.shapes_inside
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _frame_facts(graph: LayerGraph, frame: Frame) -> list[Any]:
    """Return what a model is apart from its layers: its class and settings, and its connections."""
    facts = [
        frame.address,
        type_of(frame.entry),
        _without_code(_settings(frame.entry, names=True, is_model=True)),
    ]
    if _is_sequential(frame):
        addresses = map(frame.address_of, (member.name for member in frame.members))
        return [*facts, [name for name in addresses if graph.layers[name].kind != "input"]]
    uses = [
        [
            member.name,
            call,
            use.source,
            use.source_call,
            use.source_tensor,
            name_argument(graph.layers[frame.address_of(member.name)], use),
        ]
        for member in frame.members
        for call, taken in enumerate(member.calls)
        for use in taken
    ]
    ends = [
        [[use.source, use.source_call, use.source_tensor] for use in end]
        for end in (frame.inputs, frame.outputs)
    ]
    return [*facts, sorted(uses), ends]


def _is_sequential(frame: Frame) -> bool:
    return "input_layers" not in frame.entry["config"]


def _is_implied(graph: LayerGraph, layer: Layer) -> bool:
    """Return whether this is the input of a Sequential model."""
    return layer.kind == "input" and _is_sequential(graph.frames[layer.container or ""])


def _layer_facts(layer: Layer) -> list[Any]:
    wrap = layer.wrap
    return [
        layer.type,
        layer.kind,
        _without_code(
            plain_config(layer.entry, names=True)
            if layer.kind == "input"
            else _settings(layer.entry, names=True, is_model=layer.kind == "model")
        ),
        None if wrap is None else [wrap.type, wrap.pruning and wrap.pruning.to_config()],
    ]


def _without_code(value: Any) -> Any:
    return rebuild(
        value, lambda mapping: {key: item for key, item in mapping.items() if key != CODE}
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
    is_custom = known_class(entry) is None
    return {
        key: value
        for key, value in plain.items()
        if key not in WHEN_BUILT and not (is_custom and is_inherited(key, value))
    }


def _without_names(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what is left of a mapping without connections, and of a layer without its name."""
    kept = {key: item for key, item in entry.items() if key not in _CONNECTIONS}
    if "class_name" in kept and isinstance(kept.get("config"), dict):
        kept.pop("name", None)
        kept["config"].pop("name", None)
    return kept


def collect_call_constants(graph: LayerGraph) -> dict[str, dict[str, Any]]:
    """Return the arguments of calls that are not tensors (`y` of `x * 2.0`), by layer and call."""
    found: dict[str, dict[str, Any]] = {}
    for frame in graph.frames.values():
        for member in frame.members:
            layer = graph.layers[frame.address_of(member.name)]
            operation = None if layer.kind == "model" else find_operation(layer.entry)
            calls = {
                str(call): _constants(node, operation)
                for call, node in enumerate(member.placement.get("inbound_nodes") or ())
            }
            kept = {
                call: constants for call, constants in calls.items() if constants not in _NOTHING
            }
            if kept:
                found[layer.address] = kept
    return found


def _constants(node: Any, operation: Operation | str | None = None) -> Any:
    """Return the constants of an inbound node as they are nested, without tensors.

    Empty parts are left out, and keywords at which an operation has its default.
    """
    if (
        isinstance(node, list | tuple)
        and len(node) in (3, 4)
        and isinstance(node[0], str)
        and type(node[1]) is int
    ):
        if node[0] == CONSTANT:
            return canonical(node[2])
        keywords = node[3] if len(node) == 4 else None
        if isinstance(operation, Operation) and isinstance(keywords, Mapping):
            keywords = plain_keywords(operation, keywords)
        return _constants(keywords)
    if isinstance(node, Mapping):
        parts = {str(key): _constants(item) for key, item in node.items()}
        return {key: item for key, item in parts.items() if item not in _NOTHING}
    if isinstance(node, list | tuple):
        items = (_constants(item, operation) for item in node)
        return [item for item in items if item not in _NOTHING]
    return canonical(node)
