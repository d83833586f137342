"""What a plan's model may compute in a TensorFlow Lite file, where its config does not tell.

The statistics of a Normalization change nothing until it is adapted, and then no operator has them.
A multi-head attention of Keras 3 deletes the masks of what it takes, and older versions do not, so
that layers behind it have a mask or have none. Plans of earlier versions have no formulas of
recurrent layers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from graphprune.graph.classes.attention_steps import masked_roles
from graphprune.graph.classes.steps import AFFINE, IF_KEPT, LEARNED, NOTHING, RECURRENT
from graphprune.graph.computation import UNKNOWN, Computation, Step

_FORMULA = " = "
_MOST = 8
"""Normalizations that are left out one by one."""


def list_readings(planned: Computation) -> Iterator[tuple[Computation, str]]:
    """Yield what a plan's model may compute, and why that cannot be told; empty where it can.

    The first one is what the config says.
    """
    has_masks = any(IF_KEPT in step.computes for step in planned.steps)
    for is_kept in (False, True) if has_masks else (False,):
        yield from _list_learned(_with_masks(planned, is_kept=is_kept))


def _with_masks(planned: Computation, *, is_kept: bool) -> Computation:
    """Return what a model computes where the masks that may be deleted are kept, or are not."""
    places: list[int] = []
    steps: list[Step] = []
    for step in planned.steps:
        wanted, _, other = step.computes.partition(IF_KEPT)
        inputs = tuple(places[taken] for taken in step.inputs)
        if other == NOTHING and not is_kept:
            places.append(inputs[0])
            continue
        if other and not is_kept:
            wanted, inputs = other, _masks_left(wanted, other, inputs)
        steps.append(Step(step.layer, wanted, inputs))
        places.append(len(steps) - 1)
    return Computation(tuple(steps), tuple(places[output] for output in planned.outputs))


def _masks_left(wanted: str, other: str, inputs: tuple[int, ...]) -> tuple[int, ...]:
    """Return what a step of scores takes without the masks that were deleted."""
    masks = zip(masked_roles(wanted), inputs[1:], strict=True)
    return (inputs[0], *(place for role, place in masks if role in masked_roles(other)))


def _list_learned(planned: Computation) -> Iterator[tuple[Computation, str]]:
    """Yield the readings with and without each Normalization."""
    old = [step.layer for step in planned.steps if _is_old(step)]
    reason = (
        f"the plan was made by an earlier version, without the formulas of {old[0]}; make it again"
        if old
        else ""
    )
    steps = tuple(_readable(step, planned.steps) for step in planned.steps)
    learned = {
        place: step.layer for place, step in enumerate(planned.steps) if step.computes == LEARNED
    }
    yield Computation(steps, planned.outputs), reason
    several = [[*learned]] if len(learned) > 1 else []
    for places in [*several, *([place] for place in [*learned][:_MOST])]:
        layers = ", ".join(dict.fromkeys(learned[place] for place in places))
        why = f"the file has no operator of {layers} (Normalization), as if it was not adapted"
        yield _without(places, steps, planned.outputs), reason or why


def _is_old(step: Step) -> bool:
    return step.computes.startswith(RECURRENT) and _FORMULA not in step.computes


def _readable(step: Step, steps: Sequence[Step]) -> Step:
    """Return a step as files have it; an old one of a recurrent layer is not known.

    A PReLU behind a ReLU loses one of its operators, and has no form that is known.
    """
    if step.computes == LEARNED:
        return replace(step, computes=AFFINE)
    if step.computes == "prelu" and steps[step.inputs[0]].computes in ("relu", "relu6"):
        return replace(step, computes=f"{UNKNOWN} PReLU")
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
