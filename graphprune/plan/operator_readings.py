"""What a plan's model may compute in a TensorFlow Lite file, where its config does not tell.

The statistics of a Normalization change nothing until it is adapted, and then no operator has them.
Plans of earlier versions have no formulas of recurrent layers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from graphprune.graph.classes.steps import AFFINE, ANY, LEARNED, PRODUCT, RECURRENT, UNEQUAL
from graphprune.graph.computation import UNKNOWN, Computation, Step

_FORMULA = " = "
_MOST = 8
"""Normalizations that are left out one by one."""


def list_readings(planned: Computation) -> Iterator[tuple[Computation, str]]:
    """Yield what a plan's model may compute, and why that cannot be told; empty where it can.

    The first one is what the config says.
    """
    old = [step.layer for step in planned.steps if _is_old(step)]
    reason = (
        f"the plan was made by an earlier version, without the formulas of {old[0]}; make it again"
        if old
        else ""
    )
    steps = tuple(_readable(step) for step in planned.steps)
    learned = {
        place: step.layer for place, step in enumerate(planned.steps) if step.computes == LEARNED
    }
    yield Computation(steps, planned.outputs), reason
    several = [[*learned]] if len(learned) > 1 else []
    for places in [*several, *([place] for place in [*learned][:_MOST])]:
        layers = ", ".join(dict.fromkeys(learned[place] for place in places))
        why = f"the file has no operator of {layers} (Normalization), as if it was not adapted"
        yield _without(places, steps, planned.outputs), reason or why
    masked = [place for place, step in enumerate(steps) if _is_masked_result(step, steps)]
    if masked:
        layers = ", ".join(dict.fromkeys(steps[place].layer for place in masked))
        why = f"the file has no mask of the query of {layers}, which Keras 3 may have lost"
        yield _without(masked, steps, planned.outputs), reason or why


def _is_masked_result(step: Step, steps: Sequence[Step]) -> bool:
    """Return whether a step is that of an Attention, whose result is zero where a query is masked.

    A MultiHeadAttention of Keras 3 takes the mask away from its query, for layers behind it too.
    """
    if step.computes != "multiply" or len(step.inputs) != 2:
        return False
    result, mask = (steps[place].computes for place in step.inputs)
    return result.startswith(PRODUCT) and mask.startswith((UNEQUAL, ANY))


def _is_old(step: Step) -> bool:
    return step.computes.startswith(RECURRENT) and _FORMULA not in step.computes


def _readable(step: Step) -> Step:
    """Return a step as files have it; an old one of a recurrent layer is not known."""
    if step.computes == LEARNED:
        return replace(step, computes=AFFINE)
    return replace(step, computes=f"{UNKNOWN} {RECURRENT}") if _is_old(step) else step


def _without(
    dropped: Collection[int], steps: tuple[Step, ...], outputs: tuple[int, ...]
) -> Computation:
    """Return a computation without some steps that take one other."""
    places: list[int] = []
    kept: list[Step] = []
    for place, step in enumerate(steps):
        inputs = tuple(places[taken] for taken in step.inputs)
        if place in dropped and inputs:
            places.append(inputs[0])
            continue
        kept.append(replace(step, inputs=inputs))
        places.append(len(kept) - 1)
    return Computation(tuple(kept), tuple(places[output] for output in outputs))
