"""Masks of sequences in a TensorFlow Lite file, joined and put on the scores of attention.

Operators join the masks of what asks and of what is asked, and a causal one, in one tensor of
truths. tf_keras adds a large negative number where it is false, Keras 3 chooses one there, or the
scores without a large one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphprune.archive.operators import FileOperator
from graphprune.graph.classes.steps import ANY, UNEQUAL
from graphprune.plan.operator_facts import Whole
from graphprune.plan.operator_masks import LARGE, ScoresMask, of_sequence, of_table

if TYPE_CHECKING:
    from graphprune.plan.operator_steps import OperatorSteps

_WHOLE = ("beginMask", "endMask")


def find_same(steps: OperatorSteps, operator: FileOperator) -> int | None:
    """Return the mask that an operator gives unchanged: all of it, or joined with itself.

    Layers that add tensors join the masks of these, which may be one mask, along an axis for that.
    """
    if not (operator.inputs and operator.outputs) or not steps.is_truth(operator.outputs[0]):
        return None
    places = {steps.place_of(index) for index in operator.inputs}
    first = steps.place_of(operator.inputs[0])
    if operator.kind == "STRIDED_SLICE":
        return first if _is_all(steps, operator) else None
    if operator.kind in ("CONCATENATION", "LOGICAL_OR", "PACK"):
        return first if len(places) == 1 else None
    if operator.kind == "REDUCE_ALL":
        maker = steps.maker_of(operator.inputs[0])
        is_joined = maker is not None and maker.kind in ("CONCATENATION", "PACK")
        is_same = is_joined or steps.lengths(operator, 0)[:1] == [1]
        return first if is_same and steps.values(operator, 1) == [0] else None
    return None


def _is_all(steps: OperatorSteps, operator: FileOperator) -> bool:
    """Return whether a slice has all that it is of."""
    whole = (1 << len(steps.shape(operator, 0))) - 1
    is_open = all(operator.settings.get(name) == whole for name in _WHOLE)
    is_plain = not {"shrinkAxisMask", "newAxisMask", "ellipsisMask"} & set(operator.settings)
    return is_open and is_plain and set(steps.values(operator, 3)) == {1}


def join(steps: OperatorSteps, operator: FileOperator) -> ScoresMask | None:
    """Return what the result of an operator masks; None where it is no mask of scores."""
    if operator.kind == "LOGICAL_NOT":
        return _mask_of(steps, operator.inputs[0])
    if operator.kind != "LOGICAL_AND":
        return None
    one, two = (_mask_of(steps, index) for index in operator.inputs)
    return None if one is None or two is None else one | two


def _mask_of(steps: OperatorSteps, index: int) -> ScoresMask | None:
    """Return what a tensor of truths, or of numbers made of one, masks."""
    place = steps.place_of(index)
    if place is None:
        return of_table(steps.table(index))
    behind = steps.facts.behind(place)
    known = steps.facts.masks.get(behind)
    if known is not None:
        return known
    if steps.facts.steps[behind].computes == "operator LOGICAL_NOT":
        behind = steps.facts.behind(steps.facts.steps[behind].inputs[0])
    is_mask = steps.facts.steps[behind].computes.startswith((UNEQUAL, ANY))
    return of_sequence(behind, steps.shape_of(index)) if is_mask else None


def find_masked(
    steps: OperatorSteps, operator: FileOperator, computes: str, taken: Sequence[int]
) -> Whole | None:
    """Return the step of scores that an operator masks; None for another operator.

    Args:
        steps: The steps before it.
        operator: The operator.
        computes, taken: What it computes, and the steps that it takes.
    """
    if operator.kind in ("SELECT", "SELECT_V2"):
        chosen = _scores_chosen(steps, operator)
        mask = None if chosen is None else _mask_of(steps, operator.inputs[0])
        return None if mask is None or chosen is None else mask.step(chosen)
    if computes not in ("add", "subtract") or len(taken) != 2:
        return None
    pairs = [(1, 0)] if computes == "subtract" else [(1, 0), (0, 1)]
    for masked, scores in pairs:
        mask = _mask_of(steps, operator.inputs[masked])
        if mask is not None:
            return mask.step(taken[scores])
    return None


def _scores_chosen(steps: OperatorSteps, operator: FileOperator) -> int | None:
    """Return the scores that an operator gives where they count; None for another choice."""
    if len(operator.inputs) != 3 or steps.place_of(operator.inputs[0]) is None:
        return None
    places = [steps.place_of(index) for index in operator.inputs[1:]]
    if None not in places:
        pairs = (operator.inputs[1:], operator.inputs[:0:-1])
        return next((steps.place_of(two) for one, two in pairs if steps.is_lowered(one, two)), None)
    number = steps.number(operator)
    return places[0] if number is not None and abs(number.value) >= LARGE else None
