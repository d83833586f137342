"""The operations of a serving signature in their order, those of called functions among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from graphprune.archive.files import read_whole
from graphprune.archive.saved_model.folder import GRAPH, MAX_GRAPH
from graphprune.archive.saved_model.graph_def import (
    Function,
    Graph,
    Node,
    read_function,
    read_graph,
)
from graphprune.archive.saved_model.hlo_translation import translate
from graphprune.archive.saved_model.operation import (
    MAX_CALLS,
    MAX_OPERATIONS,
    Body,
    Operation,
    Operations,
    Value,
)
from graphprune.archive.saved_model.protobuf import WireError, messages_in
from graphprune.archive.saved_model.stable_hlo import UnreadModuleError, read_module
from graphprune.archive.saved_model.tensor_bundle import message_damage_named

SIGNATURE = "serving_default"
_INIT = "__saved_model_init_op"
CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))
"""Operations that call a function."""
STABLE_HLO = "XlaCallModule"
"""The operation that has a whole model of JAX or PyTorch, as a module of StableHLO."""
LOOPS = frozenset(("StatelessWhile", "While"))
"""Operations that call a function until another one says that it is enough."""
_SAME = frozenset(("Identity", "StopGradient", "PreventGradient", "Snapshot"))
"""Operations that give what they take."""
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance"),
    "FusedBatchNormV2": ("y", "batch_mean", "batch_variance"),
    "FusedBatchNormV3": ("y", "batch_mean", "batch_variance"),
    "TensorListPopBack": ("output_handle", "tensor"),
    "TopKV2": ("values", "indices"),
    "Unique": ("y", "idx"),
}
"""The results of operations that have several of one each, by name."""


def read_operations(folder: str) -> Operations | None:
    """Return the operations of the signature of a SavedModel; None if it has none.

    Raises:
        ArchiveError: the folder is damaged.
    """
    place = f"{folder}/{GRAPH}"
    with message_damage_named(place):
        graph = read_graph(memoryview(read_whole(place, MAX_GRAPH)))
        names = [] if graph is None else [name for name in graph.signatures if name != _INIT]
        if graph is None or not names:
            return None
        inputs, outputs = graph.signatures[SIGNATURE if SIGNATURE in names else names[0]]
        walk = _Walk(graph)
        walk.take(inputs.values())
        ends = walk.frame(graph.nodes, dict(walk.given), list(outputs.values()), "", 0)
        given = tuple(walk.given.values())
        return Operations(
            folder, walk.operations, walk.values, given, ends, tuple(outputs), walk.unread
        )


@dataclass
class _Walk:
    graph: Graph
    operations: list[Operation] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)
    read: dict[str, Function] = field(default_factory=dict)
    visited: int = 0
    loops: Iterator[int] = field(default_factory=lambda: count(1))
    data: set[int] = field(default_factory=set)
    variables: dict[tuple[tuple[int, ...], str], tuple[int, ...]] = field(default_factory=dict)
    unread: str = ""

    def take(self, inputs: Iterable[str]) -> None:
        """Add the inputs of the signature."""
        for tensor in inputs:
            name = tensor.partition(":")[0]
            node = self.graph.nodes.get(name)
            shapes = () if node is None else node.shapes()
            self.given[name] = self._add(Value(name, shapes[0] if shapes else None))
        self.data |= {*self.given.values()}

    def frame(
        self,
        nodes: Mapping[str, Node],
        known: dict[str, int],
        wanted: Sequence[str],
        prefix: str,
        depth: int,
    ) -> tuple[int, ...]:
        """Add the operations that some tensors need, and return these.

        Args:
            nodes: The operations of the function, or those outside functions.
            known: What the function takes, by name.
            wanted: The tensors, as operations take them.
            prefix: The name of what calls the function.
            depth: How many functions call each other so far.
        """
        if depth > MAX_CALLS:
            raise WireError("functions call each other too often")
        made: dict[str, tuple[int, ...]] = {name: (value,) for name, value in known.items()}
        for node in _in_order(nodes, wanted, set(known)):
            self.visited += 1
            if self.visited > MAX_OPERATIONS:
                raise WireError(f"it has more than {MAX_OPERATIONS:,} operations")
            taken = tuple(_find(made, nodes, each) for each in node.inputs)
            if node.kind in _SAME and taken:
                made[node.name] = taken[:1]
            elif node.kind == "IdentityN":
                made[node.name] = taken
            elif node.kind in CALLS:
                made[node.name] = self._call(node, taken, prefix, depth)
            elif node.kind in LOOPS:
                made[node.name] = self._loop(node, taken, prefix, depth)
            elif node.kind == STABLE_HLO:
                made[node.name] = self._module(node, taken, prefix)
            else:
                made[node.name] = self._operation(node, taken, prefix)
        return tuple(_find(made, nodes, each) for each in wanted)

    def _call(self, node: Node, taken: tuple[int, ...], prefix: str, depth: int) -> tuple[int, ...]:
        function = self._called(node, "f", taken)
        known = dict(zip(function.inputs, taken, strict=True))
        return self.frame(
            function.nodes, known, function.outputs, f"{prefix}{node.name}/", depth + 1
        )

    def _called(self, node: Node, setting: str, taken: tuple[int, ...]) -> Function:
        function = self.function(node.function(setting))
        if len(taken) != len(function.inputs):
            raise WireError(f"{node.name} gives {len(taken)} tensors to {function.name}")
        return function

    def _loop(self, node: Node, taken: tuple[int, ...], prefix: str, depth: int) -> tuple[int, ...]:
        """Add a loop, with the operations of its body as a list of their own."""
        function = self._called(node, "body", taken)
        if len(function.outputs) != len(taken):
            raise WireError(f"{node.name} takes {len(taken)} tensors and gives another number")
        known = {
            name: value if made == name else self._add(Value("", self.values[value].shape))
            for name, made, value in zip(function.inputs, function.outputs, taken, strict=True)
        }
        number, outside, self.operations = next(self.loops), self.operations, []
        name = f"{prefix}{node.name}/"
        ends = self.frame(function.nodes, dict(known), function.outputs, name, depth + 1)
        body = Body(number, self.operations, tuple(known.values()), ends)
        self.operations = outside
        shapes = node.shapes() or (None,) * len(taken)
        outputs = tuple(self._add(Value(prefix + node.name, shape)) for shape in shapes)
        self.operations.append(Operation(prefix + node.name, node, taken, outputs, body))
        if self.data & {*taken}:
            self.data |= {*outputs}
        return outputs

    def _module(self, node: Node, taken: tuple[int, ...], prefix: str) -> tuple[int, ...]:
        """Add the operations of a StableHLO module; it stays one operation if it is not read."""
        for text in messages_in(node.attributes.get("module", memoryview(b"")), 2):
            try:
                module = read_module(text)
            except UnreadModuleError as fault:
                self.unread = str(fault)
                break
            data = self.data & {*taken}
            operations, ends = translate(module, taken, self.values, data, self.loops)
            self.operations += operations
            self.data |= {*ends}
            return ends
        return self._operation(node, taken, prefix)

    def function(self, name: str) -> Function:
        """Return the function of a name."""
        if name not in self.read:
            if name not in self.graph.functions:
                raise WireError(f"it has no function {name!r}")
            self.read[name] = read_function(self.graph.functions[name])
        return self.read[name]

    def _operation(self, node: Node, taken: tuple[int, ...], prefix: str) -> tuple[int, ...]:
        name = prefix + node.name if node.kind != "VarHandleOp" else ""
        read = (taken, name.rsplit("/", 2)[0]) if node.kind == "ReadVariableOp" else None
        if read is not None and read in self.variables:
            return self.variables[read]
        shapes = (node.shape("shape"),) if node.kind == "VarHandleOp" else node.shapes() or (None,)
        outputs = tuple(self._add(Value(name, shape)) for shape in shapes)
        self.operations.append(Operation(name, node, taken, outputs))
        if self.data & {*taken}:
            self.data |= {*outputs}
        if read is not None:
            self.variables[read] = outputs
        return outputs

    def _add(self, value: Value) -> int:
        self.values.append(value)
        return len(self.values) - 1


def _in_order(nodes: Mapping[str, Node], wanted: Sequence[str], known: set[str]) -> Iterator[Node]:
    """Yield the operations that some tensors need, each behind those that it takes."""
    done, open_ = set(known), set[str]()
    for tensor in wanted:
        waiting = [tensor.partition(":")[0]]
        while waiting:
            name = waiting[-1]
            node = nodes.get(name)
            if name in done:
                waiting.pop()
                continue
            if node is None:
                raise WireError(f"it has no operation {name!r}")
            sources = {each.partition(":")[0] for each in node.inputs} - done
            if not sources:
                done.add(waiting.pop())
                open_.discard(name)
                yield node
                continue
            if name in open_:
                raise WireError(f"the operation {name!r} takes what is made of it")
            open_.add(name)
            waiting += sorted(sources, reverse=True)


def _find(made: Mapping[str, tuple[int, ...]], nodes: Mapping[str, Node], tensor: str) -> int:
    """Return the value that a text names: `node`, `node:1`, `node:output:1`."""
    name, *parts = tensor.split(":")
    outputs, place = made[name], int(parts[-1]) if parts and parts[-1].isdigit() else 0
    if len(parts) == 2:
        named = _OUTPUTS.get(nodes[name].kind, ()) if name in nodes else ()
        place = named.index(parts[0]) if parts[0] in named else place
    if place >= len(outputs):
        raise WireError(f"it has no tensor {tensor!r}")
    return outputs[place]
