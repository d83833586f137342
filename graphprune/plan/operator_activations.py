"""Activations that a file has as several operators."""

from __future__ import annotations

import math
from collections.abc import Mapping

from graphprune.archive.operators import FOREIGN
from graphprune.graph.classes.activation_steps import clipped
from graphprune.graph.classes.steps import AFFINE
from graphprune.plan.operator_facts import Facts, Finder, Whole, is_near

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
    """Return a clip to 0 and 1, for a ReLU of the minimum of x and 1.

    In 8 bits the limit is at most the largest value that can be stored.
    """
    (below,) = inputs
    number = facts.numbers.get(below)
    if facts.steps[below].computes != "operator MINIMUM" or number is None:
        return None
    return clipped(0, number.at_most_one()), facts.steps[below].inputs


FINDERS: Mapping[str, tuple[Finder, ...]] = {
    "divide": (_softsign,),
    "multiply": (_mish, _gelu),
    "operator SELECT": (_selu,),
    "operator SELECT_V2": (_selu,),
    "add": (_prelu,),
    "relu": (_clip,),
}
"""The finders by the step that completes an activation."""
