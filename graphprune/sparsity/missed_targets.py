"""Pruned tensors that have fewer zeros than their target, and how a message names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class MissedTarget:
    """One pruned tensor that is less sparse than its target.

    Attributes:
        layer: The layer's address.
        tensor: The tensor's name in the layer.
        size: The number of weights.
        zeros: Weights that are zero.
        target_zeros: Zeros when its schedule is finished.
        was_updated: Whether its mask was ever chosen.
    """

    layer: str
    tensor: str
    size: int
    zeros: int
    target_zeros: int
    was_updated: bool


def describe_missed(missed: Sequence[MissedTarget]) -> str:
    """Return what the tensors are, with measured and target sparsity, the first few by name.

    Example:
        >>> describe_missed([MissedTarget("conv", "kernel", 400, 18, 240, was_updated=True)])
        'conv kernel 4.5% of 60.0%'
    """
    named = [
        f"{tensor.layer} {tensor.tensor} {tensor.zeros / tensor.size:.1%} of"
        f" {tensor.target_zeros / tensor.size:.1%}"
        for tensor in missed[:_MOST_NAMED]
    ]
    rest = len(missed) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def explain_missed(missed: Sequence[MissedTarget]) -> str:
    """Return why a stripped model is less sparse than its target.

    It was not trained, or not to the end of its schedules.

    Example:
        >>> missed = explain_missed([MissedTarget("fc", "kernel", 400, 18, 240, was_updated=False)])
        >>> for part in missed.split(", so "):
        ...     print(part)
        its masks were never updated
        nothing was pruned (zeros measured, of target: fc kernel 4.5% of 60.0%)
    """
    never = not any(tensor.was_updated for tensor in missed)
    why = (
        "its masks were never updated, so nothing was pruned"
        if never
        else "its schedules have not reached their targets"
    )
    return f"{why} (zeros measured, of target: {describe_missed(missed)})"
