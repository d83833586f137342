"""Weights that a file does not tell apart, where they need not be: the plan says the same of all.

Layers without names in a config, such as those of KerasHub, have other names in exported files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from graphprune.graph.figures import shape_text
from graphprune.graph.weights import TensorKey
from graphprune.plan.changes import Plan, TensorChange
from graphprune.plan.measured import planned_tensors
from graphprune.sparsity.pruning import Pruning

_Stored = TypeVar("_Stored")


def pair_alike(
    plan: Plan,
    untold: Collection[TensorKey],
    find_open: Callable[[tuple[int, ...]], Sequence[_Stored]],
) -> Iterator[tuple[TensorKey, _Stored]]:
    """Yield tensors with what a file has for them, in any order.

    There must be as many as the model has, and the same must be planned for all, so that any of
    them may stand for each.

    Args:
        plan: The plan.
        untold: The planned tensors that names do not tell.
        find_open: Returns what the file has of a shape and names do not tell.
    """
    if plan.architecture is None:
        return
    figures = plan.architecture.figures.values()
    in_model = Counter(shape for each in figures for shape in each.weights)
    planned = planned_tensors(plan)
    told = Counter(
        shape_text(tensor.shape) for key, (tensor, _) in planned.items() if key not in untold
    )
    for shape, keys in _by_shape(untold, planned).items():
        text = shape_text(shape)
        is_alike = len({_wanted(key[1], *planned[key]) for key in keys}) == 1
        if is_alike and len(keys) == in_model[text] - told[text]:
            stored = find_open(shape)
            if len(stored) == len(keys):
                yield from zip(keys, stored, strict=True)


def _wanted(name: str, tensor: TensorChange, pruning: Pruning) -> tuple[object, ...]:
    """Return all that the plan says of a tensor; channels of a group have a place in it."""
    was_zero = tensor.follows or tensor.zeros_before == tensor.size
    pattern = pruning.pattern, pruning.share_of(name), pruning.axes_of(name)
    return *pattern, pruning.couplings_of(name), tensor.zeros_after, was_zero


def _by_shape(
    untold: Collection[TensorKey], planned: Mapping[TensorKey, tuple[TensorChange, Pruning]]
) -> Mapping[tuple[int, ...], list[TensorKey]]:
    found: dict[tuple[int, ...], list[TensorKey]] = {}
    for key, (tensor, _) in planned.items():
        if key in untold:
            found.setdefault(tensor.shape, []).append(key)
    return found
