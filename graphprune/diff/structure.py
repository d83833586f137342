"""The structure of a model: connections, and hashes of layers that do not depend on names.

Everything here is linear in layers and connections.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from graphprune.diff.changes import Connection, End
from graphprune.graph.architecture import settings_to_hash
from graphprune.graph.call_constants import collect_call_constants
from graphprune.graph.frames import Frame
from graphprune.graph.layer_arguments import name_argument
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer

Neighbours = dict[str, list[tuple[str, str]]]


def hash_layers(graph: LayerGraph) -> dict[str, str]:
    """Return for each address a hash of type, settings, tensor shapes and constant arguments.

    The name and the wrapper are left out.
    """
    constants = collect_call_constants(graph)
    return {
        address: _hash_layer(layer, constants.get(address))
        for address, layer in graph.layers.items()
    }


def collect_neighbours(graph: LayerGraph) -> Neighbours:
    """Return for each address the (role, address) of its neighbours.

    These are its producers and consumers, the model around it and the layers inside it.
    """
    around: Neighbours = {address: [] for address in graph.layers}
    for source, target, use in graph.network.edges(data=True):
        place = f"{use['source_tensor']}>{use['argument']}"
        around[target].append((f"takes {place}", source))
        around[source].append((f"gives {place}", target))
    for address, layer in graph.layers.items():
        if layer.container is not None:
            around[address].append(("inside", layer.container))
            around[layer.container].append(("holds", address))
        if layer.holder:
            around[address].append(("inside", layer.holder))
            around[layer.holder].append(("holds", address))
    return around


def refine_labels(
    labels: Mapping[str, str], around: Neighbours, rounds: int
) -> list[dict[str, str]]:
    """Return the labels after 0, 1, ... `rounds` rounds; each adds those of the neighbours.

    These are Weisfeiler-Lehman subgraph hashes (Shervashidze et al., 2011, JMLR 12), told apart by
    the kind of connection; those of networkx know neither direction nor which input an edge goes
    to.
    """
    levels = [dict(labels)]
    for _ in range(rounds):
        last = levels[-1]
        levels.append(
            {
                address: _hash(
                    last[address], *sorted(f"{role} {last[other]}" for role, other in near)
                )
                for address, near in around.items()
            }
        )
    return levels


def hash_positions(graph: LayerGraph, labels: Mapping[str, str]) -> dict[str, str]:
    """Return for each address a hash of the layer with everything before and after it.

    Two whole models that are alike but for names have the same hashes, so these tell whether they
    are, without a search for an isomorphism.
    """
    calls = _build_calls(graph)
    order = list(nx.topological_sort(calls))
    before: dict[tuple[str, int], str] = {}
    for node in order:
        taken = (
            f"{role} {before[source]}"
            for source in calls.predecessors(node)
            for role in calls.edges[source, node]["roles"]
        )
        before[node] = _hash(labels[node[0]], *sorted(taken))
    after: dict[tuple[str, int], str] = {}
    for node in reversed(order):
        given = (
            f"{role} {after[target]}"
            for target in calls.successors(node)
            for role in calls.edges[node, target]["roles"]
        )
        after[node] = _hash(labels[node[0]], *sorted(given))
    parts = defaultdict(list)
    for node in order:
        parts[node[0]].append(before[node] + after[node])
    ends = {address: "" for address in graph.layers}
    for role, addresses in (("input", graph.inputs), ("output", graph.outputs)):
        for index, address in enumerate(addresses):
            ends[address] += f" {role} {index}"
    return {address: _hash(ends[address], *parts[address]) for address in graph.layers}


def _hash_layer(layer: Layer, constants: Any) -> str:
    shapes = [[tensor.name, list(tensor.shape)] for tensor in layer.tensors]
    settings = settings_to_hash(layer.entry, is_model=layer.kind == "model")
    return _hash(layer.type, layer.kind, json.dumps([settings, shapes, constants], sort_keys=True))


def _build_calls(graph: LayerGraph) -> nx.DiGraph[tuple[str, int]]:
    """Return the graph of the calls of all layers, acyclic even if a layer is shared.

    A nested model comes before the layers inside it.
    """
    calls: nx.DiGraph[tuple[str, int]] = nx.DiGraph()
    calls.add_nodes_from((address, 0) for address in graph.layers)
    for source, target, use in graph.network.edges(data=True):
        _add_role(
            calls,
            (source, use["source_call"]),
            (target, use["target_call"]),
            f"{use['source_tensor']}>{use['argument']}",
        )
    for address, layer in graph.layers.items():
        if layer.container is not None:
            _add_role(calls, (layer.container, 0), (address, 0), "holds")
    return calls


def _add_role(
    calls: nx.DiGraph[tuple[str, int]], source: tuple[str, int], target: tuple[str, int], role: str
) -> None:
    if calls.has_edge(source, target):
        calls.edges[source, target]["roles"].append(role)
    else:
        calls.add_edge(source, target, roles=[role])


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()


def count_connections(graph: LayerGraph) -> int:
    """Return the number of connections: each use of a tensor counts."""
    return sum(
        len(uses)
        for frame in graph.frames.values()
        for member in frame.members
        for uses in member.calls
    )


_Fields = tuple[str | None, int, int, str | None, int, str]
"""Those of a `Connection`; tuples are counted in a tenth of the time."""


@dataclass(frozen=True, slots=True)
class ConnectionChanges:
    """The connections that differ, in the right side's names; see `GraphDiff`."""

    added: tuple[Connection, ...]
    removed: tuple[Connection, ...]
    rewired: tuple[str, ...]


_GONE = "\0"
"""Stands behind the name of a layer that only the left side has, if the right has another of it."""


def compare_connections(
    left: LayerGraph, right: LayerGraph, renames: Mapping[str, str]
) -> ConnectionChanges:
    """Return the connections that only one side has, and the layers that take other tensors.

    Args:
        left: The model before.
        right: The model after.
        renames: Address in `right` by address in `left`, of all layers that both have.
    """
    gone = {
        address: address + _GONE
        for address in left.layers
        if address not in renames and address in right.layers
    }
    before, after = (
        Counter(_connections(left, {**renames, **gone})),
        Counter(_connections(right, {})),
    )
    added, removed = list((after - before).elements()), list((before - after).elements())
    paired = {*renames.values(), ""}
    targets = (target or "" for *_, target, _, _ in (*added, *removed))
    return ConnectionChanges(
        tuple(Connection(*fields) for fields in added),
        tuple(_without_mark(fields) for fields in removed),
        tuple(dict.fromkeys(target for target in targets if target in paired)),
    )


def _without_mark(fields: _Fields) -> Connection:
    source, source_call, source_tensor, target, target_call, argument = fields
    names = [None if name is None else name.removesuffix(_GONE) for name in (source, target)]
    ends: Mapping[End, str | None] = {"source": source, "target": target}
    gone = tuple(end for end, name in ends.items() if name is not None and name.endswith(_GONE))
    return Connection(names[0], source_call, source_tensor, names[1], target_call, argument, gone)


def _connections(graph: LayerGraph, renames: Mapping[str, str]) -> Iterator[_Fields]:
    for frame in graph.frames.values():
        model = renames.get(frame.address, frame.address) or None
        addresses = {member.name: frame.address_of(member.name) for member in frame.members}
        names = {name: renames.get(address, address) for name, address in addresses.items()}
        yield from _frame_connections(graph, frame, model, names)


def _frame_connections(
    graph: LayerGraph, frame: Frame, model: str | None, names: Mapping[str, str]
) -> Iterator[_Fields]:
    for index, use in enumerate(frame.inputs):
        yield model, 0, index, names[use.source], use.source_call, "input"
    for member in frame.members:
        name = names[member.name]
        layer = graph.layers[frame.address_of(member.name)]
        for call, uses in enumerate(member.calls):
            for use in uses:
                source = names[use.source]
                argument = name_argument(layer, use)
                yield source, use.source_call, use.source_tensor, name, call, argument
    for index, use in enumerate(frame.outputs):
        source = names[use.source]
        yield source, use.source_call, use.source_tensor, model, 0, f"output {index}"
