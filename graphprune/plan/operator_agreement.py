"""Figures in steps that not every file tells exactly, written alike in a plan and in a file.

Such a figure is a part of its step's text (`normalize over 8, epsilon 0.001`). It is compared where
all steps of the kind have it on both sides; a file stores it in 16 or 8 bits, or not at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from graphprune.graph.classes.activation_steps import CLIP, SOFTMAX
from graphprune.graph.classes.composite_steps import CAUSAL, PADDING
from graphprune.graph.classes.steps import ADDITIVE, AFFINE, FIGURES, PADDINGS, PRODUCT
from graphprune.graph.computation import Computation, Step

_NEAR, _EXACT = 0.05, ", length"
_FIGURE = re.compile(rf"(, (?:{'|'.join(FIGURES)})|^{CLIP} 0) ([\d.e+-]+?)(\+?)(?=,|$)")
"""A figure with what tells it: its name, or the beginning of a step. A `+` is behind the smallest
value that it may have.
"""


_OF_ONE = re.compile(r"(convolution \d+x\d+)x1x(\d+)(?=,)")


def settle(planned: Computation, found: Sequence[Step]) -> tuple[Computation, list[Step]]:
    """Return the steps of a plan and of a file, with figures that agree written as in the plan.

    Example:
        >>> plan = Computation((Step("n", "normalize over 8, epsilon 0.001", (0,)),), (0,))
        >>> settle(plan, [Step("n", "normalize over 8, epsilon 0.0010004", (0,))])[1][0].computes
        'normalize over 8, epsilon 0.001'
    """
    planned = replace(planned, steps=tuple(_name_scores(planned.steps)))
    found = [*_name_scores([*_spelled_as_planned(planned.steps, found)])]
    untold = {
        step.computes for step in (*planned.steps, *found) if _FIGURE.search(step.computes) is None
    }
    steps = tuple(_without_figures(planned.steps, untold))
    texts: dict[str, set[str]] = {}
    for step in steps:
        texts.setdefault(_plain(step.computes), set()).add(step.computes)
    return replace(planned, steps=steps), [
        replace(step, computes=_as_planned(step.computes, texts))
        for step in _without_figures(found, untold)
    ]


def _spelled_as_planned(planned: Sequence[Step], found: Sequence[Step]) -> Iterator[Step]:
    """Yield steps of a file; one that can be written in several ways is written as in the plan."""
    texts = {(step.layer, step.computes) for step in planned}
    texts |= {("", step.computes) for step in planned}
    for step in found:
        ways = [*_spellings(step.computes)]
        told = ((layer, text) for layer in (step.layer, "") for text in ways)
        yield replace(step, computes=next((way for way in told if way in texts), ("", ways[-1]))[1])


def _spellings(computes: str) -> Iterator[str]:
    """Yield the texts of one step; the last one is that of a file on its own.

    A padding that puts no zeros anywhere is both kinds, and so is a convolution of one channel,
    which is a depthwise one as well.

    Example:
        >>> [*_spellings("convolution 1x3x1x4, strides 1x1, dilation 1x1, valid")][0]
        'depthwise convolution 1x3x4, strides 1x1, dilation 1x1, valid'
    """
    *both, either = PADDINGS
    stem = computes.removesuffix(either)
    ways = [computes] if stem == computes else [stem + padding for padding in both]
    if (one := _OF_ONE.match(computes)) is not None:
        rest = len(one[0])
        yield from (f"depthwise {one[1]}x{one[2]}{way[rest:]}" for way in ways)
    yield from ways


def _name_scores(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield steps with a softmax of scores told from others; its length is open in many files."""
    for step in steps:
        if not step.computes.startswith(SOFTMAX):
            yield step
            continue
        place = step.inputs[0]
        while steps[place].computes == AFFINE:
            place = steps[place].inputs[0]
        is_such = steps[place].computes.startswith((PRODUCT, ADDITIVE, CAUSAL, PADDING))
        yield replace(step, computes=f"{SOFTMAX} of scores") if is_such else step


def _plain(computes: str) -> str:
    return _FIGURE.sub(lambda part: "" if part[1].startswith(",") else part[1], computes)


def _without_figures(steps: Iterable[Step], untold: set[str]) -> Iterable[Step]:
    for step in steps:
        plain = _plain(step.computes)
        yield replace(step, computes=plain) if plain in untold else step


def _as_planned(computes: str, texts: Mapping[str, set[str]]) -> str:
    """Return a step with the planned figures that are near its own, if there are such."""
    told = sorted(texts.get(_plain(computes), ()))
    return next((text for text in told if _are_near(text, computes)), computes)


def _are_near(planned: str, found: str) -> bool:
    """Return whether two steps have the same figures, up to what few bits change."""
    wanted, seen = (_FIGURE.findall(text) for text in (planned, found))
    return [part[0] for part in wanted] == [part[0] for part in seen] and all(
        _is_near(name, float(one), float(two), is_least=bool(open_))
        for (name, one, _), (_, two, open_) in zip(wanted, seen, strict=True)
    )


def _is_near(name: str, planned: float, found: float, *, is_least: bool) -> bool:
    near = 0 if name == _EXACT else _NEAR
    return math.isclose(planned, found, rel_tol=near) or (is_least and planned > found)
