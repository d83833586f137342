"""Layers that the converter writes as several operators, found in the steps of a file.

The last operator of such a layer is told by what it takes; the operators before it then have no
effect of their own. Additions and multiplications of constants between them do not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from graphprune.graph.classes.attention_steps import additive
from graphprune.graph.classes.composite_steps import CAUSAL
from graphprune.graph.classes.normalization_steps import (
    DEVIATION,
    by_deviation,
    by_root_mean_square,
    normalize,
    to_unit_length,
)
from graphprune.graph.classes.steps import AFFINE, ANY, UNEQUAL, reduced
from graphprune.graph.computation import Step
from graphprune.plan.operator_activations import FINDERS
from graphprune.plan.operator_facts import Facts, Finder, Whole

_ROOT = "operator RSQRT"
_LIMITED = 2
"""A root and its limit."""


def find_whole(facts: Facts, computes: str, inputs: tuple[int, ...]) -> Whole | None:
    """Return the layer that a step about to be added completes; None if it completes none.

    Args:
        facts: The steps before it.
        computes, inputs: The step.

    Example:
        >>> steps = [Step("", "input"), Step("", "abs", (0,)), Step("", "affine", (1,))]
        >>> find_whole(Facts(steps), "divide", (0, 2))
        ('softsign', (0,))
    """
    finders = (*FINDERS.get(computes, ()), *_FINDERS.get(computes, ()))
    found = (finder(facts, inputs) for finder in finders)
    return next((whole for whole in found if whole is not None), None)


def _normalization(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a normalization: x * s + (shift - mean * s), s = scale / root(variance + epsilon)."""
    products = [facts.steps[facts.behind(place)] for place in inputs]
    if any(not step.computes.startswith(("multiply", DEVIATION)) for step in products):
        return None
    for scaled, shift in (products, products[::-1]):
        for x, s in (scaled.inputs, scaled.inputs[::-1]):
            root = facts.behind(s)
            if facts.steps[root].computes != _ROOT:
                continue
            others = [place for place in shift.inputs if facts.behind(place) != root]
            if len(others) == 1 and (found := _moments(facts, root, x)) is not None:
                mean, step = found
                if facts.behind(others[0]) == mean:
                    return step, (x,)
    return None


def _moments(facts: Facts, root: int, x: int) -> tuple[int, str] | None:
    """Return the mean of x and the step of its normalization, where a root is of its variance."""
    spread = _spread(facts, root)
    if spread is None:
        return None
    distance, variance, count, epsilon = spread
    if distance.computes not in ("operator SQUARED_DIFFERENCE", "subtract"):
        return None
    taken, mean = distance.inputs if len(distance.inputs) == 2 else (-1, -1)
    if taken != x or not facts.is_of(mean, facts.steps[variance].computes, x):
        return None
    return mean, normalize(count, epsilon)


def _spread(facts: Facts, root: int) -> tuple[Step, int, int, float | None] | None:
    """Return what a root is of the mean square of, the mean, over how many values, and epsilon."""
    (shifted,) = facts.steps[root].inputs
    variance = facts.behind(shifted)
    count = facts.counts.get(variance)
    is_mean = facts.steps[variance].computes.startswith("mean over")
    if variance == shifted or not is_mean or count is None:
        return None
    (squares,) = facts.steps[variance].inputs
    distance = facts.steps[squares]
    if distance.computes == "square":
        distance = facts.steps[distance.inputs[0]]
    return distance, variance, count, _epsilon(facts, shifted, variance)


def _divided(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a division by a root mean square or by a deviation; the latter takes its root too.

    That is a part of a normalization, which moves values by their mean as well.
    """
    if len(inputs) != 2:
        return None
    for x, s in (inputs, inputs[::-1]):
        root = facts.behind(s)
        spread = _spread(facts, root) if facts.steps[root].computes == _ROOT else None
        if spread is None:
            continue
        _, variance, count, epsilon = spread
        (squares,) = facts.steps[variance].inputs
        if facts.is_of(squares, "square", x):
            return by_root_mean_square(count, epsilon), (x,)
        if _moments(facts, root, x) is not None:
            return by_deviation(count, epsilon), (x, s)
    return None


def _unit_length(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a division by the root of a sum of squares, which has a lower limit."""
    if len(inputs) != 2:
        return None
    for x, s in (inputs, inputs[::-1]):
        place = s
        kinds = []
        for _ in range(_LIMITED):
            kinds.append(facts.steps[place].computes)
            place = facts.steps[place].inputs[0] if facts.steps[place].inputs else place
        if kinds not in (["operator MINIMUM", _ROOT], [_ROOT, "operator MAXIMUM"]):
            continue
        total = facts.steps[place]
        count = facts.counts.get(place)
        if total.computes.startswith("sum over") and count:
            (squares,) = total.inputs
            if facts.is_of(squares, "square", x):
                return to_unit_length(count), (x,)
    return None


def _epsilon(facts: Facts, shifted: int, variance: int) -> float | None:
    """Return what is added to a variance; None where the file does not tell it exactly enough."""
    number = facts.numbers.get(shifted)
    is_known = number is not None and facts.steps[shifted].inputs == (variance,)
    return number.value if is_known and number and number.is_exact else None


def _masked(_facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a mask that takes scores, for one that takes them with and without a constant."""
    return (CAUSAL, inputs[1:]) if len(inputs) == 2 else None


def _kept(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a product with a mask, for a choice between x and zero."""
    number = facts.numbers.get(len(facts.steps))
    if len(inputs) != 2 or number is None or number.value:
        return None
    is_mask = facts.steps[inputs[0]].computes.startswith((ANY, UNEQUAL))
    return ("multiply", (inputs[1], inputs[0])) if is_mask else None


def _scaled_sum(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a mean, for a sum that is divided by the number of its values."""
    (total,) = inputs
    number, count = facts.numbers.get(len(facts.steps)), facts.counts.get(total, 0)
    if not facts.steps[total].computes.startswith("sum over") or number is None or not count:
        return None
    if not any(math.isclose(number.value, value, rel_tol=0.01) for value in (count, 1 / count)):
        return None
    facts.counts[len(facts.steps)] = count
    return facts.steps[total].computes.replace("sum", "mean", 1), facts.steps[total].inputs


def _weighted_mean(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a mean, for the sum of weighted values divided by that of weights, unless that is 0.

    tf_keras computes those of a GroupNormalization so, with weights of 1.
    """
    if len(inputs) != 2:
        return None
    quotient = facts.steps[facts.moved_from(inputs[1])]
    if quotient.computes != "divide":
        return None
    total, weights = (facts.moved_from(place) for place in quotient.inputs)
    (x,), (ones,) = (facts.steps[place].inputs[:1] or (-1,) for place in (total, weights))
    is_such = facts.steps[facts.behind(ones)].computes == "operator ZEROS_LIKE"
    if not is_such or {facts.steps[place].computes for place in (total, weights)} != {
        facts.steps[total].computes
    }:
        return None
    if not facts.steps[total].computes.startswith("sum over") or total not in facts.counts:
        return None
    facts.counts[len(facts.steps)] = facts.counts[total]
    return facts.steps[total].computes.replace("sum", "mean", 1), (facts.behind(x),)


def _additive_scores(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return additive scores, for the sum of tanh(query + key); see `additive`."""
    curve = facts.behind(inputs[0])
    if facts.steps[curve].computes != "tanh":
        return None
    total = facts.steps[facts.behind(facts.steps[curve].inputs[0])]
    if total.computes != "add" or len(total.inputs) != 2:
        return None
    return additive(is_scaled=curve != inputs[0]), total.inputs


_FINDERS: Mapping[str, tuple[Finder, ...]] = {
    AFFINE: (_scaled_sum,),
    CAUSAL: (_masked,),
    "operator SELECT": (_kept,),
    "operator SELECT_V2": (_weighted_mean, _kept),
    "add": (_normalization,),
    "multiply": (_divided, _unit_length),
    reduced("sum", (3,), 4): (_additive_scores,),
}
