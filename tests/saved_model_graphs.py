"""Graphs of exported SavedModels, written without TensorFlow: operations, functions, signatures."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from saved_model_files import field as wire
from saved_model_files import varint

TYPES = {"float32": 1, "int32": 3, "int64": 9, "bool": 10}
Shape = Sequence[int]
"""A shape, with -1 for open lengths."""


def _entry(key: str, value: bytes) -> bytes:
    return wire(1, key) + wire(2, value)


def _signed(value: int) -> bytes:
    return varint(value % 2**64)


def _shape(lengths: Shape) -> bytes:
    return b"".join(wire(2, varint(1 << 3) + _signed(length)) for length in lengths)


def _attribute(value: Any) -> bytes:
    if isinstance(value, bool):
        return wire(5, int(value))
    if isinstance(value, int):
        return varint(3 << 3) + _signed(value)
    if isinstance(value, float):
        return varint(4 << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, bytes):
        return wire(2, value)
    if isinstance(value, str):
        return wire(10, wire(1, value[1:])) if value.startswith("@") else wire(2, value)
    if isinstance(value, np.ndarray):
        content = wire(1, TYPES[value.dtype.name]) + wire(2, _shape(value.shape))
        return wire(8, content + wire(4, value.tobytes()))
    return wire(1, wire(3, b"".join(map(_signed, value))))


def node(
    name: str, kind: str, inputs: Sequence[str] = (), shape: Shape | None = None, **settings: Any
) -> bytes:
    """Return an operation; a text that begins with @ is the name of a function."""
    message = wire(1, name) + wire(2, kind) + b"".join(wire(3, each) for each in inputs)
    attributes = {key: _attribute(value) for key, value in settings.items()}
    if shape is not None:
        attributes["_output_shapes"] = wire(1, wire(7, _shape(shape)))
        if kind == "VarHandleOp":
            attributes["shape"] = wire(7, _shape(shape))
    return message + b"".join(wire(5, _entry(*pair)) for pair in attributes.items())


def function(
    name: str, inputs: Sequence[str], outputs: Mapping[str, str], nodes: Sequence[bytes]
) -> bytes:
    """Return a function: what it calls the tensors that it takes, and what it returns by name."""
    signature = wire(1, name) + b"".join(wire(2, wire(1, each)) for each in inputs)
    signature += b"".join(wire(3, wire(1, each)) for each in outputs)
    returned = b"".join(wire(4, _entry(*pair)) for pair in _bytes_of(outputs).items())
    return wire(1, signature) + b"".join(wire(3, each) for each in nodes) + returned


def _bytes_of(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {key: text.encode() for key, text in texts.items()}


def write_graph(
    folder: Path,
    nodes: Sequence[bytes],
    functions: Sequence[bytes] = (),
    *,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
) -> str:
    """Write `saved_model.pb` with one signature, whose tensors have these names, in a folder."""
    library = b"".join(wire(1, each) for each in functions)
    graph = b"".join(wire(1, each) for each in nodes) + wire(2, library)
    ends = (
        b"".join(wire(number, _entry(key, wire(1, tensor))) for key, tensor in each.items())
        for number, each in ((1, inputs), (2, outputs))
    )
    signature = _entry("serving_default", b"".join(ends))
    root = wire(1, wire(2, "_endpoint_names"))
    meta = wire(2, graph) + wire(5, signature) + wire(7, wire(1, root))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(wire(2, meta))
    return str(folder)


@dataclass
class Exported:
    """An exported model in the making: a function that the function of the signature calls.

    Attributes:
        nodes: The operations of the inner function.
        variables: The shapes of the variables, by the names that the function has for them.
        functions: The functions that its operations call.
    """

    nodes: list[bytes] = field(default_factory=list)
    variables: dict[str, Shape] = field(default_factory=dict)
    functions: list[bytes] = field(default_factory=list)

    def add(self, name: str, kind: str, *inputs: str, shape: Shape = (), **settings: Any) -> str:
        """Add an operation, and return its result."""
        self.nodes.append(node(name, kind, inputs, shape, **settings))
        return f"{name}:output:0"

    def constant(self, name: str, values: Any) -> str:
        """Add a constant, whole numbers of 32 bits unless it is an array, and return it."""
        array = values if isinstance(values, np.ndarray) else np.array(values, "int32")
        return self.add(name, "Const", shape=array.shape, value=array)

    def variable(self, name: str, *shape: int) -> str:
        """Read a variable, and return its value."""
        given = name.replace("/", "_").lower() + "_resource"
        self.variables[given] = shape
        return self.add(f"{name}/ReadVariableOp", "ReadVariableOp", given, shape=shape)

    def recurrence(
        self,
        name: str,
        x: str,
        *,
        state: str = "zeros",
        kind: str = "Tanh",
        given: int | None = None,
        mask: str = "",
    ) -> str:
        """Add a loop over a sequence of 3 values at each place, and return its states of 5 values.

        Args:
            name: The layer.
            x: The sequence, time first.
            state: What it begins with: `zeros`, or the name of a variable of a stateful layer.
            kind: The activation.
            given: How many tensors the loop gives to its body; all that it takes without.
            mask: A mask, time first, behind which the results of other steps are zero, as tf_keras
                writes them; none without.
        """
        ends = ["time", "results", "state", "sequence", "kernel", "recurrent"]
        ends += ["mask", "nothing"] if mask else []
        kernels = [f"{name}_kernel", f"{name}_recurrent"]
        self.variables |= dict(zip(kernels, ((3, 5), (5, 5)), strict=True))
        inner = Exported()
        item = inner.add(
            "item", "TensorListGetItem", "sequence", "time", shape=(-1, 3), element_dtype=1
        )
        first, second = (
            inner.add(f"{each}/Read", "ReadVariableOp", each, shape=(width, 5))
            for each, width in (("kernel", 3), ("recurrent", 5))
        )
        products = [
            inner.add(f"{name}/MatMul", "MatMul", item, first, shape=(-1, 5)),
            inner.add(f"{name}/MatMul_1", "MatMul", "state", second, shape=(-1, 5)),
        ]
        made = inner.add(f"{name}/add", "AddV2", *products, shape=(-1, 5), T=1)
        made = inner.add(f"{name}/{kind}", kind, made, shape=(-1, 5), T=1)
        result = made
        if mask:
            part = inner.add(
                "kept", "TensorListGetItem", "mask", "time", shape=(-1, 1), element_dtype=10
            )
            times = inner.constant("times", [1, 1])
            part = inner.add("spread", "Tile", part, times, shape=(-1, 1), T=10)
            choices = [(part, made, before) for before in ("nothing", "state")]
            result, made = (
                inner.add(f"chosen{number}", "SelectV2", *choice, shape=(-1, 5), T=1)
                for number, choice in enumerate(choices)
            )
        written = inner.add("write", "TensorListSetItem", "results", "time", result)
        later = inner.add("next", "AddV2", "time", inner.constant("one", 1), T=3)
        made_ends = (later, written, made, *ends[3:])
        returned = {f"{each}_out": end for each, end in zip(ends, made_ends, strict=True)}
        self.functions.append(function(f"{name}_body", ends, returned, inner.nodes))
        if state == "zeros":
            number = self.constant(f"{name}/zero", np.zeros((), "float32"))
            lengths = self.constant(f"{name}/lengths", [2, 5])
            begun = self.add(f"{name}/zeros", "Fill", lengths, number, shape=(2, 5))
        else:
            begun = self.variable(state, 2, 5)
        taken = [
            self.constant(f"{name}/start", 0),
            self.add(f"{name}/results", "TensorListReserve", self.constant(f"{name}/n", 4)),
            begun,
            self.add(f"{name}/parts", "TensorListFromTensor", x),
            *kernels,
        ]
        shapes: list[Shape] = [(), (), (2, 5), (), (), ()]
        if mask:
            taken.append(self.add(f"{name}/marks", "TensorListFromTensor", mask))
            last = self.add(f"{name}/last", "Tanh", x, shape=(-1, 5), T=1)
            taken.append(self.add(f"{name}/nothing", "ZerosLike", last, shape=(-1, 5), T=1))
            shapes += [(), (-1, 5)]
        message = node(f"{name}/while", "While", taken[:given], body=f"@{name}_body")
        listed = wire(1, b"".join(wire(7, _shape(shape)) for shape in shapes))
        self.nodes.append(message + wire(5, _entry("_output_shapes", listed)))
        results = f"{name}/while:output:1"
        return self.add(f"{name}/stack", "TensorListStack", results, shape=(4, 2, 5))

    def write(self, folder: Path, shape: Shape, output: str | Mapping[str, str]) -> str:
        """Write the folder of a model that takes one tensor, `x`, and return its path.

        Several outputs have names.
        """
        outputs = {"out": output} if isinstance(output, str) else output
        names = ["x", *self.variables]
        outer = node("StatefulPartitionedCall", "StatefulPartitionedCall", names, f="@inner")
        functions = [
            *self.functions,
            function("inner", names, outputs, self.nodes),
            function(
                "outer",
                names,
                {
                    name: f"StatefulPartitionedCall:output:{place}"
                    for place, name in enumerate(outputs)
                },
                [outer],
            ),
        ]
        nodes = [node("serving_default_x", "Placeholder", shape=shape)]
        nodes += [node(key, "VarHandleOp", shape=each) for key, each in self.variables.items()]
        taken = ["serving_default_x", *self.variables]
        nodes.append(node("StatefulPartitionedCall", "StatefulPartitionedCall", taken, f="@outer"))
        return write_graph(
            folder,
            nodes,
            functions,
            inputs={"x": "serving_default_x:0"},
            outputs={
                name: f"StatefulPartitionedCall:{place}" for place, name in enumerate(outputs)
            },
        )
