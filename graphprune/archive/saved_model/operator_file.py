"""The operations of an exported SavedModel as operators like those of TensorFlow Lite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.operators import FOREIGN, FileOperator, FileTensor
from graphprune.archive.saved_model.columns import first_columns
from graphprune.archive.saved_model.folding import Values, fold, fold_uniform
from graphprune.archive.saved_model.graph_def import Lengths
from graphprune.archive.saved_model.lowering import Lowered, Lowering, View
from graphprune.archive.saved_model.operation import Body, Operation, Operations
from graphprune.archive.saved_model.operator_kinds import LOWERED
from graphprune.archive.saved_model.protobuf import WireError
from graphprune.archive.saved_model.tensor_bundle import DTYPES, message_damage_named

_TRUTHS = frozenset(
    (
        "All", "Any", "Equal", "Greater", "GreaterEqual", "IsNan", "Less", "LessEqual",
        "LogicalAnd", "LogicalNot", "LogicalOr", "NotEqual",
    )
)  # fmt: skip
"""Operations that give truths."""
_SPREADING = frozenset(("Add", "AddV2", "LogicalAnd", "LogicalOr", "Mul", "Sub"))
"""Operations on each value, which take one value alone for a tensor of it."""
_TYPES = {
    "Cast": "DstT",
    "Const": "dtype",
    "ReadVariableOp": "dtype",
    "TensorListGetItem": "element_dtype",
}
"""The setting that is the type of the results; that of other operations is `T`."""
LOOP = "WHILE"
_RANDOM = "Random"
"""A part of the kinds of operations that give other values at each call."""


class ExportedFile:
    """The main signature of an exported SavedModel; nothing in it is run.

    Args:
        read: Its operations.

    Attributes:
        weights: The indices of variables, and of what is made of them alone.
        columns: The first column of those that are columns of a variable.
        numbers: The numbers that operations take as constants, with the names of the operations.
    """

    is_converted = False

    def __init__(self, read: Operations) -> None:
        self.path = read.path
        self._read = read
        self._values: dict[int, Values] = {}
        self._uniform: dict[int, float] = {}
        self._shapes = [value.shape for value in read.values]
        self._tensors: list[FileTensor] = []
        self.weights: set[int] = set()
        self.columns: dict[int, int] = {}
        self.numbers: list[tuple[str, float]] = []
        self._bodies: dict[int, Body] = {}
        self._operators: dict[int, list[FileOperator]] = {0: []}
        self._subgraph = 0
        self._views: dict[tuple[int | None, Lengths], int] = {}
        with message_damage_named(self.path):
            self._build()

    @property
    def ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The indices of the tensors that enter and leave the signature."""
        return self._read.inputs, self._read.outputs

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the signature's outputs."""
        return self._read.output_names

    @property
    def zeros(self) -> frozenset[int]:
        """The indices of tensors that are zero everywhere, whatever the inputs are."""
        return frozenset(index for index, value in self._uniform.items() if value == 0)

    def ends_of(self, subgraph: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the indices of the tensors that enter and leave the body of a loop."""
        body = self._bodies.get(subgraph)
        return self.ends if body is None else (body.inputs, body.outputs)

    def tensors_of(self, subgraph: int) -> tuple[FileTensor, ...]:
        """Return the tensors of the signature, among them those of all bodies of loops."""
        return tuple(self._tensors)

    def operators_of(self, subgraph: int) -> tuple[FileOperator, ...]:
        """Return the operators of the signature or a body, each behind those that it needs."""
        return tuple(self._operators[subgraph])

    def read(self, tensor: FileTensor) -> NDArray[Any]:
        """Return the values of a constant."""
        return self.read_stored(tensor)

    def read_stored(self, tensor: FileTensor) -> NDArray[Any]:
        """Return the values of a constant.

        Raises:
            ValueError: it has none.
        """
        if not tensor.stored:
            raise ValueError(f"the tensor {tensor.name!r} has no values")
        return self._values[tensor.index].astype(tensor.dtype)

    def _build(self) -> None:
        kinds = _dtypes_of(self._read.operations)
        for index, value in enumerate(self._read.values):
            self._tensors.append(_tensor(index, value.name, value.shape, kinds.get(index, "")))
        self._add_all(self._read.operations, set(self._read.inputs))

    def _add_all(self, operations: Sequence[Operation], made: set[int]) -> None:
        """Add the operators of operations to the subgraph.

        Args:
            operations: The operations.
            made: What depends on the inputs of the signature; it grows.
        """
        for operation in operations:
            is_random = _RANDOM in operation.node.kind
            depends = operation.node.kind != "Shape" and bool(made & set(operation.inputs))
            try:
                self._note_numbers(operation)
                if not is_random and (self._is_uniform(operation) or not depends):
                    self._fold(operation)
                    continue
                made |= set(operation.outputs)
                if is_random:
                    self._add(operation.name, self._random(operation))
                elif operation.body is not None:
                    self._loop(operation, operation.body, made)
                else:
                    self._refine(operation)
                    self._lower(operation, made)
            except (ArithmeticError, LookupError, TypeError, ValueError) as fault:
                raise WireError(f"{operation.node.kind} has wrong tensors") from fault

    def _loop(self, operation: Operation, body: Body, made: set[int]) -> None:
        """Add a loop, and the operators of its body."""
        settings = {"bodySubgraphIndex": body.number}
        self._add(operation.name, Lowered(LOOP, operation.inputs, operation.outputs, settings))
        self._bodies[body.number] = body
        self._operators[body.number] = []
        outside, self._subgraph = self._subgraph, body.number
        self._add_all(body.operations, made | set(body.inputs) - set(operation.inputs))
        self._subgraph = outside

    def _random(self, operation: Operation) -> Lowered:
        """Return the operator of an operation that gives other values at each call."""
        foreign = FOREIGN + operation.node.kind
        return Lowered(foreign, self._read.inputs, operation.outputs)

    def _fold(self, operation: Operation) -> None:
        """Keep the values of an operation that depends on no input, where they are known."""
        value_of = self._value_of if operation.node.kind in _SPREADING else self._values.get
        taken = [value_of(index) for index in operation.inputs]
        shapes = [self._shapes[index] for index in operation.inputs]
        found = fold(operation.node, taken, shapes)
        if found is not None and operation.outputs:
            self._keep(operation.outputs[0], found)
        elif operation.node.kind == "VarHandleOp" or self.weights & set(operation.inputs):
            self.weights |= set(operation.outputs)
            self._note_columns(operation)
        elif operation.node.kind == "Fill" and (value := taken[-1]) is not None and not value.ndim:
            self._uniform[operation.outputs[0]] = float(value[()])

    def _note_numbers(self, operation: Operation) -> None:
        """Keep the numbers that an operation takes as constants, or has as a setting."""
        taken = [operation.node.real("epsilon") or None]
        taken += [_number_in(self._value_of(index)) for index in operation.inputs]
        self.numbers += [(operation.name, number) for number in taken if number is not None]

    def _note_columns(self, operation: Operation) -> None:
        """Keep the first column of each part that is taken of a weight along its last axis."""
        values = [self._value_of(index) for index in operation.inputs]
        shapes, results = (
            [self._shapes[index] for index in indices]
            for indices in (operation.inputs, operation.outputs)
        )
        starts = first_columns(operation.node, values, shapes, results)
        self.columns |= dict(zip(operation.outputs, starts, strict=False))

    def _is_uniform(self, operation: Operation) -> bool:
        """Return whether an operation makes one value alone, whatever the inputs are."""
        taken = [self._uniform.get(index) for index in operation.inputs]
        count = None
        if operation.node.kind == "Sum" and len(operation.inputs) == 2:
            source, axes = operation.inputs
            count = _count(self._shapes[source], self._values.get(axes))
        found = fold_uniform(operation.node, taken, count)
        if found is not None:
            self._uniform[operation.outputs[0]] = found
        return found is not None

    def _keep(self, index: int, values: Values) -> None:
        self._values[index] = values
        listed = values.reshape(-1).tolist()
        if None in listed or not listed:
            return
        dtype = {bool: "bool", int: "int64", float: "float32"}.get(type(listed[0]), "")
        name = self._tensors[index].name
        self._tensors[index] = FileTensor(0, index, name, values.shape, dtype, values.size)

    def _refine(self, operation: Operation) -> None:
        """Take lengths of a reshaped tensor from its shape, where only that tells them."""
        values = self._values.get(operation.inputs[-1])
        if operation.node.kind != "Reshape" or values is None:
            return
        (index,) = operation.outputs
        known = self._shapes[index] or (None,) * values.size
        pairs = zip(known, values.reshape(-1).tolist(), strict=True)
        lengths = tuple(own if own is not None or wanted == -1 else wanted for own, wanted in pairs)
        self._shapes[index] = lengths
        tensor = self._tensors[index]
        self._tensors[index] = _tensor(index, tensor.name, lengths, tensor.dtype)

    def _lower(self, operation: Operation, made: set[int]) -> None:
        """Add the operators of an operation."""
        lowering = Lowering(
            operation.node,
            operation.inputs,
            operation.outputs,
            tuple(index in made for index in operation.inputs),
            tuple(self._shapes[index] for index in operation.inputs),
            tuple(self._value_of(index) for index in operation.inputs),
        )
        rule = LOWERED.get(operation.node.kind)
        lowered = None if rule is None else rule(lowering)
        for one in [lowering.foreign()] if lowered is None else lowered:
            self._add(operation.name, one)

    def _value_of(self, index: int) -> Values | None:
        uniform = self._uniform.get(index)
        return self._values.get(index) if uniform is None else np.array(uniform, object)

    def _add(self, name: str, one: Lowered) -> None:
        """Add an operator, with its views of tensors as tensors of their own."""
        inputs = tuple(
            self._view(name, each) if isinstance(each, View) else each for each in one.inputs
        )
        self._operators[self._subgraph].append(
            FileOperator(self._subgraph, one.kind, inputs, one.outputs, one.settings)
        )

    def _view(self, name: str, view: View) -> int:
        """Return a tensor as an operator takes it; what does not depend on inputs is one alone."""
        key = (view.of, view.shape) if view.values is None and not view.is_made else None
        if key is not None and key in self._views:
            return self._views[key]
        index = len(self._tensors)
        if key is not None:
            self._views[key] = index
        if view.values is None:
            dtype = self._tensors[view.of].dtype if view.of is not None else ""
            self._tensors.append(_tensor(index, name, view.shape, dtype))
        else:
            self._tensors.append(_tensor(index, name, view.shape, ""))
            self._keep(index, view.values)
        if view.of in self.weights:
            self.weights.add(index)
        if view.of in self.columns:
            self.columns[index] = self.columns[view.of]
        if view.of is not None and view.is_made:
            whole = FileOperator(self._subgraph, "EXPAND_DIMS", (view.of,), (index,))
            self._operators[self._subgraph].append(whole)
        return index


def _count(shape: Lengths | None, axes: Values | None) -> int | None:
    """Return how many values there are along some axes; None where that is not known."""
    if shape is None or axes is None:
        return None
    try:
        lengths = [shape[axis] for axis in axes.reshape(-1).tolist()]
    except (LookupError, TypeError):  # axes that are not known
        return None
    known = [length for length in lengths if length is not None]
    return math.prod(known) if len(known) == len(lengths) else None


def _number_in(values: Values | None) -> float | None:
    """Return the real number that all values of a constant are; None for other tensors."""
    first = None if values is None or not values.size else values.flat[0]
    return first if type(first) is float and np.all(values == first) else None


def _tensor(index: int, name: str, shape: Lengths | None, dtype: str) -> FileTensor:
    lengths = shape or ()
    open_axes = frozenset(axis for axis, length in enumerate(lengths) if length is None)
    whole = tuple(1 if length is None else length for length in lengths)
    return FileTensor(0, index, name, whole, dtype, 0, open_axes=open_axes)


def _dtypes_of(operations: Sequence[Operation]) -> dict[int, str]:
    """Return the types of values; what a body takes has the type of what it gives for it."""
    kinds: dict[int, str] = {}
    for operation in operations:
        kinds |= dict.fromkeys(operation.outputs, _dtype_of(operation))
        if operation.body is not None:
            kinds |= _dtypes_of(operation.body.operations)
            given = zip(operation.body.inputs, operation.body.outputs, strict=True)
            for taken, made in given:
                kinds.setdefault(taken, kinds.get(made, ""))
    return kinds


def _dtype_of(operation: Operation) -> str:
    node = operation.node
    if node.kind in _TRUTHS:
        return "bool"
    key = _TYPES.get(node.kind, "T")
    return DTYPES.get(node.number(key), "")
