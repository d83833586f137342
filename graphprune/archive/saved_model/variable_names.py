"""Names of variables that have none, as those that Keras 3 exports on JAX.

The folder says which variable is restored from which tensor, and its operations say which layer
takes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from graphprune.archive.files import read_whole
from graphprune.archive.saved_model.exported import ExportedVariables
from graphprune.archive.saved_model.folder import GRAPH, MAX_GRAPH
from graphprune.archive.saved_model.graph_def import Graph, Node, read_function, read_graph
from graphprune.archive.saved_model.operation import Operation, Operations
from graphprune.archive.saved_model.operations import CALLS
from graphprune.archive.saved_model.protobuf import messages_in
from graphprune.archive.saved_model.tensor_bundle import message_damage_named

_RESTORE, _ASSIGN, _VARIABLE = "RestoreV2", "AssignVariableOp", "VarHandleOp"
_TEXTS = 8
"""The field of a TensorProto with texts."""
_NUMBER = re.compile(r"_\d+$")


def named_by_use(exported: ExportedVariables, operations: Operations) -> ExportedVariables:
    """Return variables with the names of the layers that take them, where theirs tell no layer.

    Raises:
        ArchiveError: the folder is damaged.
    """
    if any("/" in name for name in exported.keys):
        return exported
    every = {*exported.keys.values(), *exported.nameless}
    place = f"{exported.path}/{GRAPH}"
    with message_damage_named(place):
        graph = read_graph(memoryview(read_whole(place, MAX_GRAPH)))
        keys = {} if graph is None else _restored_keys(graph)
    uses: dict[str, list[str]] = {}
    for variable, layer in _layers_of(operations).items():
        key = keys.get(variable)
        if key in every:
            uses.setdefault(f"{layer}/{_NUMBER.sub('', variable)}", []).append(key)
    named = {name: found[0] for name, found in uses.items() if len(found) == 1}
    nameless = tuple(sorted(every - {*named.values()}))
    return replace(exported, keys=named, nameless=nameless)


def _restored_keys(graph: Graph) -> Mapping[str, str]:
    """Return the key in the checkpoint of each variable, by the name of its operation."""
    for node in graph.nodes.values():
        if node.kind not in CALLS or node.function("f") not in graph.functions:
            continue
        function = read_function(graph.functions[node.function("f")])
        restore = next((one for one in function.nodes.values() if one.kind == _RESTORE), None)
        if restore is not None:
            given = dict(zip(function.inputs, node.inputs, strict=False))
            return dict(_assigned(function.nodes, restore, given))
    return {}


def _assigned(
    nodes: Mapping[str, Node], restore: Node, given: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the operation of each variable that a function assigns, and the key of its value."""
    told = nodes.get(restore.inputs[1].partition(":")[0]) if len(restore.inputs) > 1 else None
    keys = [] if told is None else _texts(told)
    for node in nodes.values():
        if node.kind != _ASSIGN or len(node.inputs) < 2:
            continue
        variable, value = node.inputs[:2]
        source = nodes.get(value.partition(":")[0])
        taken = value if source is None or not source.inputs else source.inputs[0]
        name, _, place = taken.partition(":")
        number = place.rpartition(":")[2] or "0"
        if name == restore.name and number.isdigit() and int(number) < len(keys):
            yield given.get(variable, variable), keys[int(number)]


def _texts(node: Node) -> list[str]:
    """Return the texts of a constant."""
    tensors = messages_in(node.attributes.get("value", memoryview(b"")), _TEXTS)
    return [
        bytes(text).decode(errors="replace")
        for tensor in tensors
        for text in messages_in(tensor, _TEXTS)
    ]


def _layers_of(operations: Operations) -> Mapping[str, str]:
    """Return the names of the layers that take each variable first, by the variable."""
    found: dict[str, str] = {}
    _follow(operations.operations, {}, set(), found)
    return found


def _follow(
    operations: Sequence[Operation], of: dict[int, str], plain: set[int], found: dict[str, str]
) -> None:
    """Note what takes variables, or what is made of one alone.

    Args:
        operations: The operations.
        of: The variable that values are made of alone; it grows.
        plain: The values that are made of constants alone; they grow.
        found: The layers of variables; they grow.
    """
    for one in operations:
        if one.node.kind == _VARIABLE and one.node.name:
            of[one.outputs[0]] = one.node.name
            continue
        taken = {index for index in one.inputs if index not in plain}
        variables = {of[index] for index in taken if index in of}
        if not taken:
            plain |= {*one.outputs}
        elif len(variables) == 1 and taken <= of.keys():
            of |= dict.fromkeys(one.outputs, next(iter(variables)))
        else:
            if one.body is not None:
                _follow(one.body.operations, of, plain, found)
            layer = one.name.rpartition("/")[0]
            for variable in sorted(variables if layer else ()):
                found.setdefault(variable, layer)
