"""Weights and numbers of layers in an exported SavedModel, whose names tell the layers.

A converter folds them into others, so they are not compared in TensorFlow Lite files.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence

from graphprune.archive.saved_model.exported import ExportedVariables
from graphprune.archive.saved_model.operator_file import ExportedFile
from graphprune.graph.architecture import Architecture
from graphprune.graph.classes.steps import AFFINE
from graphprune.graph.figures import NEUTRAL, LayerFigures, shape_text
from graphprune.plan.operator_names import find_owners, owners_of, paths_in
from graphprune.plan.verify import LayerDifference

_NEAR = 1e-3
"""The relative difference of numbers that are the same; that of one in 16 bits is 5e-4."""
Figures = Mapping[str, LayerFigures]


def find_changed_figures(
    architecture: Architecture, variables: ExportedVariables, file: ExportedFile
) -> Iterator[LayerDifference]:
    """Yield the layers that hold other weights, or compute with other numbers, than planned.

    Args:
        architecture: That of the plan's model.
        variables: The variables of the folder, named after the layers that take them.
        file: Its operations.
    """
    if not architecture.figures:  # the plan of an earlier version
        return
    addresses = (facts.address for facts in architecture.layers.values())
    figures = {**dict.fromkeys(addresses, LayerFigures()), **architecture.figures}
    shapes = {name: shape_text(variables.shape(key)) for name, key in variables.keys.items()}
    spare = Counter(shape_text(variables.shape(key)) for key in variables.nameless)
    changed = [*_with_other_weights(figures, shapes, spare)]
    names = [tensor.name for tensor in file.tensors_of(0)]
    changed += _with_other_numbers(figures, file.numbers, names, _find_affine(architecture))
    for address in dict.fromkeys(changed):
        yield LayerDifference(address, "settings")


def _with_other_weights(
    figures: Figures, shapes: Mapping[str, str], spare: Counter[str]
) -> Iterator[str]:
    """Yield the layers with a weight more or less than planned.

    Names do not always tell the layer of a variable, so that the whole model must have more or less
    of this shape as well.

    Args:
        figures: The planned ones.
        shapes: Those of the variables, by name.
        spare: How often each shape is that of a variable without a name.
    """
    named = {name: path for name in shapes for path in paths_in([name])}
    owners = find_owners([*figures], named.values())
    found: dict[str, Counter[str]] = {}
    for name, path in named.items():
        for address in owners_of([path], owners):
            found.setdefault(address, Counter())[shapes[name]] += 1
    every = Counter(shapes.values())
    wanted = Counter(shape for each in figures.values() for shape in each.weights)
    # Keras 3 stores each variable a second time without a name
    missing, added = wanted - every - (spare - every), every - wanted
    for address, weights in found.items():
        planned = Counter(figures[address].weights)
        if (planned - weights) & missing or (weights - planned) & added:
            yield address


def _with_other_numbers(
    figures: Figures,
    numbers: Sequence[tuple[str, float]],
    names: Sequence[str],
    affine: Container[str],
) -> Iterator[str]:
    """Yield the layers whose operations do not take all numbers that are planned.

    Those that only add and multiply must take no others. Keras 3 does not name the operations of a
    layer that is a function; their numbers may be in any operation.

    Args:
        figures: The planned ones.
        numbers: Those of operations, with their names.
        names: The names of all operations.
        affine: The layers that only add and multiply.
    """
    owners = find_owners([*figures], paths_in([*names, *(name for name, _ in numbers)]))
    found: dict[str, list[float]] = {}
    for name, number in numbers:
        for address in owners_of(paths_in([name]), owners):
            found.setdefault(address, []).append(number)
    every = [number for _, number in numbers]
    for address, planned in figures.items():
        own = found.get(address, [])
        more = planned.numbers and not planned.weights and address in affine
        is_kept = all(_is_in(own or every, number) for number in planned.numbers)
        if not is_kept or (more and not all(_is_in((*planned.numbers, *NEUTRAL), n) for n in own)):
            yield address


def _find_affine(architecture: Architecture) -> set[str]:
    steps = () if architecture.computation is None else architecture.computation.steps
    others = {step.layer for step in steps if step.computes != AFFINE}
    return {step.layer for step in steps} - others


def _is_in(taken: Sequence[float], planned: float) -> bool:
    return any(math.isclose(one, planned, rel_tol=_NEAR) for one in taken)
