"""How the layers of a model are connected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from graphprune.diff.changes import Connection
from graphprune.graph.frames import Frame
from graphprune.graph.layer_graph import LayerGraph


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
