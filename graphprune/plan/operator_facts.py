"""What was read so far of the operators of a file, for finding layers made of several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from graphprune.graph.classes.steps import AFFINE
from graphprune.graph.computation import Step
from graphprune.plan.operator_masks import ScoresMask
from graphprune.plan.operator_numbers import Number

_MOST_AFFINE = 8
FROM = "FROM"
"""The kind of an operator that subtracts from a constant."""
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
        kinds: The operator that takes each of `numbers`; `FROM` subtracts from it.
    """

    steps: list[Step]
    counts: dict[int, int] = field(default_factory=dict)
    numbers: dict[int, Number] = field(default_factory=dict)
    constants: list[tuple[int, ...]] = field(default_factory=list)
    masks: dict[int, ScoresMask] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)

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

    def factor(self, place: int, x: int) -> float:
        """Return what x is multiplied with; NaN where that is not known."""
        factor = 1.0
        for _ in range(_MOST_AFFINE):
            if place == x:
                return factor
            number = self.numbers.get(place)
            if self.steps[place].computes != AFFINE or number is None:
                break
            factor *= number.value
            (place,) = self.steps[place].inputs
        return math.nan

    def exact(self, place: int) -> float | None:
        """Return the constant that a step takes, where it is stored exactly enough to compare."""
        number = self.numbers.get(place)
        return number.value if number is not None and number.is_exact else None


Finder = Callable[[Facts, tuple[int, ...]], Whole | None]
"""From what was read and the steps that one more takes, to the layer that it completes."""


def is_near(value: float, wanted: float) -> bool:
    """Return whether two numbers are the same, up to rounding."""
    return math.isclose(value, wanted, rel_tol=1e-3)
