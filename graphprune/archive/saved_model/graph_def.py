"""The operations of a SavedModel: its signatures, and the functions that these call.

See tensorflow/core/protobuf/meta_graph.proto, and graph.proto, function.proto, node_def.proto,
attr_value.proto and tensor.proto of tensorflow/core/framework.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.archive import widen_bfloat16
from graphprune.archive.saved_model.protobuf import (
    Field,
    WireError,
    messages_in,
    numbers_of,
    read_fields,
    read_varint,
    texts_of,
)
from graphprune.archive.saved_model.tensor_bundle import DTYPES

Lengths = tuple[int | None, ...]
"""A shape; None for lengths that are open."""
MAX_CONSTANT = 2**24
"""Values of a constant that is read."""
_VALUES = {1: 5, 2: 6, 9: 10, 10: 11, 19: 13, 14: 13}
"""The field of a TensorProto with single values, by the type; integers of 8 to 32 bits have 7."""
_PACKED = {5: "<f4", 6: "<f8"}


@dataclass(frozen=True, slots=True)
class Node:
    """An operation.

    Attributes:
        name: Its name, with those of the layers that it is in.
        kind: The name of the operation.
        inputs: What it takes: `node`, `node:1` or in functions `node:output:1`.
        attributes: Its settings, as messages; those that have their default are left out.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, memoryview]

    def text(self, name: str, default: str = "") -> str:
        """Return a setting that is a text."""
        return texts_of(self.attributes.get(name, memoryview(b""))).get(2, default)

    def number(self, name: str, default: int = 0) -> int:
        """Return a setting that is a whole number, a truth or a type."""
        found = _varints(self.attributes.get(name, memoryview(b"")), 3, 5, 6)
        return found[0] if found else default

    def real(self, name: str, default: float = 0.0) -> float:
        """Return a setting that is a real number."""
        bits = numbers_of(self.attributes.get(name, memoryview(b""))).get(4)
        return default if bits is None else float(_from_bits(bits))

    def numbers(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """Return a setting that is a list of whole numbers."""
        for listed in messages_in(self.attributes.get(name, memoryview(b"")), 1):
            return _varints(listed, 3)
        return tuple(default)

    def function(self, name: str) -> str:
        """Return the name of the function that a setting names; empty without one."""
        for called in messages_in(self.attributes.get(name, memoryview(b"")), 10):
            return texts_of(called).get(1, "")
        return ""

    def shape(self, name: str) -> Lengths | None:
        """Return a setting that is a shape; None where it is not known."""
        return next(map(_lengths, messages_in(self.attributes.get(name, memoryview(b"")), 7)), None)

    def shapes(self) -> tuple[Lengths | None, ...]:
        """Return the shape of each result; None where it is not known."""
        for listed in messages_in(self.attributes.get("_output_shapes", memoryview(b"")), 1):
            return tuple(map(_lengths, messages_in(listed, 7)))
        return ()

    def constant(self) -> NDArray[Any] | None:
        """Return the values of a constant; None for texts, and for types that NumPy lacks.

        Raises:
            WireError: it has too few values.
        """
        for tensor in messages_in(self.attributes.get("value", memoryview(b"")), 8):
            return _values(tensor)
        return None


@dataclass(frozen=True, slots=True)
class Function:
    """A function that operations call.

    Attributes:
        name: Its name.
        inputs: What it calls the tensors that it takes.
        outputs: What it returns, as operations take it.
        nodes: Its operations by name.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Graph:
    """The operations of a SavedModel.

    Attributes:
        nodes: Those outside functions by name.
        functions: The functions as messages, by name.
        signatures: The inputs and outputs of each signature: names of tensors by its own names.
    """

    nodes: Mapping[str, Node]
    functions: Mapping[str, memoryview]
    signatures: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]


def read_graph(content: memoryview) -> Graph | None:
    """Return the graph of a SavedModel; None if it has none.

    Raises:
        WireError: the bytes are not a SavedModel.
    """
    for meta in messages_in(content, 2):
        nodes: dict[str, Node] = {}
        functions: dict[str, memoryview] = {}
        for graph in messages_in(meta, 2):
            nodes |= _nodes_in(graph, 1)
            for library in messages_in(graph, 2):
                for function in messages_in(library, 1):
                    for signature in messages_in(function, 1):
                        functions[texts_of(signature).get(1, "")] = function
        signatures = {
            key: (_tensors(signature, 1), _tensors(signature, 2))
            for key, signature in _entries(meta, 5)
        }
        return Graph(nodes, functions, signatures)
    return None


def read_function(function: memoryview) -> Function:
    """Return a function.

    Raises:
        WireError: the bytes are not a function.
    """
    (signature,) = list(messages_in(function, 1))[:1] or [memoryview(b"")]
    inputs, outputs = (
        tuple(texts_of(argument).get(1, "") for argument in messages_in(signature, number))
        for number in (2, 3)
    )
    returned = {
        texts_of(entry).get(1, ""): texts_of(entry).get(2, "") for entry in messages_in(function, 4)
    }
    if not set(outputs) <= set(returned):
        raise WireError("a function does not say what it returns")
    name = texts_of(signature).get(1, "")
    return Function(
        name, inputs, tuple(returned[output] for output in outputs), _nodes_in(function, 3)
    )


def _nodes_in(message: memoryview, number: int) -> dict[str, Node]:
    return {node.name: node for node in map(_node, messages_in(message, number))}


def _node(message: memoryview) -> Node:
    texts: dict[int, str] = {}
    inputs: list[str] = []
    for number, value in read_fields(message):
        if isinstance(value, memoryview) and number in (1, 2, 3):
            text = bytes(value).decode("utf-8", "replace")
            if number == 3:
                inputs.append(text)
            else:
                texts[number] = text
    taken = tuple(each for each in inputs if not each.startswith("^"))
    return Node(texts.get(1, ""), texts.get(2, ""), taken, dict(_entries(message, 5)))


def _entries(message: memoryview, number: int) -> Iterator[tuple[str, memoryview]]:
    """Yield the keys and values of a map."""
    for entry in messages_in(message, number):
        for value in messages_in(entry, 2):
            yield texts_of(entry).get(1, ""), value


def _tensors(signature: memoryview, number: int) -> dict[str, str]:
    """Return the names of the tensors of a signature."""
    return {key: texts_of(value).get(1, "") for key, value in _entries(signature, number)}


def _lengths(shape: memoryview) -> Lengths | None:
    """Return a shape; None for an unknown number of axes."""
    if numbers_of(shape).get(3):
        return None
    sizes = (_signed(numbers_of(axis).get(1, 0)) for axis in messages_in(shape, 2))
    return tuple(None if size < 0 else size for size in sizes)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _from_bits(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return value


def _varints(message: memoryview, *numbers: int) -> tuple[int, ...]:
    """Return the whole numbers in some fields, packed or not."""
    found: list[int] = []
    for number, value in read_fields(message):
        if number in numbers:
            found += _unpack(value)
    return tuple(map(_signed, found))


def _unpack(value: Field) -> list[int]:
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        one, at = read_varint(value, at)
        found.append(one)
    return found


def _values(tensor: memoryview) -> NDArray[Any] | None:
    """Return the values of a TensorProto; the last one, or 0, is that of all that are left out."""
    kind = numbers_of(tensor).get(1, 0)
    name = DTYPES.get(kind, "complex")
    if name.startswith("complex"):
        return None
    shape = next(map(_lengths, messages_in(tensor, 2)), ())
    if shape is None or None in shape:
        raise WireError("a constant has an open shape")
    lengths = tuple(length or 0 for length in shape)
    size = int(np.prod(lengths, dtype=object)) if lengths else 1
    if size > MAX_CONSTANT:
        return None
    stored = np.dtype("uint16" if name == "bfloat16" else name)
    content = b"".join(bytes(part) for part in messages_in(tensor, 4))
    flat = _flat(tensor, kind, content, stored)
    if len(flat) > size:
        raise WireError(f"a constant has {len(flat)} values and its shape {size}")
    if not len(flat):
        flat = np.zeros(1, flat.dtype)
    values = np.concatenate([flat, np.repeat(flat[-1:], max(size - len(flat), 0))])[:size]
    whole = widen_bfloat16(values) if name == "bfloat16" else values
    return np.asarray(whole.reshape(lengths))


def _flat(tensor: memoryview, kind: int, content: bytes, stored: np.dtype[Any]) -> NDArray[Any]:
    """Return the values that a TensorProto has, as bytes or one by one."""
    if content:
        if len(content) % stored.itemsize:
            raise WireError("a constant is cut off")
        return np.frombuffer(content, stored.newbyteorder("<")).astype(stored)
    field = _VALUES.get(kind, 7)
    if field in _PACKED:
        return np.concatenate([*_reals(tensor, field), np.zeros(0)]).astype(stored)
    whole = np.array(_varints(tensor, field), dtype=np.int64)
    if field == 13:  # 16 bits of a real number
        return whole.astype(np.uint16).view(stored)
    return whole.astype(stored)


def _reals(tensor: memoryview, field: int) -> Iterator[NDArray[Any]]:
    kind = np.dtype(_PACKED[field])
    for number, value in read_fields(tensor):
        if number == field:
            data = value.to_bytes(kind.itemsize, "little") if isinstance(value, int) else value
            if len(data) % kind.itemsize:
                raise WireError("a constant is cut off")
            yield np.frombuffer(data, kind)
