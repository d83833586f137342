"""Unrolled recurrent layers of a TensorFlow Lite file: the same cell once for each step.

The matrix that multiplies the state tells the states, and the steps between two of them are read as
formulas. All steps must have the same ones, the first with states of zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, permutations
from itertools import product as combinations

from graphprune.archive.operators import FileOperator, OperatorFile
from graphprune.graph.classes.cell_formulas import (
    Formula,
    FormulaError,
    added,
    constant,
    multiplied,
    render,
    renumbered,
    replaced,
    symbol,
)
from graphprune.graph.classes.composite_steps import LAST
from graphprune.graph.classes.known_cells import is_cell
from graphprune.graph.classes.recurrent_steps import state_of
from graphprune.plan.operator_cells import Cell, cell_of, matrices_in
from graphprune.plan.operator_formulas import Formulas
from graphprune.plan.operator_recurrent import Recurrence, cell_step

_FEWEST = 3
"""Steps: two are needed to tell what a cell carries on, and the first one begins with zero."""
_MOST_PARTS = 4
"""Parts of a kernel: an LSTM has four gates."""
_LONGEST = 2000
"""Steps of a layer that is read."""
_CARRYING = frozenset({"MUL", "SELECT", "SELECT_V2"})
"""Operators that take the second state, such as that of an LSTM."""
_Span = tuple[int, int]


def find_unrolled(file: OperatorFile) -> dict[int, Recurrence]:
    """Return the unrolled layers, by the tensors that are their results.

    Raises:
        ArchiveError: the file is damaged.
    """
    operators = file.operators_of(0)
    found: dict[int, Recurrence] = {}
    for operator in operators:
        if operator.kind == "UNPACK" and _FEWEST <= len(operator.outputs) <= _LONGEST:
            for layer in _layers_of(file, operators, operator):
                found |= dict.fromkeys(layer.ends, layer)
    return found


def _layers_of(
    file: OperatorFile, operators: Sequence[FileOperator], unpacked: FileOperator
) -> Iterator[Recurrence]:
    """Yield the layers that take the parts of one sequence."""
    spans = _spans(operators, unpacked.outputs)
    count = len(unpacked.outputs)
    for states in _find_states(operators, spans, count):
        is_backward = spans[states[0]][0] == count - 1
        order = slice(None, None, -1 if is_backward else 1)
        try:
            layer = _Unrolled(file, operators, unpacked.outputs[order], states).read()
        except (FormulaError, LookupError, ValueError):
            continue
        if layer is not None:
            takes = unpacked.inputs[:1] + layer.masks
            names = tuple(layer.names)
            yield Recurrence(layer.computes, takes, layer.ends, names, is_backward=is_backward)


def _spans(operators: Sequence[FileOperator], items: Sequence[int]) -> dict[int, _Span]:
    """Return the first and the last part of a sequence that each tensor depends on."""
    spans = {item: (number, number) for number, item in enumerate(items)}
    for operator in operators:
        taken = [spans[index] for index in operator.inputs if index in spans]
        if taken:
            span = min(first for first, _ in taken), max(last for _, last in taken)
            spans |= dict.fromkeys(operator.outputs, span)
    return spans


def _find_states(
    operators: Sequence[FileOperator], spans: Mapping[int, _Span], count: int
) -> list[tuple[int, ...]]:
    """Return the states behind all steps but the last one, for each layer.

    One matrix multiplies them all, and each depends on one more part of the sequence.
    """
    taken: dict[int, list[int]] = {}
    for operator in operators:
        if operator.kind == "FULLY_CONNECTED" and operator.inputs[0] in spans:
            taken.setdefault(operator.inputs[1], []).append(operator.inputs[0])
    forward = [(0, last) for last in range(count - 1)]
    backward = [(first, count - 1) for first in range(count - 1, 0, -1)]
    found = (
        tuple(states)
        for states in taken.values()
        if [spans[state] for state in states] in (forward, backward)
    )
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Layer:
    computes: str
    ends: Mapping[int, str]
    names: Sequence[str]
    masks: tuple[int, ...]


class _Unrolled:
    """The steps of a layer.

    Args:
        file, operators: Where they are.
        items: The parts of the sequence, in the order of the steps.
        states: The states behind all steps but the last one.
    """

    def __init__(
        self,
        file: OperatorFile,
        operators: Sequence[FileOperator],
        items: Sequence[int],
        states: Sequence[int],
    ) -> None:
        self._file = file
        self._items, self._states = items, states
        self._widths = {one.index: one.shape[-1] for one in file.tensors_of(0) if one.shape}
        self._makers = {made: each for each in operators for made in each.outputs}
        own = self._own_matrices()
        self._operators = [
            each for each in operators if each.kind != "FULLY_CONNECTED" or each.inputs[1] in own
        ]
        self._done: set[int] = set()
        self._columns = self._find_columns()
        self._masks = self._find_masks()

    def _own_matrices(self) -> set[int]:
        """Return the matrices between two states; others may multiply the same parts."""
        waiting, seen = [self._states[1]], {*self._items, self._states[0]}
        found: set[int] = set()
        while waiting:
            index = waiting.pop()
            maker = self._makers.get(index)
            if index in seen or maker is None:
                continue
            seen.add(index)
            waiting += maker.inputs
            if maker.kind == "FULLY_CONNECTED":
                found.add(maker.inputs[1])
        return found

    def _find_columns(self) -> dict[int, tuple[int, int]]:
        """Return the place of each part of a split kernel among the others, in some order.

        The first step does without some of them, because they multiply a state of zero.
        """
        found: dict[int, tuple[int, int]] = {}
        for sources in (self._items, self._states):
            parts = {
                each.inputs[1]: self._widths[each.outputs[0]]
                for each in self._operators
                if each.kind == "FULLY_CONNECTED" and each.inputs[0] in sources
            }
            starts = accumulate(parts.values(), initial=0)
            if len(parts) > 1:
                size = sum(parts.values())
                found |= {
                    matrix: (start, size) for matrix, start in zip(parts, starts, strict=False)
                }
        return found

    def _find_masks(self) -> FileOperator | None:
        """Return what gives the mask of each step; None where there is none."""
        for operator in self._operators:
            if operator.outputs[:1] and operator.kind in ("SELECT", "SELECT_V2"):
                mask = self._makers.get(operator.inputs[0])
                is_own = operator.outputs[0] in self._states
                if is_own and mask is not None and mask.kind == "UNPACK":
                    return mask
        return None

    def read(self) -> _Layer | None:
        """Return the layer; None if its steps differ, or do not begin with zero."""
        first, carried = self._step(0, None)
        steps, carries = [first], [carried]
        for number in range(1, len(self._items)):
            step, carried = self._step(number, steps[-1])
            steps.append(step)
            carries.append(carried)
        state = steps[1].known[self._states[1]]
        cell = {"h": state}
        if carries[-1] is not None:
            cell["c"] = steps[-2].known[carries[-1]]
        if not self._are_alike(steps, carries, cell):
            return None
        return self._layer(steps[-1], cell)

    def _step(self, number: int, before: Formulas | None) -> tuple[Formulas, int | None]:
        """Return the formulas of a step, and the tensor that it takes from the one before.

        That is a second state, beside the one that the matrix multiplies.
        """
        found = Formulas(self._file, 0, self._operators, columns=self._columns)
        found.known[self._items[number]] = symbol("x")
        if self._masks is not None:
            found.known[self._masks.outputs[self._place_of(number)]] = symbol("m")
        if number:
            found.known[self._states[number - 1]] = symbol("h")
        following = self._states[number : number + 1]
        carried = None
        for operator in self._operators:
            if self._done & {*operator.outputs} or {*following} & {*operator.inputs}:
                continue
            fresh = self._carried_by(operator, found, before)
            if fresh is not None and carried is None:
                carried, found.known[fresh] = fresh, symbol("c")
            if all(self._is_known(index, found) for index in operator.inputs):
                self._add(operator, found)
        self._done |= set(found.known) - {self._items[number]}
        return found, carried

    def _place_of(self, number: int) -> int:
        """Return which part of a sequence a step takes."""
        assert self._masks is not None, "asked for masks alone"
        unpacked = self._makers[self._items[0]]
        return unpacked.outputs.index(self._items[number])

    def _carried_by(
        self, operator: FileOperator, found: Formulas, before: Formulas | None
    ) -> int | None:
        """Return what an operator takes from the step before, beside something of this step."""
        is_such = before is not None and operator.kind in _CARRYING
        if not is_such or not any(index in found.known for index in operator.inputs):
            return None
        assert before is not None
        unknown = [
            index
            for index in operator.inputs
            if index not in found.known and index in before.known and index in self._makers
        ]
        return unknown[0] if len(unknown) == 1 else None

    def _is_known(self, index: int, found: Formulas) -> bool:
        tensor = found.tensors.get(index)
        is_constant = tensor is None or bool(tensor.stored) or index in found.constants
        return is_constant or index in found.known

    @staticmethod
    def _add(operator: FileOperator, found: Formulas) -> None:
        try:
            found.add(operator)
        except (FormulaError, LookupError, ValueError):  # it is behind the layer
            return

    def _are_alike(
        self, steps: Sequence[Formulas], carries: Sequence[int | None], cell: Mapping[str, Formula]
    ) -> bool:
        """Return whether all steps have the formulas of a cell, the first with states of zero."""
        zero = dict.fromkeys(cell, constant(0))
        begun = {name: replaced(made, zero) for name, made in cell.items()}
        for number, state in enumerate(self._states):
            made = {"h": state}
            if (second := carries[number + 1]) is not None:
                made["c"] = second
            wanted = cell if number else begun
            texts = {name: steps[number].known[index].text for name, index in made.items()}
            if texts != {name: each.text for name, each in wanted.items()}:
                return False
        return True

    def _layer(self, last: Formulas, cell: Mapping[str, Formula]) -> _Layer | None:
        """Return the layer, whose results are found by their formulas in the last step."""
        made = {name: _find(last, of) for name, of in cell.items()}
        if made["h"] is None:
            return None
        states, masks = dict(cell), tuple[int, ...]()
        ends = {end: state_of(name) for name, end in made.items() if end is not None}
        ends[made["h"]] = LAST
        if self._masks is not None:
            states = {"o": _result(cell["h"]), **cell}
            masks = self._masks.inputs[:1]
        whole = (*self._states, made["h"])
        stacks = (each for each in self._operators if each.kind == "PACK")
        ends |= {each.outputs[0]: "" for each in stacks if each.inputs == whole}
        whole_cell = cell_of(last, matrices_in(last.matrices, cell["h"].text), render(states), {})
        if whole_cell is not None and self._columns:
            whole_cell = _in_order(whole_cell, states)
        if whole_cell is None:
            return None
        names = [
            last.tensors[each.outputs[0]].name
            for each in self._operators
            if each.kind == "FULLY_CONNECTED" and each.outputs[0] in last.known
        ]
        return _Layer(cell_step(whole_cell), ends, names, masks)


def _in_order(cell: Cell, states: Mapping[str, Formula]) -> Cell | None:
    """Return a cell of split kernels with the parts in the order of Keras; None if there is none.

    A file does not tell the order, and with one alone the formulas are those of a cell.
    """
    counts = [len(cell.matrices[name]) for name in ("kernel", "recurrent_kernel")]
    if max(counts) > _MOST_PARTS:
        return None
    for first, second in combinations(*(permutations(range(count)) for count in counts)):
        orders = {"x": first, "h": second}
        text = render({name: renumbered(each, orders) for name, each in states.items()})
        if is_cell(text):
            return replace(cell, text=text)
    return None


def _find(step: Formulas, wanted: Formula) -> int | None:
    """Return the tensor of a step with a formula."""
    return next((at for at, made in step.known.items() if made.text == wanted.text), None)


def _result(state: Formula) -> Formula:
    """Return the formula of the result before a mask, for that of the state, which begins alike."""
    less = added(constant(1), multiplied(constant(-1), symbol("m")))
    before = added(symbol("o"), multiplied(constant(-1), symbol("h")))
    return added(state, multiplied(less, before))
