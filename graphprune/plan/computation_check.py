"""Two computations held against each other, up to what converters change.

A converter folds additions and multiplications of constants into kernels beside them, computes
equal things once, and adds several tensors two by two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations

from graphprune.graph.classes.activation_steps import CLIP
from graphprune.graph.classes.composite_steps import is_spread
from graphprune.graph.classes.steps import (
    ADDITIVE,
    AFFINE,
    ANY,
    MOVES,
    NORMALIZE,
    PRODUCT,
    SYMMETRIC,
    UNEQUAL,
    has_kernel,
    is_linear,
    is_unordered,
)
from graphprune.graph.computation import INPUT, UNKNOWN, Computation, Step

_OF_TWO = SYMMETRIC | {"subtract", "divide"}
_FROM_ZERO = f"{CLIP} 0 "
_MOST_SUMMED = 1000
"""Tensors of one sum of sums; a file with more takes too long to compare."""
_MOST_INPUTS = 5
"""Inputs without names that are compared in each order."""


def simplify(found: Computation) -> Computation:
    """Return the same computation in one form, whatever a converter made of it.

    Example:
        >>> steps = Step("x", "input"), Step("fc", "matrix 3x4", (0,)), Step("bn", "affine", (1,))
        >>> [step.computes for step in simplify(Computation(steps, (2,))).steps]
        ['input', 'matrix 3x4']
    """
    return in_order(_without_affine(_merged(found)))


def _merged(found: Computation) -> Computation:
    """Join affine steps behind kernels and each other, sums of sums, and equal steps."""
    uses = _count_uses(found)
    steps: list[Step] = []
    known: dict[tuple[str, tuple[int, ...]], int] = {}
    places: list[int] = []
    for step in found.steps:
        inputs = tuple(places[taken] for taken in step.inputs)
        if step.computes in _OF_TWO and len(inputs) > 1:
            inputs = tuple(_behind_spread(place, steps) for place in inputs)
        source = steps[inputs[0]] if inputs else None
        is_part = step.computes == AFFINE and source is not None and _takes_in(source)
        if is_part or step.computes.startswith(MOVES):
            places.append(inputs[0])
            continue
        if step.computes.startswith(_FROM_ZERO):
            inputs = (_behind_rectified(inputs[0], steps),)
        gated = _find_gated(step, inputs, steps)
        if gated is not None:
            step, inputs = replace(step, computes=gated[0]), (gated[1],)
        elif step.computes in SYMMETRIC:
            parts = tuple(
                part
                for taken, place in zip(step.inputs, inputs, strict=True)
                for part in (
                    steps[place].inputs
                    if steps[place].computes == step.computes and uses[taken] == 1
                    else (place,)
                )
            )
            inputs = _masked_once(parts, steps) if len(parts) <= _MOST_SUMMED else inputs
        key = step.computes, inputs
        is_own = has_kernel(step.computes) or step.is_unknown or step.computes == INPUT
        if is_own or key not in known:
            known[key] = len(steps)
            steps.append(replace(step, inputs=inputs))
        places.append(known[key])
    return Computation(tuple(steps), tuple(places[output] for output in found.outputs))


def _masked_once(parts: Sequence[int], steps: Sequence[Step]) -> tuple[int, ...]:
    """Return the factors of a product, or the terms of a sum, with each mask once."""
    found: list[int] = []
    for place in parts:
        if place not in found or not steps[place].computes.startswith((UNEQUAL, ANY)):
            found.append(place)
    return tuple(found)


def _behind_spread(place: int, steps: Sequence[Step]) -> int:
    return steps[place].inputs[0] if is_spread(steps[place].computes) else place


def _behind_rectified(place: int, steps: Sequence[Step]) -> int:
    """Return the step behind a ReLU, which changes nothing before a clip from zero."""
    return steps[place].inputs[0] if steps[place].computes == "relu" else place


def _takes_in(step: Step) -> bool:
    """Return whether a step and an affine one behind it are one, or cannot be told apart."""
    is_whole = step.computes.startswith((PRODUCT, ADDITIVE, NORMALIZE))
    return step.computes == AFFINE or is_whole or is_linear(step.computes) or step.is_unknown


def _find_gated(step: Step, inputs: Sequence[int], steps: Sequence[Step]) -> tuple[str, int] | None:
    """Return swish or hard swish, and its x, where a step is x * sigmoid(x) or x * relu6(x)."""
    if step.computes != "multiply" or len(inputs) != 2:
        return None
    for gate, taken in (inputs, inputs[::-1]):
        source = _behind_affine(gate, steps)
        wanted = {(taken,), (_behind_affine(taken, steps),)}
        is_from = {
            steps[source].inputs,
            tuple(_behind_affine(each, steps) for each in steps[source].inputs),
        }
        if (
            steps[source].computes == "sigmoid"
            and source == gate
            and steps[gate].inputs == (taken,)
        ):
            return "swish", taken
        if steps[source].computes == "relu6" and source != gate and wanted & is_from:
            return "hard swish", taken
    return None


def _behind_affine(place: int, steps: Sequence[Step]) -> int:
    return steps[place].inputs[0] if steps[place].computes == AFFINE else place


def _count_uses(found: Computation) -> Counter[int]:
    uses = Counter(taken for step in found.steps for taken in step.inputs)
    return uses + Counter(found.outputs)


def _without_affine(found: Computation) -> Computation:
    """Let kernels take what is before affine steps, behind padding too.

    What else takes such a step still does: a converter may fold it into a kernel and keep it.
    """
    users: dict[int, list[int]] = {}
    for place, step in enumerate(found.steps):
        for taken in step.inputs:
            users.setdefault(taken, []).append(place)

    def takes_in(place: int) -> bool:
        step = found.steps[place]
        if not step.computes.startswith("pad "):
            return is_linear(step.computes)
        is_before_kernels = all(
            is_linear(found.steps[user].computes) for user in users.get(place, ())
        )
        return place not in found.outputs and is_before_kernels

    steps = tuple(
        replace(step, inputs=tuple(_behind_affine(taken, found.steps) for taken in step.inputs))
        if takes_in(place)
        else step
        for place, step in enumerate(found.steps)
    )
    return Computation(steps, found.outputs)


def in_order(found: Computation) -> Computation:
    """Return the steps that outputs need, each behind its first input where it can be.

    Inputs whose order does not matter are sorted by the layers whose kernels they come from.
    """
    kernels: list[str] = []
    inputs_of: list[tuple[int, ...]] = []
    for step in found.steps:
        inputs_of.append(
            tuple(sorted(step.inputs, key=lambda taken: kernels[taken]))
            if is_unordered(step.computes)
            else step.inputs
        )
        is_kernel = has_kernel(step.computes) or not step.inputs
        kernels.append(step.layer if is_kernel else kernels[step.inputs[0]])
    places: dict[int, int] = {}
    order: list[int] = []
    for output in found.outputs:
        waiting = [(output, iter(inputs_of[output]))]
        while waiting:
            place, inputs = waiting[-1]
            following = next((taken for taken in inputs if taken not in places), None)
            if following is not None:
                waiting.append((following, iter(inputs_of[following])))
                continue
            waiting.pop()
            if place not in places:
                places[place] = len(order)
                order.append(place)
    steps = tuple(
        replace(found.steps[place], inputs=tuple(places[taken] for taken in inputs_of[place]))
        for place in order
    )
    return Computation(steps, tuple(places[output] for output in found.outputs))


def are_same(
    left: Computation, right: Computation, named: frozenset[str], *, is_ordered: bool = False
) -> bool:
    """Return whether two simplified computations have the same steps and connections.

    Args:
        left, right: The two.
        named: The layers that both name; other kernels are told by their steps alone.
        is_ordered: Whether the order of the outputs counts.
    """
    return any(
        _are_equal(left_, right_, named | names, is_ordered=is_ordered)
        for left_, right_, names in _with_inputs(left, right, named)
    )


def _are_equal(
    left: Computation, right: Computation, named: frozenset[str], *, is_ordered: bool
) -> bool:
    numbers: dict[object, int] = {}
    first, second = (
        [classes[output] for output in each.outputs]
        for each in (left, right)
        for classes in [_classes(each, named, numbers)]
    )
    return first == second if is_ordered else Counter(first) == Counter(second)


def _with_inputs(
    left: Computation, right: Computation, named: frozenset[str]
) -> Iterator[tuple[Computation, Computation, frozenset[str]]]:
    """Yield two computations with names for the inputs that both do not name, in each order."""
    places = [
        [
            place
            for place, step in enumerate(each.steps)
            if step.computes == INPUT and step.layer not in named
        ]
        for each in (left, right)
    ]
    count = len(places[0])
    if count != len(places[1]) or not 2 <= count <= _MOST_INPUTS:
        yield left, right, frozenset()
        return
    names = [f"{INPUT} {number}" for number in range(count)]
    first = _renamed(left, dict(zip(places[0], names, strict=True)))
    for order in permutations(names):
        second = _renamed(right, dict(zip(places[1], order, strict=True)))
        yield first, second, frozenset(names)


def _renamed(found: Computation, names: Mapping[int, str]) -> Computation:
    steps = (
        replace(step, layer=names.get(place, step.layer)) for place, step in enumerate(found.steps)
    )
    return replace(found, steps=tuple(steps))


def find_missing(planned: Computation, found: Computation, named: frozenset[str]) -> list[Step]:
    """Return the planned steps that another computation lacks, apart from unknown layers.

    A step counts with all that it takes, back to layers of which nothing is known.
    """
    numbers: dict[object, int] = {}
    classes, others = (_classes(each, named, numbers, is_cut=True) for each in (planned, found))
    left = Counter(others)
    missing = []
    for step, number in zip(planned.steps, classes, strict=True):
        left[number] -= 1
        if left[number] < 0 and not step.is_unknown and step.computes not in (AFFINE, INPUT):
            missing.append(step)
    return missing


def _classes(
    found: Computation, named: frozenset[str], numbers: dict[object, int], *, is_cut: bool = False
) -> list[int]:
    """Return a number for each step, the same for those that compute the same of the same.

    Args:
        found: The steps.
        named: The layers whose names count.
        numbers: The numbers that were given before.
        is_cut: Whether all steps of which nothing is known count as the same.
    """
    classes: list[int] = []
    for step in found.steps:
        inputs = tuple(classes[taken] for taken in step.inputs)
        label = label_of(step, named)
        if is_unordered(step.computes):
            inputs = tuple(sorted(inputs))
        if is_cut and step.is_unknown:
            label, inputs = UNKNOWN, ()
        classes.append(numbers.setdefault((label, inputs), len(numbers)))
    return classes


def label_of(step: Step, named: frozenset[str]) -> str:
    """Return what a step is, with its layer if it has a kernel and both sides name it."""
    has_name = has_kernel(step.computes) or step.is_unknown or step.computes == INPUT
    return f"{step.computes} of {step.layer}" if has_name and step.layer in named else step.computes
