"""What a converter may take in other operators, in a file that no converter wrote.

There each layer has operations under its own name, so that a batch normalization behind a
convolution is missed, and a ReLU6 is told from a hard sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from graphprune.archive.operators import OperatorFile
from graphprune.graph.architecture import Architecture
from graphprune.graph.classes.steps import AFFINE
from graphprune.graph.computation import Step
from graphprune.graph.layers import SEPARATOR
from graphprune.plan.operator_names import is_named, paths_in
from graphprune.plan.operator_numbers import Number
from graphprune.plan.verify import LayerDifference

RELU6 = "relu6"
_TAKEN_IN = (AFFINE, "permute", "reshape")
_SHIFT = 3
"""What the hard sigmoid of Keras 3 adds before its ReLU6."""


def find_lost(architecture: Architecture, file: OperatorFile) -> Iterator[LayerDifference]:
    """Yield the layers of which no operation is named, and that others do not tell.

    They only add or multiply constants, or move values.
    """
    steps = () if architecture.computation is None else architecture.computation.steps
    named = {facts.address for name, facts in architecture.layers.items() if name == facts.address}
    others = {step.layer for step in steps if not step.computes.startswith(_TAKEN_IN)}
    segments = {
        segment for path in paths_in(one.name for one in file.tensors_of(0)) for segment in path
    }
    for layer in dict.fromkeys(step.layer for step in steps):
        part = layer.rpartition(SEPARATOR)[2].rpartition("/")[2]
        is_told = layer in others or layer not in named
        if not is_told and not any(is_named(segment, part) for segment in segments):
            yield LayerDifference(layer, "missing")


def find_exchanged(
    planned: Sequence[Step], found: Sequence[Step], numbers: Mapping[int, Number]
) -> Iterator[LayerDifference]:
    """Yield the layers that have a ReLU6 in the place of a hard sigmoid of Keras 3, or the other.

    Args:
        planned: The steps of a plan's model.
        found: The steps of the file, with their layers.
        numbers: The constants that these add.
    """
    wanted, seen = set(shifted(planned)), _shifted_in(found, numbers)
    layers = dict.fromkeys(step.layer for step in planned if step.computes == RELU6)
    for layer in layers:
        if seen.get(layer, layer in wanted) != (layer in wanted):
            yield LayerDifference(layer, "settings")


def shifted(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the layers that have a hard_sigmoid of Keras 3: relu6(x + 3) / 6."""
    for first, middle, last in zip(steps, steps[1:], steps[2:], strict=False):
        texts = (first.computes, middle.computes, last.computes)
        if texts == (AFFINE, RELU6, AFFINE) and first.layer == middle.layer == last.layer:
            yield middle.layer


def _shifted_in(found: Sequence[Step], numbers: Mapping[int, Number]) -> dict[str, bool]:
    """Return whether each layer with a ReLU6 in a file adds the constant of a hard sigmoid."""
    told: dict[str, bool] = {}
    for step in found:
        if step.computes == RELU6 and step.inputs:
            (place,) = step.inputs
            number = numbers.get(place)
            is_own = found[place].computes == AFFINE and found[place].layer == step.layer
            is_shift = number is not None and math.isclose(number.value, _SHIFT, rel_tol=1e-3)
            told[step.layer] = is_own and is_shift
    return told
