"""The arguments of calls that are not tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.archive.calls import CONSTANT
from graphprune.archive.entries import canonical
from graphprune.archive.op_layers import find_operation, plain_keywords
from graphprune.archive.operations import Operation
from graphprune.graph.layer_graph import LayerGraph

_NOTHING: tuple[Any, ...] = (None, {}, [])


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
    if _is_reference(node):
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
        found: list[Any] = []
        for item in node:
            constants = _constants(item, operation)
            is_told = _is_reference(item) and item[0] != CONSTANT and constants in found
            if constants not in _NOTHING and not is_told:  # each tensor has the same keywords
                found.append(constants)
        return found
    return canonical(node)


def _is_reference(node: Any) -> bool:
    """Return whether an item of an inbound node is a tensor or constant with its keywords."""
    is_item = isinstance(node, list | tuple) and len(node) in (3, 4)
    return is_item and isinstance(node[0], str) and type(node[1]) is int
