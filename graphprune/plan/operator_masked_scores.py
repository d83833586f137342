"""Masks of sequences in a TensorFlow Lite file, joined and put on the scores of attention.

Operators join the masks of what asks and of what is asked, and a causal one, in one tensor of
truths. tf_keras adds a large negative number where it is false, Keras 3 chooses one there, or the
scores without a large one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphprune.archive.operators import FileOperator
from graphprune.graph.classes.activation_steps import SOFTMAX
from graphprune.graph.classes.composite_steps import CAUSAL, PADDING
from graphprune.graph.classes.steps import ANY, UNEQUAL
from graphprune.plan.operator_facts import Whole
from graphprune.plan.operator_masks import LARGE, ScoresMask, of_sequence, of_table

if TYPE_CHECKING:
    from graphprune.plan.operator_steps import OperatorSteps

_MOST_MAKERS = 64
_WHOLE = ("beginMask", "endMask")


def find_same(steps: OperatorSteps, operator: FileOperator) -> int | None:
    """Return the mask that an operator gives unchanged: all of it, or joined with itself.

    Layers that add tensors join the masks of these, which may be one mask, along an axis for that.
    """
    if operator.kind in ("SELECT", "SELECT_V2"):
        return _masked_again(steps, operator)
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


def _masked_again(steps: OperatorSteps, operator: FileOperator) -> int | None:
    """Return a softmax of masked scores, for a choice between it and zero.

    Keras 3 makes its masked results zero, where a whole row is masked too.
    """
    place = steps.place_of(operator.inputs[1]) if len(operator.inputs) == 3 else None
    if place is None or not steps.is_constant(operator, 2):
        return None
    number = steps.number_of(operator.inputs[2])
    if number is None or number.value:
        return None
    step = steps.facts.steps[place]
    source = steps.facts.steps[step.inputs[0]].computes if step.inputs else ""
    is_such = step.computes.startswith(SOFTMAX) and source.startswith((CAUSAL, PADDING))
    return place if is_such else None


def is_lower_band(steps: OperatorSteps, index: int) -> bool:
    """Return whether a tensor is what `band_part(ones, -1, 0)` makes when the file is run.

    It is true where row - column is 0 or more, and at most the number of rows.
    """
    waiting, found = [index], False
    for _ in range(_MOST_MAKERS):
        maker = steps.maker_of(waiting.pop()) if waiting else None
        if maker is None:
            continue
        if maker.kind in ("GREATER_EQUAL", "LESS_EQUAL"):
            limit, rows = _limit_of_rows(steps, maker)
            if limit is None or (maker.kind == "LESS_EQUAL" and limit < rows - 1):
                return False
            found |= maker.kind == "GREATER_EQUAL" and limit == 0
            continue
        waiting += () if maker.kind == "SHAPE" else maker.inputs
    return found and not waiting


def _limit_of_rows(steps: OperatorSteps, operator: FileOperator) -> tuple[int | None, int]:
    """Return what row - column is compared with, None for another comparison, and all rows."""
    place, negative = operator.inputs[1], steps.maker_of(operator.inputs[1])
    distance = steps.maker_of(operator.inputs[0])
    if distance is None or distance.kind != "SUB":
        return None, 0
    column, row = (steps.shape_of(each) for each in distance.inputs)
    if negative is not None and negative.kind == "NEG":
        place = negative.inputs[0]
    numbers = steps.numbers_of(place)
    if len(column) != 2 or column[-1] != 1 or len(row) != 1 or len(numbers) != 1:
        return None, 0
    return numbers[0] if negative is None else -numbers[0], column[0]


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
