"""How the layers of a model are called: which tensors they take, and what else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from graphprune.diff.changes import Connection
from graphprune.graph.entries import canonical
from graphprune.graph.frames import CONSTANT, Frame
from graphprune.graph.layer_graph import LayerGraph

_NOTHING: tuple[Any, ...] = (None, {}, [])


def compare_connections(
    left: LayerGraph, right: LayerGraph, renames: Mapping[str, str]
) -> tuple[tuple[Connection, ...], tuple[Connection, ...]]:
    """Return the connections that only `right` has and those that only `left` has, the latter by
    the names that its layers have in `right`.

    Args:
        left: The model before.
        right: The model after.
        renames: Address in `right` by address in `left`, of all layers that both have.
    """
    before, after = Counter(_connections(left, renames)), Counter(_connections(right, {}))
    return tuple((after - before).elements()), tuple((before - after).elements())


def collect_call_constants(graph: LayerGraph) -> dict[str, dict[str, Any]]:
    """Return, for each layer that is called with more than tensors (`y` of `x * 2.0`), these
    arguments by call index.
    """
    found: dict[str, dict[str, Any]] = {}
    for frame in graph.frames.values():
        for member in frame.members:
            calls = {
                str(call): _constants(node)
                for call, node in enumerate(member.placement.get("inbound_nodes") or ())
            }
            kept = {
                call: constants for call, constants in calls.items() if constants not in _NOTHING
            }
            if kept:
                found[frame.address_of(member.name)] = kept
    return found


def _connections(graph: LayerGraph, renames: Mapping[str, str]) -> Iterator[Connection]:
    for frame in graph.frames.values():
        model = renames.get(frame.address, frame.address) or None
        names = {
            member.name: renames.get(frame.address_of(member.name), frame.address_of(member.name))
            for member in frame.members
        }
        yield from _frame_connections(frame, model, names)


def _frame_connections(
    frame: Frame, model: str | None, names: Mapping[str, str]
) -> Iterator[Connection]:
    for index, use in enumerate(frame.inputs):
        yield Connection(model, 0, index, names[use.source], use.source_call, "input")
    for member in frame.members:
        for call, uses in enumerate(member.calls):
            for use in uses:
                yield Connection(
                    names[use.source],
                    use.source_call,
                    use.source_tensor,
                    names[member.name],
                    call,
                    use.argument,
                )
    for index, use in enumerate(frame.outputs):
        yield Connection(
            names[use.source], use.source_call, use.source_tensor, model, 0, f"output {index}"
        )


def _constants(node: Any) -> Any:
    """Return an inbound node without the tensors in it: the constants, in the nesting that they
    stand in; empty parts are left out.
    """
    if (
        isinstance(node, list | tuple)
        and len(node) in (3, 4)
        and isinstance(node[0], str)
        and type(node[1]) is int
    ):
        if node[0] == CONSTANT:
            return canonical(node[2])
        return _constants(node[3]) if len(node) == 4 else None
    if isinstance(node, Mapping):
        parts = {str(key): _constants(item) for key, item in node.items()}
        return {key: item for key, item in parts.items() if item not in _NOTHING}
    if isinstance(node, list | tuple):
        return [item for item in map(_constants, node) if item not in _NOTHING]
    return canonical(node)
