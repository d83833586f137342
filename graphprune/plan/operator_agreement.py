"""Figures in steps that not every file tells exactly, written alike in a plan and in a file.

Such a figure is a part of its step's text (`normalize over 8, epsilon 0.001`). It is compared where
all steps of the kind have it on both sides; a file stores it in 16 or 8 bits, or not at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from graphprune.graph.computation import Computation, Step

_NEAR = 0.05
_PART = re.compile(r", (epsilon) ([\d.e+-]+)")


def settle(planned: Computation, found: Sequence[Step]) -> tuple[Computation, list[Step]]:
    """Return the steps of a plan and of a file, with figures that agree written as in the plan.

    Example:
        >>> plan = Computation((Step("n", "normalize over 8, epsilon 0.001", (0,)),), (0,))
        >>> settle(plan, [Step("n", "normalize over 8, epsilon 0.0010004", (0,))])[1][0].computes
        'normalize over 8, epsilon 0.001'
    """
    untold = {
        _plain(step.computes)
        for step in (*planned.steps, *found)
        if _PART.search(step.computes) is None
    }
    steps = tuple(_without_parts(planned.steps, untold))
    figures = _figures(steps)
    return replace(planned, steps=steps), [
        replace(step, computes=_as_planned(step.computes, figures))
        for step in _without_parts(found, untold)
    ]


def _plain(computes: str) -> str:
    return _PART.sub("", computes)


def _without_parts(steps: Iterable[Step], untold: set[str]) -> Iterable[Step]:
    for step in steps:
        plain = _plain(step.computes)
        yield replace(step, computes=plain) if plain in untold else step


def _figures(steps: Iterable[Step]) -> Mapping[str, set[str]]:
    """Return the figures in the steps of a plan, by the rest of their texts."""
    found: dict[str, set[str]] = {}
    for step in steps:
        part = _PART.search(step.computes)
        if part is not None:
            found.setdefault(_plain(step.computes), set()).add(part[2])
    return found


def _as_planned(computes: str, figures: Mapping[str, set[str]]) -> str:
    """Return a step with the planned figure that is near its own, if there is one."""
    part = _PART.search(computes)
    if part is None:
        return computes
    for figure in sorted(figures.get(_plain(computes), ())):
        if math.isclose(float(figure), float(part[2]), rel_tol=_NEAR):
            return computes.replace(part[0], f", {part[1]} {figure}")
    return computes
