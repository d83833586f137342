"""The cell that the body of a loop in a TensorFlow Lite file computes, as formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphprune.archive.tflite.file import TfliteFile, TfliteOperator, TfliteTensor
from graphprune.graph.classes.cell_formulas import FormulaError, is_cell, render, symbol
from graphprune.plan.tflite_formulas import PASSED_ON, READS, Formulas

_STATES, _MASKED_STATES = ("hc",), ("ohc", "hc")
"""The names of the states of a loop. Beside a mask, the result before is one (`o`), or what is not
counted gives zero.
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        text: The formulas of its states.
        matrices: The constants that are its matrices, by the name that Keras gives to such a
            weight, in the order of its columns.
        places: Which of the inputs of a loop is the sequence (`x`), the mask (`m`), and each state;
            its outputs have the same order.
    """

    text: str
    matrices: Mapping[str, tuple[TfliteTensor, ...]]
    places: Mapping[str, int]


def read_cell(file: TfliteFile, loop: TfliteOperator) -> Cell | None:
    """Return the cell that a loop computes; None for operators of another kind.

    Raises:
        ArchiveError: the file is damaged.
    """
    body = int(loop.settings.get("bodySubgraphIndex", 0))
    inputs, _ = file.ends_of(body)
    is_masked = _has_mask(file, body)
    for names in _MASKED_STATES if is_masked else _STATES:
        try:
            given = _outer(file, loop, inputs)
            cell = _Body(file, body, given, names).cell(is_masked=is_masked)
        except (FormulaError, LookupError, ValueError):
            continue
        if cell is not None:
            return cell
    return None


def _has_mask(file: TfliteFile, body: int) -> bool:
    """Return whether a sequence of truths is read beside the sequence itself."""
    kinds = {one.index: one.dtype for one in file.tensors_of(body)}
    reads = (one for one in file.operators_of(body) if one.kind in READS)
    return any(kinds.get(output) == "bool" for one in reads for output in one.outputs)


def _outer(
    file: TfliteFile, loop: TfliteOperator, inputs: Sequence[int]
) -> dict[int, TfliteTensor]:
    """Return the constants that a loop gives to its body, by the body's inputs."""
    tensors = {one.index: one for one in file.tensors_of(loop.subgraph)}
    sources = {
        operator.outputs[0]: operator.inputs[0]
        for operator in file.operators_of(loop.subgraph)
        if operator.kind in PASSED_ON
    }
    pairs = zip(inputs, loop.inputs, strict=True)
    given = {inner: tensors[sources.get(index, index)] for inner, index in pairs}
    return {inner: tensor for inner, tensor in given.items() if tensor.stored}


class _Body:
    """The formulas of the tensors in a body.

    Args:
        file, body: The subgraph.
        given: The constants that the loop gives to it, by their indices in it.
        names: What to call the states, in their order.
    """

    def __init__(
        self, file: TfliteFile, body: int, given: Mapping[int, TfliteTensor], names: str
    ) -> None:
        self._inputs, self._outputs = file.ends_of(body)
        pairs = [*zip(self._inputs, self._outputs, strict=True)]
        self._unchanged = frozenset(given for given, made in pairs if given == made)
        self._operators = file.operators_of(body)
        self._formulas = Formulas(file, body, self._operators, given, self._unchanged)
        states = [pair for pair in pairs if pair[0] != pair[1] and self._is_state(pair[0])]
        if len(states) > len(names):
            raise FormulaError("more states than a cell has")
        named = [*zip(names, states, strict=False)]
        self._next = {name: made for name, (_, made) in named}
        self._given = {name: index for name, (index, _) in named}
        self._formulas.known |= {index: symbol(name) for name, index in self._given.items()}

    def _is_state(self, index: int) -> bool:
        tensor = self._formulas.tensors[index]
        return len(tensor.shape) == 2 and tensor.dtype in ("float32", "int8", "int16")

    def cell(self, *, is_masked: bool) -> Cell | None:
        """Return the cell; None if its matrices or results are not those of one."""
        for operator in self._operators:
            self._formulas.add(operator)
        known = self._formulas.known
        states = {name: known[made] for name, made in self._next.items()}
        ends = set(self._outputs) - set(self._next.values()) - self._unchanged
        written = {known[made].text: known[made] for made in ends if made in known}
        if "h" not in states or (is_masked and not written):
            return None
        if is_masked and "o" not in states:
            states = {"o": next(iter(written.values())), **states}
        result = next(iter(states.values())).text
        kernels = kernels_of(self._formulas.matrices)
        if kernels is None or set(written) - {result}:
            return None
        if len(kernels["kernel"]) > 1 and not is_cell(render(states)):
            return None  # the order of the parts of a split kernel is not told
        read = self._given | self._formulas.reads
        places = {name: self._inputs.index(index) for name, index in read.items()}
        return Cell(render(states), kernels, places)


def kernels_of(
    matrices: Mapping[TfliteTensor, str],
) -> Mapping[str, tuple[TfliteTensor, ...]] | None:
    """Return the parts of both kernels, given what each matrix is multiplied with.

    None where they are not those of a cell.
    """
    first = tuple(matrix for matrix, taken in matrices.items() if taken == "x")
    rest = tuple(matrix for matrix, taken in matrices.items() if taken != "x")
    is_such = all(len({matrix.shape[1] for matrix in part}) == 1 for part in (first, rest))
    return {"kernel": first, "recurrent_kernel": rest} if is_such else None


def shape_of(parts: Sequence[TfliteTensor]) -> tuple[int, int]:
    """Return the inputs and outputs of a kernel, of which a file may have several parts."""
    return parts[0].shape[1], sum(matrix.shape[0] for matrix in parts)
