"""Layers that a plan calls several times, and that a converted file gives a kernel for each call.

The converter stores the kernel of such a layer once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphprune.graph.classes.steps import AFFINE, has_kernel
from graphprune.graph.computation import Computation, Step
from graphprune.plan.operator_steps import OperatorSteps
from graphprune.plan.verify import LayerDifference


def find_unshared(
    every: Sequence[Step], planned: Computation, found: Sequence[Step], read: OperatorSteps
) -> Iterator[LayerDifference]:
    """Yield the layers whose calls have different kernels in a file that has the planned steps.

    A kernel beside a normalization or a factor is not looked at: the converter multiplies it with
    them, so that each call may have its own. Nor are layers with several kernels in one call.

    Args:
        every: All steps of the plan.
        planned: Those that are compared, simplified.
        found: The steps of the file, in the words of the plan.
        read: The file.
    """
    left_out = _folded(every) | _with_several(every)
    for computes in dict.fromkeys(filter(has_kernel, (step.computes for step in planned.steps))):
        calls = [step.layer for step in planned.steps if step.computes == computes]
        layers = [layer for layer in dict.fromkeys(calls) if calls.count(layer) > 1]
        if not layers or left_out & {*calls}:
            continue
        kernels = [
            read.kernel_of(place) for place, step in enumerate(found) if step.computes == computes
        ]
        if _count_different(kernels, read) > len({*calls}):
            yield from (LayerDifference(layer, "settings") for layer in layers)


def _folded(steps: Sequence[Step]) -> set[str]:
    """Return the layers with an affine step beside them, also with padding between."""
    found: set[str] = set()
    for step in steps:
        for taken in map(steps.__getitem__, step.inputs):
            if taken.computes.startswith("pad ") and taken.inputs:
                taken = steps[taken.inputs[0]]
            if AFFINE in (step.computes, taken.computes):
                found |= {step.layer, taken.layer}
    return found


def _with_several(steps: Sequence[Step]) -> set[str]:
    """Return the layers that compute something of several kernels of their own."""
    found: set[str] = set()
    counts: list[int] = []
    for step in steps:
        own = [taken for taken in step.inputs if steps[taken].layer == step.layer]
        counts.append(has_kernel(step.computes) + sum(counts[taken] for taken in own))
        if counts[-1] > 1:
            found.add(step.layer)
    return found


def _count_different(kernels: Sequence[int | None], read: OperatorSteps) -> int:
    """Return how many kernels have different values; 0 if one is not known."""
    different: list[int] = []
    for kernel in kernels:
        if kernel is None:
            return 0
        if not any(read.are_equal(kernel, other) for other in different):
            different.append(kernel)
    return len(different)
