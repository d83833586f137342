"""The loops of recurrent layers in a TensorFlow Lite file, and the layer that each comes from.

The converter gives the operators of a GRU of tf_keras no layer's name. Its kernels are told by what
they multiply: the state that the loop carries, or what it reads in each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphprune.archive.operators import FileOperator
from graphprune.archive.tflite.file import TfliteFile
from graphprune.graph.computation import Computation
from graphprune.plan.operator_cells import Cell, read_cell, read_stack

Place = tuple[int, int]
"""Subgraph and index of a tensor."""
CELLS = "cells."
"""How the names of weights of stacked cells begin."""
_PASSED_ON = ("DEQUANTIZE", "DENSIFY")
FUSED_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_FUSED = {"kernel": 1, "recurrent_kernel": 5}
"""The first of its inputs that are the parts of a kernel, in the order of the gates of Keras."""


@dataclass(frozen=True, slots=True)
class Loop:
    """The matrices of a loop, by the name that Keras gives to such a weight.

    Attributes:
        kernels: The constant that multiplies what the loop reads (`kernel`), and that or those
            that multiply its state (`recurrent_kernel`), in the order of the weight's columns; of
            stacked cells, such of each (`cells.0.kernel`).
    """

    kernels: Mapping[str, tuple[Place, ...]]


def find_loops(file: TfliteFile) -> tuple[Loop, ...]:
    """Return the loops whose matrices are told apart, in the order in which they run.

    Raises:
        ArchiveError: the file is damaged.
    """
    loops = (_read_loop(file, operator) for operator in file.operators_of(0))
    return _without_copies(file, [loop for loop in loops if loop is not None])


def _without_copies(file: TfliteFile, loops: Sequence[Loop]) -> tuple[Loop, ...]:
    """Return the loops without those of a layer that is called again, which have its values."""
    tensors = {(one.subgraph, one.index): one for one in file.tensors}
    found: dict[object, Loop] = {}
    for loop in loops:
        values = tuple(
            (name, tensors[place].shape, file.read(tensors[place]).tobytes())
            for name, places in loop.kernels.items()
            for place in places
        )
        found.setdefault(values, loop)
    return tuple(found.values())


def _read_loop(file: TfliteFile, operator: FileOperator) -> Loop | None:
    if operator.kind == FUSED_LSTM:
        parts = {name: operator.inputs[begin : begin + 4] for name, begin in _FUSED.items()}
        is_whole = all(-1 not in part and len(part) == 4 for part in parts.values())
        places = {name: tuple((0, index) for index in part) for name, part in parts.items()}
        return Loop(places) if is_whole else None
    body = int(operator.settings.get("bodySubgraphIndex", 0))
    if operator.kind != "WHILE" or not body:
        return None
    cell = read_cell(file, operator)
    if cell is not None:
        return Loop(_places_of(cell))
    stacked = read_stack(file, operator)
    if not stacked:
        return _loop_of_two(file, body)
    return Loop(
        {
            f"{CELLS}{number}.{name}": places
            for number, one in enumerate(stacked)
            for name, places in _places_of(one).items()
        }
    )


def _places_of(cell: Cell) -> dict[str, tuple[Place, ...]]:
    return {
        name: tuple((tensor.subgraph, tensor.index) for tensor in tensors)
        for name, tensors in cell.matrices.items()
    }


def _loop_of_two(file: TfliteFile, body: int) -> Loop | None:
    """Return the two matrices of the loop with this body; None where it has others."""
    operators = file.operators_of(body)
    made = {output for operator in operators for output in operator.outputs}
    constants = {one.index for one in file.tensors_of(body) if one.stored and one.dtype}
    sources = {
        operator.outputs[0]: operator.inputs[0]
        for operator in operators
        if operator.kind in _PASSED_ON
    }
    found: dict[str, list[int]] = {"kernel": [], "recurrent_kernel": []}
    for operator in operators:
        weight = _weight_of(operator, sources)
        if weight in constants:
            is_state = sources.get(operator.inputs[0], operator.inputs[0]) not in made
            found["recurrent_kernel" if is_state else "kernel"].append(weight)
    if any(len(weights) != 1 for weights in found.values()):
        return None
    return Loop({name: ((body, weights[0]),) for name, weights in found.items()})


def _weight_of(operator: FileOperator, sources: Mapping[int, int]) -> int:
    """Return the matrix of a product; -1 of another operator."""
    if operator.kind != "FULLY_CONNECTED" or len(operator.inputs) < 2:
        return -1
    return sources.get(operator.inputs[1], operator.inputs[1])


def pair_loops(
    fitting: Mapping[str, Sequence[int]], computation: Computation | None
) -> dict[str, int]:
    """Return the loop of each layer, where there is one choice.

    Args:
        fitting: The loops, by their numbers, whose matrices have the shapes of each layer's.
        computation: What the model computes: layers with as many loops of their shapes are paired
            in order where each takes the results of the one before.

    Example:
        >>> pair_loops({"a": [0], "b": [1, 2]}, None)
        {'a': 0}
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for layer, loops in fitting.items():
        groups.setdefault(tuple(loops), []).append(layer)
    paired: dict[str, int] = {}
    for loops, layers in groups.items():
        if len(loops) != len(layers):
            continue
        order = layers if len(layers) == 1 else _chain(layers, computation)
        paired |= dict(zip(order, loops, strict=False))
    return paired


def _chain(layers: Sequence[str], computation: Computation | None) -> list[str]:
    """Return layers in the order in which each needs the one before; none if they do not."""
    if computation is None:
        return []
    wanted = set(layers)
    order: list[str] = []
    before: list[frozenset[str]] = []
    for step in computation.steps:
        needed = frozenset[str]().union(*(before[taken] for taken in step.inputs))
        if step.layer in wanted and step.layer not in {*needed, *order}:
            if needed & wanted != set(order):
                return []
            order.append(step.layer)
        before.append(needed | {step.layer} if step.layer in wanted else needed)
    return order if set(order) == wanted else []
