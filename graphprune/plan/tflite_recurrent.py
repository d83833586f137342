"""The recurrent layers of a TensorFlow Lite file: one operator, or a loop over the sequence."""

from __future__ import annotations

from collections.abc import Sequence

from graphprune.archive.tflite.file import TfliteFile, TfliteOperator, TfliteTensor
from graphprune.graph.classes.cell_formulas import cell_text
from graphprune.graph.classes.composite_steps import recurrent
from graphprune.plan.tflite_cells import FUSED, read_cell

_KERNELS, _STATES = (2, 3, 4), (6, 7, 8)
"""The inputs of the fused operator that are matrices, without those of the input gate, which may
be left out (UNIDIRECTIONAL_SEQUENCE_LSTM, tensorflow/lite/kernels).
"""
_INPUT_GATE = (1, 5)
_EXTRA = (9, 10, 11, 16, 17, *range(20, 24))
"""Those of peepholes, projections and normalizations."""


def describe_loop(file: TfliteFile, operator: TfliteOperator) -> str | None:
    """Return the step of a loop; None for one that is not a recurrent layer of a known cell."""
    cell = read_cell(file, operator)
    if cell is None:
        return None
    variables = {each.outputs[0] for each in file.operators_of(0) if each.kind == "READ_VARIABLE"}
    kept = variables & set(operator.inputs)
    return recurrent(cell.kernel, cell.state, cell.text, is_stateful=bool(kept))


def describe_fused(tensors: Sequence[TfliteTensor | None], operator: TfliteOperator) -> str | None:
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


def names_inside(file: TfliteFile, operator: TfliteOperator) -> list[str]:
    """Return the names of the matrices in a loop, and of what they make."""
    body = int(operator.settings.get("bodySubgraphIndex", 0))
    names = {one.index: one.name for one in file.tensors_of(body)}
    return [
        names[output]
        for each in (file.operators_of(body) if body else ())
        if each.kind == "FULLY_CONNECTED"
        for output in each.outputs
    ]
