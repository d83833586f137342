"""Formulas of what operators of a TensorFlow Lite file make, for the cells of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from graphprune.archive.operators import FileOperator, FileTensor, OperatorFile
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
    symbol,
)
from graphprune.graph.classes.recurrent_steps import convolution
from graphprune.plan.operator_numbers import read_number

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
PASSED_ON = frozenset(
    ("CAST", "DENSIFY", "DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE")
)
READS = ("GATHER", "FlexTensorListGetItem")
"""Operators that take one part of a sequence."""
_Made = Sequence[Formula] | None
"""The formulas of an operator's outputs; None for one that has none, such as a counter."""


@dataclass
class Formulas:
    """The formulas of tensors of a subgraph.

    Attributes:
        file, subgraph: Where they are.
        operators: The operators there that count.
        given: The constants that a loop gives to its body, by their indices in it.
        unchanged: The inputs of a loop's body that it does not change.
        columns: The first column of a matrix among the parts of its kernel, and how many these have
            together, by its index; of others, the operators tell.
        known: The formulas, by the indices of tensors.
        constants: The constants that operators only pass on, by the indices of their results.
        matrices: What each matrix or kernel of a convolution is multiplied with.
        kernels: Its shape as Keras has it.
        convolution: The settings of the convolutions of what is read; empty where there are none.
        reads: The inputs that parts are read of, by what these are called.
    """

    file: OperatorFile
    subgraph: int
    operators: Sequence[FileOperator]
    given: Mapping[int, FileTensor] = field(default_factory=dict)
    unchanged: frozenset[int] = frozenset()
    columns: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    known: dict[int, Formula] = field(default_factory=dict)
    constants: dict[int, int] = field(default_factory=dict)
    matrices: dict[FileTensor, str] = field(default_factory=dict)
    kernels: dict[FileTensor, tuple[int, ...]] = field(default_factory=dict)
    convolution: str = ""
    reads: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {one.index: one for one in self.file.tensors_of(self.subgraph)}

    def add(self, operator: FileOperator) -> None:
        """Add the formulas of an operator's outputs, if it has some.

        Raises:
            FormulaError: it is not one that a cell has.
            LookupError: it takes something of which nothing is known.
        """
        made = self._read(operator) or ()
        fused = FUSED.get(int(operator.settings.get("fusedActivationFunction", 0)))
        results = made if fused is None else [applied(fused, each) for each in made]
        self.known |= dict(zip(operator.outputs, results, strict=False))

    def _read(self, operator: FileOperator) -> _Made:
        kind = operator.kind
        if kind in PASSED_ON:
            return self._passed_on(operator)
        if kind in _FUNCTIONS:
            return [applied(_FUNCTIONS[kind], self.known[operator.inputs[0]])]
        reader = _READERS.get(kind)
        return None if reader is None else reader(self, operator)

    def _passed_on(self, operator: FileOperator) -> _Made:
        source = operator.inputs[0]
        if self.tensors[source].stored or source in self.given:
            self.constants[operator.outputs[0]] = source
        return [self.known[source]] if source in self.known else None

    def columns_of(self, operator: FileOperator) -> tuple[int, int]:
        """Return the first column of a matrix among those that the same tensor is multiplied with.

        `implementation=1` of Keras splits a kernel into a matrix for each gate.

        Returns:
            The column, and how many there are.
        """
        if operator.inputs[1] in self.columns:
            return self.columns[operator.inputs[1]]
        alike = [
            each
            for each in self.operators
            if each.kind == operator.kind and each.inputs[0] == operator.inputs[0]
        ]
        alike.sort(key=lambda each: self.file.columns.get(each.inputs[1], 0))
        widths = [self.tensors[each.outputs[0]].shape[-1] for each in alike]
        return sum(widths[: alike.index(operator)]), sum(widths)

    def constant(self, index: int) -> FileTensor:
        """Return the constant that an operator takes.

        Raises:
            FormulaError: it takes something else, of which nothing is known.
        """
        source = self.constants.get(index, index)
        is_given = source in self.given and source in self.unchanged
        tensor = self.given[source] if is_given else self.tensors[source]
        if not tensor.stored and tensor.index not in self.file.weights:
            raise FormulaError("a tensor of which nothing is known")
        return tensor

    def zero(self, index: int) -> Formula:
        """Return a constant that is zero.

        Raises:
            FormulaError: it is something else.
        """
        if self.constants.get(index, index) in self.file.zeros:
            return constant(0.0)
        number = read_number(self.file, self.constant(index))
        if number is None or number.value:
            raise FormulaError("a constant that is not zero")
        return constant(0.0)

    def number(self, index: int) -> Formula:
        """Return a constant as a formula; a vector, which only biases are, counts as 0."""
        tensor = self.constant(index)
        number = read_number(self.file, tensor) if not tensor.shape else None
        return constant(0.0 if number is None else number.value)

    def terms(self, operator: FileOperator) -> list[Formula]:
        """Return what a sum, difference or product takes; nothing where it has no formula."""
        if not any(index in self.known for index in operator.inputs):
            return []
        return [self.known.get(index) or self.number(index) for index in operator.inputs]


def _item(body: Formulas, operator: FileOperator) -> _Made:
    """Return what is read: one part of a sequence or mask that the loop does not change."""
    if operator.inputs[0] not in body.unchanged:
        return None
    name = "m" if body.tensors[operator.outputs[0]].dtype == "bool" else "x"
    body.reads[name] = operator.inputs[0]
    return [symbol(name)]


def _spread(body: Formulas, operator: FileOperator) -> _Made:
    """Return a mask that is repeated for each unit of a state."""
    source, times = operator.inputs
    lengths = body.tensors[source].shape[1:]
    first, *others = np.ravel(body.file.read_stored(body.constant(times))).tolist()
    is_spread = first == 1 and all(1 in pair for pair in zip(lengths, others, strict=True))
    return [body.known[source]] if is_spread and source in body.known else None


def _chosen(body: Formulas, operator: FileOperator) -> _Made:
    """Return what a mask chooses: the new one, or the one before, which may be zero."""
    mask, *others = operator.inputs
    if body.known[mask].text != "m":
        raise FormulaError("a choice by something else than a mask")
    made, before = (body.known.get(index) or body.zero(index) for index in others)
    return [chosen(body.known[mask], made, before)]


def _written(body: Formulas, operator: FileOperator) -> _Made:
    """Return what is put into the sequence of results."""
    made = [body.known[index] for index in operator.inputs if index in body.known]
    return made if len(made) == 1 else None


def _matrix(body: Formulas, operator: FileOperator) -> _Made:
    """Return a product with a matrix, or with one of several parts of a kernel."""
    matrix = body.constant(operator.inputs[1])
    if len(matrix.shape) != 2:
        raise FormulaError("a product with no matrix")
    return _multiplied(body, operator, matrix, matrix.shape[::-1])


def _convolved(body: Formulas, operator: FileOperator) -> _Made:
    """Return a product with a part of the kernel of a convolution; dilated ones are not known."""
    matrix, settings = body.constant(operator.inputs[1]), operator.settings
    axes = "DHW" if operator.kind == "CONV_3D" else "HW"
    if any(settings.get(f"dilation{axis}Factor", 1) != 1 for axis in axes):
        raise FormulaError("a dilated convolution")
    shape = matrix.shape if operator.kind == "CONV_3D" else (*matrix.shape[1:], matrix.shape[0])
    made = _multiplied(body, operator, matrix, shape)
    strides = [int(settings.get(f"stride{axis}", 1)) for axis in axes]
    if body.matrices[matrix] == "x":
        body.convolution = convolution(strides, "valid" if settings.get("padding") else "same")
    return made


def _multiplied(
    body: Formulas, operator: FileOperator, matrix: FileTensor, shape: tuple[int, ...]
) -> _Made:
    of = body.known[operator.inputs[0]]
    if matrix in body.matrices:
        raise FormulaError("a product with no matrix of its own")
    body.matrices[matrix], body.kernels[matrix] = of.text, shape
    start, size = body.columns_of(operator)
    return [product(of, start, start + shape[-1], size)]


def _sum(body: Formulas, operator: FileOperator) -> _Made:
    taken = body.terms(operator)
    return [added(*taken)] if taken else None


def _difference(body: Formulas, operator: FileOperator) -> _Made:
    taken = body.terms(operator)
    return [added(taken[0], multiplied(constant(-1), taken[1]))] if taken else None


def _product(body: Formulas, operator: FileOperator) -> _Made:
    taken = body.terms(operator)
    numbers = [index for index in operator.inputs if index not in body.known] if taken else []
    if any(body.constant(index).shape for index in numbers):
        raise FormulaError("a product with a vector")
    return [multiplied(*taken)] if taken else None


def _quotient(body: Formulas, operator: FileOperator) -> _Made:
    of, by = body.known[operator.inputs[0]], body.number(operator.inputs[1])
    return [multiplied(constant(1 / by.terms[()]), of)]


def _negative(body: Formulas, operator: FileOperator) -> _Made:
    return [multiplied(constant(-1), body.known[operator.inputs[0]])]


def _minimum(body: Formulas, operator: FileOperator) -> _Made:
    of, limit = body.known[operator.inputs[0]], body.constant(operator.inputs[1])
    number = read_number(body.file, limit)
    if number is None:
        raise FormulaError("the minimum of two tensors")
    return [applied(f"minimum {number.at_most_one():g}", of)]


def _split(body: Formulas, operator: FileOperator) -> _Made:
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


def _sliced(body: Formulas, operator: FileOperator) -> _Made:
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


_READERS: Mapping[str, Callable[[Formulas, FileOperator], _Made]] = {
    "ADD": _sum,
    "CONCATENATION": _written,
    "CONV_2D": _convolved,
    "CONV_3D": _convolved,
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
    "TILE": _spread,
}
