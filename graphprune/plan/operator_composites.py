"""Layers that the converter writes as several operators, found in the steps of a file.

The last operator of such a layer is told by what it takes; the operators before it then have no
effect of their own. Additions and multiplications of constants between them do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphprune.archive.operators import FOREIGN
from graphprune.graph.classes.activation_steps import clipped
from graphprune.graph.classes.composite_steps import CAUSAL, additive, normalize
from graphprune.graph.classes.steps import AFFINE, ANY, UNEQUAL, reduced
from graphprune.graph.computation import Step
from graphprune.plan.operator_masks import ScoresMask
from graphprune.plan.operator_numbers import Number

_MOST_AFFINE = 8
_ERFC = f"operator {FOREIGN}Erfc"
Whole = tuple[str, tuple[int, ...]]
"""A step and those that it takes."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The steps that were read so far, with figures that their texts do not have.

    Attributes:
        steps: The steps.
        counts: How many values a mean or sum is taken over, by the place of its step.
        numbers: The constant that a step adds, multiplies with or compares with, by its place;
            that of the step about to be added too.
        constants: The constants that each step takes, as indices of tensors.
        masks: What steps mask, by their places.
    """

    steps: list[Step]
    counts: dict[int, int] = field(default_factory=dict)
    numbers: dict[int, Number] = field(default_factory=dict)
    constants: list[tuple[int, ...]] = field(default_factory=list)
    masks: dict[int, ScoresMask] = field(default_factory=dict)

    def behind(self, place: int) -> int:
        """Return the step behind a few affine ones."""
        for _ in range(_MOST_AFFINE):
            if self.steps[place].computes != AFFINE:
                break
            place = self.steps[place].inputs[0]
        return place

    def moved_from(self, place: int) -> int:
        """Return the step behind one that only repeats values along axes."""
        step = self.steps[place]
        return step.inputs[0] if step.computes == "operator BROADCAST_TO" else place

    def is_of(self, place: int, computes: str, *inputs: int) -> bool:
        """Return whether a step computes this of these."""
        step = self.steps[place]
        return step.computes == computes and step.inputs == inputs


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
    found = (finder(facts, inputs) for finder in _FINDERS.get(computes, ()))
    return next((whole for whole in found if whole is not None), None)


def _softsign(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    x, divisor = inputs
    is_such = divisor != x and facts.is_of(facts.behind(divisor), "abs", x)
    return ("softsign", (x,)) if is_such else None


def _mish(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return mish: x * tanh(log(exp(x) + 1))."""
    for x, gate in (inputs, inputs[::-1]):
        place = gate
        for computes in ("tanh", "log", AFFINE, "exp"):
            if facts.steps[place].computes != computes:
                break
            place = facts.steps[place].inputs[0]
        else:
            if place == x:
                return "mish", (x,)
    return None


def _gelu(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return GELU: x / 2 * erfc(-x / root(2)); a converter has one operator of it."""
    for half, curve in (inputs, inputs[::-1]):
        if facts.steps[curve].computes != _ERFC or facts.steps[half].computes != AFFINE:
            continue
        (x,) = facts.steps[half].inputs
        (scaled,) = facts.steps[curve].inputs
        factors = _factor(facts, half, x), _factor(facts, scaled, x)
        if all(map(_is_near, factors, (0.5, -math.sqrt(0.5)))):
            return "gelu", (x,)
    return None


def _factor(facts: Facts, place: int, x: int) -> float:
    """Return what x is multiplied with; NaN where that is not known."""
    factor = 1.0
    for _ in range(_MOST_AFFINE):
        if place == x:
            return factor
        number = facts.numbers.get(place)
        if facts.steps[place].computes != AFFINE or number is None:
            break
        factor *= number.value
        (place,) = facts.steps[place].inputs
    return math.nan


def _is_near(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=1e-3)


def _prelu(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return PReLU: relu(x) - slope * relu(-x); a converter has one operator of it."""
    for above, below in (inputs, inputs[::-1]):
        negative = facts.behind(below)
        kinds = [facts.steps[place].computes for place in (above, negative)]
        if kinds != ["relu", "relu"] or negative == below:
            continue
        (x,), (turned,) = (facts.steps[place].inputs for place in (above, negative))
        if turned != x and _is_near(_factor(facts, turned, x), -1):
            return "prelu", (x,)
    return None


def _selu(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return SELU: x * scale where x > 0, (exp(x) - 1) * factor elsewhere."""
    if len(inputs) != 3:
        return None
    is_above, linear, curve = inputs
    above, end = facts.steps[is_above], facts.steps[facts.behind(curve)]
    if above.computes != "operator GREATER" or end.computes != "exp":
        return None
    (x,) = end.inputs
    is_linear = facts.is_of(linear, AFFINE, x) and above.inputs == (x,)
    return ("selu", (x,)) if is_linear else None


def _normalization(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a normalization: x * s + (shift - mean * s), s = scale / root(variance + epsilon)."""
    products = [facts.steps[facts.behind(place)] for place in inputs]
    if any(step.computes != "multiply" for step in products):
        return None
    for scaled, shift in (products, products[::-1]):
        for x, s in (scaled.inputs, scaled.inputs[::-1]):
            root = facts.behind(s)
            if facts.steps[root].computes != "operator RSQRT":
                continue
            others = [place for place in shift.inputs if facts.behind(place) != root]
            if len(others) == 1 and (found := _moments(facts, root, x)) is not None:
                mean, step = found
                if facts.behind(others[0]) == mean:
                    return step, (x,)
    return None


def _moments(facts: Facts, root: int, x: int) -> tuple[int, str] | None:
    """Return the mean of x and the step of its normalization, where a root is of its variance."""
    (shifted,) = facts.steps[root].inputs
    variance = facts.behind(shifted)
    if variance == shifted or not facts.steps[variance].computes.startswith("mean over"):
        return None
    (squares,) = facts.steps[variance].inputs
    distance = facts.steps[squares]
    if distance.computes == "square":
        distance = facts.steps[distance.inputs[0]]
    if distance.computes not in ("operator SQUARED_DIFFERENCE", "subtract"):
        return None
    taken, mean = distance.inputs if len(distance.inputs) == 2 else (-1, -1)
    if taken != x or not facts.is_of(mean, facts.steps[variance].computes, x):
        return None
    count = facts.counts.get(variance)
    return None if count is None else (mean, normalize(count, _epsilon(facts, shifted, variance)))


def _epsilon(facts: Facts, shifted: int, variance: int) -> float | None:
    """Return what is added to a variance; None where the file does not tell it exactly enough."""
    number = facts.numbers.get(shifted)
    is_known = number is not None and facts.steps[shifted].inputs == (variance,)
    return number.value if is_known and number and number.is_exact else None


def _clip(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a clip to 0 and 1, for a ReLU of the minimum of x and 1.

    In 8 bits the limit is at most the largest value that can be stored.
    """
    (below,) = inputs
    number = facts.numbers.get(below)
    if facts.steps[below].computes != "operator MINIMUM" or number is None:
        return None
    return clipped(0, number.at_most_one()), facts.steps[below].inputs


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


_FINDERS: Mapping[str, tuple[Callable[[Facts, tuple[int, ...]], Whole | None], ...]] = {
    AFFINE: (_scaled_sum,),
    CAUSAL: (_masked,),
    "divide": (_softsign,),
    "multiply": (_mish, _gelu),
    "operator SELECT": (_selu, _kept),
    "operator SELECT_V2": (_selu, _weighted_mean, _kept),
    "add": (_normalization, _prelu),
    "relu": (_clip,),
    reduced("sum", (3,), 4): (_additive_scores,),
}
