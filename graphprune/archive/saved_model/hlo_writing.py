"""Operations of TensorFlow in the place of those of a StableHLO module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.saved_model.graph_def import Lengths, Node
from graphprune.archive.saved_model.operation import Body, Operation, Value
from graphprune.archive.saved_model.stable_hlo import HloModule, HloOperation

DTYPES: Mapping[str, int] = {
    "bf16": 14,
    "f16": 19,
    "f32": 1,
    "f64": 2,
    "i1": 10,
    "i16": 5,
    "i32": 3,
    "i64": 9,
    "i8": 6,
    "ui8": 4,
}
"""The types of TensorFlow, by those of StableHLO."""


@dataclass(frozen=True, slots=True)
class MadeNode(Node):
    """An operation that stands for one of a StableHLO module.

    Attributes:
        settings: Its settings.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """Return a setting that is a text."""
        return str(self.settings.get(name, default))

    def number(self, name: str, default: int = 0) -> int:
        """Return a setting that is a whole number, a truth or a type."""
        return int(self.settings.get(name, default))

    def real(self, name: str, default: float = 0.0) -> float:
        """Return a setting that is a real number."""
        return float(self.settings.get(name, default))

    def numbers(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """Return a setting that is a list of whole numbers."""
        return tuple(self.settings.get(name, default))

    def constant(self) -> NDArray[Any] | None:
        """Return the values of a constant; None where they are not known."""
        found: NDArray[Any] | None = self.settings.get("value")
        return found


MAX_RANK = 64
"""Numbers of a vector that are read: one for each axis."""
_MAX_DEPTH = 8
"""Operations behind each other that make a number of a shape, or the place of a loop."""
_VECTORS = {"clamp": 1, "concatenate": 0, "convert": 0, "reshape": 0}
"""Operations that pass on a number as the first one of a vector, and which input that is."""


class HloWriter:
    """Adds operations of TensorFlow, and the values that they make.

    Args:
        module: The module.
        values: Those of the signature; they grow.
        numbers: The values of the module that are one number everywhere.
        makers: Its operations, by what they make.

    Attributes:
        operations: What was added.
        made: The values of the module that depend on the inputs of the signature.
        weights: Those that depend on variables and constants alone.
        shares: Those that are the result of a softmax.
        has_weights_inside: Whether the weights of the model are constants of the module.
        name: The name of what is added.
        backward: The sequences that a loop makes from their end, and what it makes in its order.
        rows: Sequences that are read before they are multiplied with a matrix, and a bias added.
        counter: What counts the rounds of the loop that is written; None outside of loops.
        is_from_end: Whether the loop goes through a sequence from its end.
        known: The values that stand for those of the module.
        narrow: Those that are repeated along axes for the operation that takes them, before that.
    """

    def __init__(
        self,
        module: HloModule,
        values: list[Value],
        numbers: Mapping[int, float | int | bool],
        makers: Mapping[int, HloOperation],
    ) -> None:
        self.module = module
        self.operations: list[Operation] = []
        self.known: dict[int, int] = {}
        self.narrow: dict[int, int] = {}
        self.made: set[int] = set()
        self.weights: set[int] = set()
        self.shares: set[int] = set()
        self.has_weights_inside = False
        self.numbers = numbers
        self.makers = makers
        self.name = ""
        self.backward: dict[int, int] = {}
        self.rows: dict[int, tuple[int, int | None]] = {}
        self.counter: int | None = None
        self.is_from_end = False
        self._values = values
        self._added: dict[Any, int] = {}

    def lengths(self, index: int) -> Lengths:
        """Return the shape of a tensor that was added."""
        return self._values[index].shape or ()

    def shape(self, number: int) -> Lengths:
        """Return the shape of a value of the module."""
        return self.module.values[number].shape or ()

    def dtype(self, number: int) -> int:
        """Return the type of a value of the module, as TensorFlow has it."""
        return DTYPES.get(self.module.values[number].dtype, 0)

    def add(
        self, kind: str, *inputs: int, shape: Lengths | None, dtype: int = 1, **settings: Any
    ) -> int:
        """Add an operation, and return what it makes; one that a layer has already is not added."""
        told = settings.get("value")
        values = None if told is None else (told.shape, *told.reshape(-1).tolist())
        key = (self.name.rpartition("/")[0], kind, inputs, dtype, values, str(settings))
        if key in self._added:
            return self._added[key]
        node = MadeNode(
            self.name, kind, (), {}, {"T": dtype, "dtype": dtype, "DstT": dtype} | settings
        )
        self._values.append(Value(self.name, shape))
        made = len(self._values) - 1
        self.operations.append(Operation(self.name, node, inputs, (made,)))
        self._added[key] = made
        return made

    def constant(self, values: Any, dtype: int = 3) -> int:
        """Add a constant; None among its values is a length that is not known."""
        array = np.array(values, object)
        return self.add("Const", shape=array.shape, dtype=dtype, value=array)

    def like(self, operation: HloOperation, kind: str, *inputs: int, **settings: Any) -> int:
        """Add what an operation with one result becomes."""
        (made,) = operation.outputs
        return self.add(kind, *inputs, shape=self.shape(made), dtype=self.dtype(made), **settings)

    def reshaped(self, index: int, lengths: Lengths, dtype: int) -> int:
        """Add a tensor in another shape."""
        wanted = self.constant([-1 if length is None else length for length in lengths])
        return self.add("Reshape", index, wanted, shape=lengths, dtype=dtype)

    def take(self, number: int) -> int:
        """Return what stands for a value of the module."""
        return self.known[number]

    def is_made(self, number: int) -> bool:
        """Return whether a value depends on the inputs of the signature."""
        return number in self.made

    def is_constant(self, number: int) -> bool:
        """Return whether a value depends on constants and weights alone."""
        return number not in self.made

    def inside(
        self,
        numbers: Mapping[int, float | int | bool],
        makers: Mapping[int, HloOperation],
        counter: int,
    ) -> HloWriter:
        """Return a writer for the body of a loop, whose rounds are counted by `counter`."""
        inner = HloWriter(self.module, self._values, numbers, {**self.makers, **makers})
        for own, outer in ((inner.known, self.known), (inner.narrow, self.narrow)):
            own |= outer
        inner.made, inner.weights = {*self.made}, {*self.weights}
        inner.counter, inner.has_weights_inside = counter, self.has_weights_inside
        return inner

    def stands_for(self, given: int, outer: int) -> None:
        """Take what a loop does not change as what it is outside."""
        self.known[given] = self.known[outer]
        for kind in (self.made, self.weights):
            if outer in kind:
                kind.add(given)

    def fresh(self, number: int) -> int:
        """Add a value that each round of a loop has another one of."""
        self._values.append(Value("", self.shape(number)))
        return len(self._values) - 1

    def add_loop(self, operation: HloOperation, taken: Sequence[int], body: Body) -> list[int]:
        """Add a loop, and return its results."""
        made = [self.fresh(number) for number in operation.outputs]
        node = MadeNode(self.name, "StatelessWhile", (), {})
        loop = Operation(self.name, node, tuple(taken), tuple(made), body)
        self.operations.append(loop)
        return made

    def vector(self, number: int, depth: int = 0) -> list[int | None] | None:
        """Return the whole numbers of a constant; None for those that are not known."""
        shape = self.shape(number) or (1,)
        if len(shape) != 1 or (shape[0] or 0) > MAX_RANK or depth > _MAX_DEPTH:
            return None
        length = shape[0]
        if number in self.numbers:
            value = self.numbers[number]
            return [int(value)] * (length or 0)
        maker = self.makers.get(number)
        if maker is None:
            return None
        if maker.kind == "constant":
            values = maker.settings.get("value")
            return None if values is None else [*values]
        if maker.kind == "get_dimension_size":
            return [self.shape(maker.inputs[0])[maker.settings["dimension"]]]
        if maker.kind in ("reshape", "convert"):
            return self.vector(maker.inputs[0], depth + 1)
        if maker.kind != "concatenate":
            return [None] * (length or 0)
        parts = [self.vector(index, depth + 1) for index in maker.inputs]
        return [each for part in parts for each in part or [None]]

    def element(self, number: int) -> int:
        """Return the value that the first number of a vector is, as far as that is known."""
        maker = self.makers.get(number)
        while maker is not None and maker.kind in _VECTORS and number != self.counter:
            number = maker.inputs[_VECTORS[maker.kind]]
            maker = self.makers.get(number)
        return number

    def is_place(self, number: int, length: int | None) -> bool:
        """Return whether a number is that of the part of a sequence that a loop has come to."""
        found = self.element(number)
        if self.is_from_end:
            return self.counts_down(found, length)
        return found == self.counter is not None

    def counts_down(self, number: int, length: int | None) -> bool:
        """Return whether a number goes down from the last part of a sequence in each round."""
        return length is not None and self._linear(number) == (-1, length - 1)

    def _linear(self, number: int, depth: int = 0) -> tuple[int, float] | None:
        """Return a factor of the number of the round and what is added; None for other numbers."""
        if number == self.counter:
            return 1, 0
        if number in self.numbers:
            return 0, self.numbers[number]
        maker = self.makers.get(number)
        if maker is None or maker.kind not in ("add", "subtract") or depth > _MAX_DEPTH:
            return None
        first, second = (self._linear(index, depth + 1) for index in maker.inputs)
        if first is None or second is None:
            return None
        sign = 1 if maker.kind == "add" else -1
        return first[0] + sign * second[0], first[1] + sign * second[1]

    def are_zero(self, numbers: Sequence[int]) -> bool:
        """Return whether all of some numbers are 0."""
        return all(self.numbers.get(number) == 0 for number in numbers)

    def is_item(self, operation: HloOperation, begin: int) -> bool:
        """Return whether a part of a tensor is the one that a loop has come to."""
        before, after = self.shape(operation.inputs[0]), self.shape(operation.outputs[0])
        return self.is_place(begin, before[0]) and after == (1, *before[1:])

    def item(self, operation: HloOperation, source: int) -> int:
        """Add the part of a sequence that a loop has come to."""
        assert self.counter is not None
        counter, taken = self.known[self.counter], self.take(source)
        dtype = self.dtype(operation.outputs[0])
        if source not in self.rows:
            return self.like(operation, "TensorListGetItem", taken, counter, element_dtype=dtype)
        matrix, bias = self.rows[source]
        after = self.shape(operation.outputs[0])[1:]
        lengths = self.lengths(taken)[1:]
        part = self.add(
            "TensorListGetItem", taken, counter, shape=lengths, dtype=dtype, element_dtype=dtype
        )
        made = self.add("MatMul", part, matrix, shape=after, dtype=dtype)
        if bias is not None:
            made = self.add("AddV2", made, bias, shape=after, dtype=dtype)
        return self.like(operation, "ExpandDims", made, self.constant([0]))

    def is_of_loop(self, number: int) -> bool:
        """Return whether a value is what a loop makes, perhaps turned."""
        maker = self.makers.get(number)
        while maker is not None and maker.kind in ("convert", "reverse", "transpose"):
            maker = self.makers.get(maker.inputs[0])
        return maker is not None and maker.kind == "while"

    def turned_from(self, kernel: int) -> int | None:
        """Return the kernel that another one is, turned round in each spatial axis.

        Its channels of input and output are exchanged. None for another kernel.
        """
        axes: set[int] = set()
        rank, maker = len(self.shape(kernel)), self.makers.get(kernel)
        order = [*range(rank - 2), rank - 1, rank - 2]
        if maker is None or maker.kind != "transpose" or maker.settings["permutation"] != order:
            return None
        source = maker.inputs[0]
        while (maker := self.makers.get(source)) is not None and maker.kind == "reverse":
            axes |= {*maker.settings["dimensions"]}
            source = maker.inputs[0]
        is_such = axes == {*range(rank - 2)} and self.is_constant(source)
        return source if is_such else None

    def is_turned(self, kernel: int) -> bool:
        """Return whether a kernel is another one, turned round."""
        return self.turned_from(kernel) is not None

    def on_each(self, operation: HloOperation, kind: str) -> int:
        """Add an operation on each value, on tensors before they are repeated along axes."""
        (made,) = operation.outputs
        taken = [self.narrow.get(index, self.known[index]) for index in operation.inputs]
        inputs = dict.fromkeys(taken) if kind == "Square" else taken
        lengths = _broadcast([self._values[index].shape or () for index in taken])
        found = self.add(kind, *inputs, shape=lengths, dtype=self.dtype(made))
        return found if lengths == self.shape(made) else self.repeated(made, found)

    def repeated(self, made: int, narrow: int) -> int:
        """Add a tensor that is repeated along axes to what is `made`."""
        self.narrow[made] = narrow
        before, after = self._values[narrow].shape or (), self.shape(made)
        if len(before) == len(after) and self.is_made(made) and before[:1] == after[:1]:
            pairs = [*zip(before, after, strict=True)]
            times = [1 if old == new else new for old, new in pairs]
            if sum(each != 1 for each in times) == 1 and None not in times:
                return self.add(
                    "Tile", narrow, self.constant(times), shape=after, dtype=self.dtype(made)
                )
        wanted = self.constant([*self.shape(made)])
        dtype = self.dtype(made)
        return self.add("BroadcastTo", narrow, wanted, shape=self.shape(made), dtype=dtype)


def _broadcast(shapes: Sequence[Lengths]) -> Lengths:
    """Return the shape of the result of an operation on each value of some tensors."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    longer = ([length for length in axis if length != 1] for axis in zip(*padded, strict=True))
    return tuple(found[0] if found else 1 for found in longer)


Writing = Callable[[HloWriter, HloOperation], int | None]
"""Adds what an operation becomes, and returns its result; None for one that is not known."""
