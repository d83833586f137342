"""The cell that the body of a loop in a TensorFlow Lite file computes, as formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from graphprune.archive.tflite.file import TfliteFile, TfliteOperator, TfliteTensor
from graphprune.graph.classes.cell_formulas import (
    Formula,
    FormulaError,
    added,
    applied,
    chosen,
    constant,
    multiplied,
    part,
    product,
    render,
    symbol,
)
from graphprune.plan.tflite_numbers import read_number

FUSED = {1: "relu", 2: "clip -1 1", 3: "relu6", 4: "tanh"}
"""Activations inside another operator (`ActivationFunctionType`)."""
_FUNCTIONS = {
    "ELU": "elu",
    "EXP": "exp",
    "LOGISTIC": "sigmoid",
    "RELU": "relu",
    "RELU6": "relu6",
    "RELU_0_TO_1": "clip 0 1",
    "TANH": "tanh",
}
_PASSED_ON = frozenset(
    ("CAST", "DENSIFY", "DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE")
)
_READS = ("GATHER", "FlexTensorListGetItem")
"""Operators that take one part of a sequence."""
_STATES, _MASKED_STATES = ("hc",), ("ohc", "hc")
"""The names of the states of a loop. Beside a mask, the result before is one (`o`), or what is not
counted gives zero.
"""
_Shape = tuple[int, ...]
_Made = Sequence[Formula] | None
"""The formulas of an operator's outputs; None for one that has none, such as a counter."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        text: The formulas of its states.
        kernel, state: Inputs and outputs of the matrices of what it reads and of its state; those
            of the state are together, where there are several.
        matrices: The constants that are these matrices, by the name that Keras gives to such a
            weight, in the order of its columns.
    """

    text: str
    kernel: _Shape
    state: _Shape
    matrices: Mapping[str, tuple[TfliteTensor, ...]]


def read_cell(file: TfliteFile, loop: TfliteOperator) -> Cell | None:
    """Return the cell that a loop computes; None for operators of another kind.

    Raises:
        ArchiveError: the file is damaged.
    """
    body = int(loop.settings.get("bodySubgraphIndex", 0))
    inputs, outputs = file.ends_of(body)
    is_masked = _has_mask(file, body)
    for names in _MASKED_STATES if is_masked else _STATES:
        try:
            given = _outer(file, loop, inputs)
            cell = _Body(file, body, inputs, outputs, given, names).cell(is_masked=is_masked)
        except (FormulaError, LookupError, ValueError):
            continue
        if cell is not None:
            return cell
    return None


def _has_mask(file: TfliteFile, body: int) -> bool:
    """Return whether a sequence of truths is read beside the sequence itself."""
    kinds = {one.index: one.dtype for one in file.tensors_of(body)}
    reads = (one for one in file.operators_of(body) if one.kind in _READS)
    return any(kinds.get(output) == "bool" for one in reads for output in one.outputs)


def _outer(
    file: TfliteFile, loop: TfliteOperator, inputs: Sequence[int]
) -> dict[int, TfliteTensor]:
    """Return the constants that a loop gives to its body, by the body's inputs."""
    tensors = {one.index: one for one in file.tensors_of(loop.subgraph)}
    sources = {
        operator.outputs[0]: operator.inputs[0]
        for operator in file.operators_of(loop.subgraph)
        if operator.kind in _PASSED_ON
    }
    pairs = zip(inputs, loop.inputs, strict=True)
    given = {inner: tensors[sources.get(index, index)] for inner, index in pairs}
    return {inner: tensor for inner, tensor in given.items() if tensor.stored}


@dataclass
class _Body:
    """The formulas of the tensors in a body.

    Attributes:
        names: What to call the states, in their order.
        given: The constants that the loop gives to the body, by their indices in it.
        known: The formulas, by the indices of tensors.
        constants: The constants that operators only pass on, by the indices of their results.
        matrices: What each matrix is multiplied with.
    """

    file: TfliteFile
    subgraph: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    given: Mapping[int, TfliteTensor]
    names: str
    known: dict[int, Formula] = field(default_factory=dict)
    constants: dict[int, int] = field(default_factory=dict)
    matrices: dict[TfliteTensor, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {one.index: one for one in self.file.tensors_of(self.subgraph)}
        pairs = [*zip(self.inputs, self.outputs, strict=True)]
        self.unchanged = {given for given, made in pairs if given == made}
        states = [pair for pair in pairs if pair[0] != pair[1] and self._is_state(pair[0])]
        if len(states) > len(self.names):
            raise FormulaError("more states than a cell has")
        named = [*zip(self.names, states, strict=False)]
        self.next = {name: made for name, (_, made) in named}
        self.known |= {given: symbol(name) for name, (given, _) in named}

    def _is_state(self, index: int) -> bool:
        tensor = self.tensors[index]
        return len(tensor.shape) == 2 and tensor.dtype in ("float32", "int8", "int16")

    def cell(self, *, is_masked: bool) -> Cell | None:
        """Return the cell; None if its matrices or results are not those of one."""
        for operator in self.file.operators_of(self.subgraph):
            made = self._read(operator) or ()
            fused = FUSED.get(int(operator.settings.get("fusedActivationFunction", 0)))
            results = made if fused is None else [applied(fused, each) for each in made]
            self.known |= dict(zip(operator.outputs, results, strict=False))
        states = {name: self.known[made] for name, made in self.next.items()}
        ends = set(self.outputs) - set(self.next.values()) - self.unchanged
        written = {self.known[made].text: self.known[made] for made in ends if made in self.known}
        if "h" not in states or not written:
            return None
        if is_masked and "o" not in states:
            states = {"o": next(iter(written.values())), **states}
        first = [matrix for matrix, taken in self.matrices.items() if taken == "x"]
        rest = [matrix for matrix, taken in self.matrices.items() if taken != "x"]
        is_such = len(first) == 1 and len({matrix.shape[1] for matrix in rest}) == 1
        result = next(iter(states.values())).text
        if not is_such or set(written) - {result}:
            return None
        state = rest[0].shape[1], sum(matrix.shape[0] for matrix in rest)
        matrices = {"kernel": tuple(first), "recurrent_kernel": tuple(rest)}
        return Cell(render(states), first[0].shape[::-1], state, matrices)

    def _read(self, operator: TfliteOperator) -> _Made:
        kind = operator.kind
        if kind in _PASSED_ON:
            return self._passed_on(operator)
        if kind in _FUNCTIONS:
            return [applied(_FUNCTIONS[kind], self.known[operator.inputs[0]])]
        reader = _READERS.get(kind)
        return None if reader is None else reader(self, operator)

    def _passed_on(self, operator: TfliteOperator) -> _Made:
        source = operator.inputs[0]
        if self.tensors[source].stored or source in self.given:
            self.constants[operator.outputs[0]] = source
        return [self.known[source]] if source in self.known else None

    def constant(self, index: int) -> TfliteTensor:
        """Return the constant that an operator takes.

        Raises:
            FormulaError: it takes something else, of which nothing is known.
        """
        source = self.constants.get(index, index)
        is_given = source in self.given and source in self.unchanged
        tensor = self.given[source] if is_given else self.tensors[source]
        if not tensor.stored:
            raise FormulaError("a tensor of which nothing is known")
        return tensor

    def zero(self, index: int) -> Formula:
        """Return a constant that is zero.

        Raises:
            FormulaError: it is something else.
        """
        number = read_number(self.file, self.constant(index))
        if number is None or number.value:
            raise FormulaError("a constant that is not zero")
        return constant(0.0)

    def number(self, index: int) -> Formula:
        """Return a constant as a formula; a vector, which only biases are, counts as 0."""
        tensor = self.constant(index)
        number = read_number(self.file, tensor) if not tensor.shape else None
        return constant(0.0 if number is None else number.value)

    def terms(self, operator: TfliteOperator) -> list[Formula]:
        """Return what a sum, difference or product takes; nothing where it has no formula."""
        if not any(index in self.known for index in operator.inputs):
            return []
        return [self.known.get(index) or self.number(index) for index in operator.inputs]


def _item(body: _Body, operator: TfliteOperator) -> _Made:
    """Return what is read: one part of a sequence or mask that the loop does not change."""
    if operator.inputs[0] not in body.unchanged:
        return None
    is_mask = body.tensors[operator.outputs[0]].dtype == "bool"
    return [symbol("m" if is_mask else "x")]


def _chosen(body: _Body, operator: TfliteOperator) -> _Made:
    """Return what a mask chooses: the new one, or the one before, which may be zero."""
    mask, *others = operator.inputs
    if body.known[mask].text != "m":
        raise FormulaError("a choice by something else than a mask")
    made, before = (body.known.get(index) or body.zero(index) for index in others)
    return [chosen(body.known[mask], made, before)]


def _written(body: _Body, operator: TfliteOperator) -> _Made:
    """Return what is put into the sequence of results."""
    made = [body.known[index] for index in operator.inputs if index in body.known]
    return made if len(made) == 1 else None


def _matrix(body: _Body, operator: TfliteOperator) -> _Made:
    of, matrix = body.known[operator.inputs[0]], body.constant(operator.inputs[1])
    if len(matrix.shape) != 2 or matrix in body.matrices:
        raise FormulaError("a product with no matrix of its own")
    body.matrices[matrix] = of.text
    return [product(of, 0, matrix.shape[0], matrix.shape[0])]


def _sum(body: _Body, operator: TfliteOperator) -> _Made:
    taken = body.terms(operator)
    return [added(*taken)] if taken else None


def _difference(body: _Body, operator: TfliteOperator) -> _Made:
    taken = body.terms(operator)
    return [added(taken[0], multiplied(constant(-1), taken[1]))] if taken else None


def _product(body: _Body, operator: TfliteOperator) -> _Made:
    taken = body.terms(operator)
    numbers = [index for index in operator.inputs if index not in body.known] if taken else []
    if any(body.constant(index).shape for index in numbers):
        raise FormulaError("a product with a vector")
    return [multiplied(*taken)] if taken else None


def _quotient(body: _Body, operator: TfliteOperator) -> _Made:
    of, by = body.known[operator.inputs[0]], body.number(operator.inputs[1])
    return [multiplied(constant(1 / by.terms[()]), of)]


def _negative(body: _Body, operator: TfliteOperator) -> _Made:
    return [multiplied(constant(-1), body.known[operator.inputs[0]])]


def _minimum(body: _Body, operator: TfliteOperator) -> _Made:
    of, limit = body.known[operator.inputs[0]], body.constant(operator.inputs[1])
    number = read_number(body.file, limit)
    if number is None:
        raise FormulaError("the minimum of two tensors")
    return [applied(f"minimum {number.at_most_one():g}", of)]


def _split(body: _Body, operator: TfliteOperator) -> _Made:
    """Return the parts of a tensor along its last axis."""
    places = (1, 0) if operator.kind == "SPLIT" else (0, 2)
    index, axis = (operator.inputs[place] for place in places)
    shape = body.tensors[index].shape
    at = int(np.ravel(body.file.read_stored(body.tensors[axis]))[0])
    if at % len(shape) != len(shape) - 1:
        raise FormulaError("a split along another axis")
    widths = [body.tensors[output].shape[-1] for output in operator.outputs]
    starts = [sum(widths[:number]) for number in range(len(widths) + 1)]
    of = body.known[index]
    return [part(of, start, stop) for start, stop in pairwise(starts) if stop > start]


def _sliced(body: _Body, operator: TfliteOperator) -> _Made:
    """Return a part of a tensor along its last axis; the other axes are whole."""
    if operator.inputs[0] not in body.known:
        return None
    length = body.tensors[operator.inputs[0]].shape[-1]
    start, stop, stride = (
        int(np.ravel(body.file.read_stored(body.tensors[index]))[-1])
        for index in operator.inputs[1:4]
    )
    begins, ends = (int(operator.settings.get(name, 0)) for name in ("beginMask", "endMask"))
    last = 1 << (len(body.tensors[operator.inputs[0]].shape) - 1)
    is_whole = begins & ends | last == 2 * last - 1 and not operator.settings.get("shrinkAxisMask")
    if stride != 1 or not is_whole:
        raise FormulaError("a slice along several axes")
    of = body.known[operator.inputs[0]]
    return [part(of, 0 if begins & last else start, length if ends & last else stop)]


_READERS: Mapping[str, Callable[[_Body, TfliteOperator], _Made]] = {
    "ADD": _sum,
    "CONCATENATION": _written,
    "DIV": _quotient,
    "FULLY_CONNECTED": _matrix,
    "FlexTensorListGetItem": _item,
    "FlexTensorListSetItem": _written,
    "GATHER": _item,
    "MINIMUM": _minimum,
    "MUL": _product,
    "NEG": _negative,
    "SELECT": _chosen,
    "SELECT_V2": _chosen,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "STRIDED_SLICE": _sliced,
    "SUB": _difference,
}
