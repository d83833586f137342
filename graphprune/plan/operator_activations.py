"""Activations that a file has as several operators."""

from __future__ import annotations

import math
from collections.abc import Mapping

from graphprune.archive.operators import FOREIGN
from graphprune.graph.classes.activation_steps import (
    CLIP,
    clipped,
    less_below,
    scaled_elu,
    zero_up_to,
)
from graphprune.graph.classes.steps import AFFINE
from graphprune.plan.operator_facts import FROM, Facts, Finder, Whole, is_near

_GREATER = "operator GREATER"
_ERFC = f"operator {FOREIGN}Erfc"


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
        factors = facts.factor(half, x), facts.factor(scaled, x)
        if all(map(is_near, factors, (0.5, -math.sqrt(0.5)))):
            return "gelu", (x,)
    return None


def _prelu(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return PReLU: relu(x) - slope * relu(-x); a converter has one operator of it."""
    for above, below in (inputs, inputs[::-1]):
        negative = facts.behind(below)
        kinds = [facts.steps[place].computes for place in (above, negative)]
        if kinds != ["relu", "relu"] or negative == below:
            continue
        (x,), (turned,) = (facts.steps[place].inputs for place in (above, negative))
        if turned != x and is_near(facts.factor(turned, x), -1):
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


def _clip(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return a clip to 0 and a limit, for a ReLU of the minimum of x and the limit.

    In 8 bits a limit that no value reaches is the largest value that can be stored.
    """
    (below,) = inputs
    number = facts.numbers.get(below)
    if facts.steps[below].computes != "operator MINIMUM" or number is None:
        return None
    whole = round(number.value)
    is_whole = math.isclose(number.value, whole, rel_tol=max(2 * number.error, 1e-3))
    text = clipped(0, whole if is_whole else number.value)
    is_open = number.is_limit and text.startswith(CLIP)
    return text + ("+" if is_open else ""), facts.steps[below].inputs


def _scaled_elu(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return an ELU with a factor: elu(x) where x > 0, elu(x) * factor elsewhere."""
    if len(inputs) != 3:
        return None
    is_above, linear, curve = inputs
    if facts.steps[linear].computes != "elu" or not facts.is_of(curve, AFFINE, linear):
        return None
    is_such = facts.is_of(is_above, _GREATER, *facts.steps[linear].inputs)
    factor = facts.exact(curve)
    return (scaled_elu(factor), facts.steps[linear].inputs) if is_such else None


def _chosen_above(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return x where it is above a threshold, for a choice between x and zero."""
    number = facts.numbers.get(len(facts.steps))
    if len(inputs) != 2 or number is None or number.value:
        return None
    is_above, x = inputs
    is_such = facts.is_of(is_above, _GREATER, x)
    return (zero_up_to(facts.exact(is_above)), (x,)) if is_such else None


def _times_above(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return x where it is above a threshold, for a product with the truth of that."""
    for x, is_above in (inputs, inputs[::-1]):
        if facts.is_of(is_above, _GREATER, x):
            return zero_up_to(facts.exact(is_above)), (x,)
    return None


def _less_below(facts: Facts, inputs: tuple[int, ...]) -> Whole | None:
    """Return what takes slope * relu(threshold - x) away."""
    if len(inputs) != 2:
        return None
    first, scaled = inputs
    if facts.steps[scaled].computes != AFFINE:
        return None
    (curve,) = facts.steps[scaled].inputs
    if facts.steps[curve].computes != "relu":
        return None
    turned = _turned(facts, facts.steps[curve].inputs[0])
    if turned is None:
        return None
    x, threshold = turned
    return less_below(threshold, facts.exact(scaled)), (first, x)


def _turned(facts: Facts, place: int) -> tuple[int, float | None] | None:
    """Return x and the threshold, for a step of threshold - x; None for another one."""
    step, kind = facts.steps[place], facts.kinds.get(place)
    if step.computes != AFFINE:
        return None
    (x,) = step.inputs
    if kind == FROM:
        return x, facts.exact(place)
    number = facts.numbers.get(place)
    if kind in ("NEG", "MUL") and number is not None and is_near(number.value, -1):
        return x, 0.0
    if kind != "ADD" or facts.kinds.get(x) == "ADD":
        return None
    turned = _turned(facts, x)
    return None if turned is None or turned[1] != 0 else (turned[0], facts.exact(place))


FINDERS: Mapping[str, tuple[Finder, ...]] = {
    "divide": (_softsign,),
    "multiply": (_mish, _gelu, _times_above),
    "operator SELECT": (_selu, _scaled_elu, _chosen_above),
    "operator SELECT_V2": (_selu, _scaled_elu, _chosen_above),
    "subtract": (_less_below,),
    "add": (_prelu,),
    "relu": (_clip,),
}
"""The finders by the step that completes an activation."""
