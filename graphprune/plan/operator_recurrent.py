"""The recurrent layers of a TensorFlow Lite file: one operator, or a loop over the sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphprune.archive.operators import FileOperator, FileTensor, OperatorFile
from graphprune.graph.classes.cell_formulas import cell_text
from graphprune.graph.classes.composite_steps import LAST
from graphprune.graph.classes.recurrent_steps import recurrent, state_of
from graphprune.plan.operator_cells import Cell, read_cell, read_stack
from graphprune.plan.operator_formulas import FUSED

_KERNELS, _STATES = (2, 3, 4), (6, 7, 8)
"""The inputs of the fused operator that are matrices, without those of the input gate, which may
be left out (UNIDIRECTIONAL_SEQUENCE_LSTM, tensorflow/lite/kernels).
"""
_INPUT_GATE = (1, 5)
_EXTRA = (9, 10, 11, 16, 17, *range(20, 24))
"""Those of peepholes, projections and normalizations."""
_PRODUCTS = ("CONV_2D", "CONV_3D", "FULLY_CONNECTED")
_TAKEN = "xmohc"
"""What a recurrent layer takes, in this order: the sequence, its mask, and the states to begin with
(`operator_cells`).
"""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurrent layer.

    Attributes:
        computes: Its step.
        takes: The tensors that it takes.
        ends: The step behind it that each of its results is; empty for the whole sequence.
        names: The names that tell its layer.
        weights: The constants that it takes.
        is_backward: Whether it takes the sequence from its end.
        then: The steps of further cells, each of which takes the whole sequence of the one before.
        beside: What those take beside it, which is the mask.
        inner: Of results that are states of a cell but the last one, its number and the step behind
            it.
    """

    computes: str
    takes: tuple[int, ...]
    ends: Mapping[int, str]
    names: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    is_backward: bool = field(default=False)
    then: tuple[str, ...] = ()
    beside: tuple[int, ...] = ()
    inner: Mapping[int, tuple[int, str]] = field(default_factory=dict)

    @property
    def results(self) -> dict[int, tuple[int, str]]:
        """The cell that each result is of, -1 for the last one, and the step behind it."""
        return {**{end: (-1, text) for end, text in self.ends.items()}, **self.inner}


def read_loop(file: OperatorFile, operator: FileOperator) -> Recurrence | None:
    """Return the recurrent layer that a loop is; None for one of an unknown cell."""
    cell = read_cell(file, operator)
    if cell is None:
        return _read_stacked(file, operator)
    takes = (operator.inputs[cell.places[name]] for name in _TAKEN if name in cell.places)
    computes = cell_step(cell, is_stateful=bool(_kept_by(file, operator)))
    names = tuple(_names_inside(file, operator))
    return Recurrence(computes, tuple(takes), _ends_of(cell, operator), names)


def _read_stacked(file: OperatorFile, operator: FileOperator) -> Recurrence | None:
    """Return the layer of several cells that a loop is; None for another loop."""
    cells = read_stack(file, operator)
    if not cells:
        return None
    is_stateful = bool(_kept_by(file, operator))
    first, *rest = (cell_step(each, is_stateful=is_stateful) for each in cells)
    places = cells[0].places
    beside = tuple(operator.inputs[places[name]] for name in "m" if name in places)
    takes = dict.fromkeys((operator.inputs[places["x"]], *beside, *operator.inputs))
    states = [_states_of(cell, operator, is_masked=bool(beside)) for cell in cells]
    ends = dict.fromkeys(operator.outputs, "") | states[-1]
    inner = {
        end: (number, text) for number, one in enumerate(states[:-1]) for end, text in one.items()
    }
    names = tuple(_names_inside(file, operator))
    return Recurrence(
        first, tuple(takes), ends, names, then=tuple(rest), beside=beside, inner=inner
    )


def _kept_by(file: OperatorFile, operator: FileOperator) -> set[int]:
    """Return what a loop takes from variables, which a stateful layer has."""
    variables = {each.outputs[0] for each in file.operators_of(0) if each.kind == "READ_VARIABLE"}
    body = int(operator.settings.get("bodySubgraphIndex", 0))
    ends = zip(operator.inputs, *file.ends_of(body), strict=True)
    changed = {outer for outer, given, made in ends if given != made}
    return variables & set(operator.inputs) | file.weights & changed


def cell_step(cell: Cell, *, is_stateful: bool = False) -> str:
    """Return the step of a cell in a loop over a sequence."""
    text = cell.convolution + cell.text
    return recurrent(cell.kernel, cell.state, text, is_stateful=is_stateful)


def _ends_of(cell: Cell, operator: FileOperator) -> dict[int, str]:
    """Return the step of each result of a loop.

    Where all steps count, the state that is the result of the last one is the last of the sequence.
    """
    states = _states_of(cell, operator, is_masked="m" in cell.places)
    return dict.fromkeys(operator.outputs, "") | states


def _states_of(cell: Cell, operator: FileOperator, *, is_masked: bool) -> dict[int, str]:
    """Return the step of each last state of a cell."""
    return {
        operator.outputs[cell.places[name]]: (
            LAST if name == "h" and not is_masked else state_of(name)
        )
        for name in "hc"
        if name in cell.places
    }


def describe_fused(tensors: Sequence[FileTensor | None], operator: FileOperator) -> str | None:
    """Return the step of the operator that is an LSTM; None for a kind that Keras does not have.

    Args:
        tensors: Its inputs; None where one is left out.
        operator: The operator.
    """
    matrices = [tensors[place] for place in (*_INPUT_GATE, *_KERNELS, *_STATES)]
    is_plain = not any(tensors[place] for place in _EXTRA if place < len(tensors))
    inner = FUSED.get(int(operator.settings.get("fusedActivationFunction", 0)))
    if not is_plain or inner is None or any(each is None for each in matrices):
        return None
    first, state = (one.shape if (one := tensors[place]) else () for place in _INPUT_GATE)
    shapes = {each.shape for each in matrices if each is not None}
    if not shapes <= {first, state} or len(first) != 2 or len(state) != 2:
        return None
    text = cell_text("LSTM", {"activation": inner}, state[1], 2)
    kernels = (first[1], 4 * first[0]), (state[1], 4 * state[0])
    return None if text is None else recurrent(*kernels, text)


def _names_inside(file: OperatorFile, operator: FileOperator) -> list[str]:
    """Return the names of the matrices in a loop, and of what they make."""
    body = int(operator.settings.get("bodySubgraphIndex", 0))
    names = {one.index: one.name for one in file.tensors_of(body)}
    return [
        names[output]
        for each in (file.operators_of(body) if body else ())
        if each.kind in _PRODUCTS
        for output in each.outputs
    ]
