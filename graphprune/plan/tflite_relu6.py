"""ReLU6 and the hard_sigmoid of Keras 3, which a TensorFlow Lite file may write alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graphprune.graph.classes.steps import AFFINE
from graphprune.graph.computation import Computation, Step
from graphprune.graph.layers import SEPARATOR
from graphprune.plan.kept_operators import RELU6, shifted
from graphprune.plan.operator_names import is_named, paths_in
from graphprune.plan.operator_steps import FoundStep


def explain_relu6(every: Sequence[Step], planned: Computation, found: Iterable[FoundStep]) -> str:
    """Return which activation may be another one in a file; empty if none may.

    The hard_sigmoid of Keras 3 is relu6(x + 3) / 6, and the converter may take in both constants in
    kernels beside it. Then the name of the addition is what is left of them.

    Args:
        every: The steps of a plan's model.
        planned: The same without those that converters may take in.
        found: The steps of the file, which are as planned.
    """
    gates = set(shifted(every))
    places = [step.inputs[0] for step in planned.steps if step.computes == AFFINE]
    kept = {planned.steps[place].layer for place in places}
    named = {path[-2] for path in _paths(found) if path[-1] == "add"}
    for step in planned.steps:
        part = step.layer.rpartition(SEPARATOR)[2]
        if step.computes != RELU6 or step.layer in kept:
            continue
        if any(is_named(segment, part) for segment in named) != (step.layer in gates):
            names = ("hard_sigmoid", RELU6) if step.layer in gates else (RELU6, "hard_sigmoid")
            return f"names in the file do not tell the {names[0]} of {step.layer} from {names[1]}"
    return ""


def _paths(found: Iterable[FoundStep]) -> Iterator[tuple[str, ...]]:
    for each in found:
        if each.step.computes == RELU6:
            yield from paths_in(each.names)
