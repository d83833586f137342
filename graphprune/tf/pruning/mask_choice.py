"""The masks of a wrapped layer, chosen anew from the weights that it has."""

from __future__ import annotations

from collections.abc import Callable

from graphprune.sparsity.mask_kernels import apply_mask
from graphprune.sparsity.pattern_masks import select_pattern_mask
from graphprune.sparsity.schedules import Timetable
from graphprune.tf.pruning.own_schedule import OwnTimetable
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def update_masks(
    wrapper: PruneLowMagnitude, timetable: Timetable | OwnTimetable, step: int
) -> None:
    """Choose the masks of a layer anew from the weights that it has at `step`, and zero what they
    mask.
    """
    choose_masks(wrapper, lambda name: timetable.sparsity_at(step, wrapper.pruning.share_of(name)))


def choose_masks(wrapper: PruneLowMagnitude, share_of: Callable[[str], float]) -> None:
    """Choose the masks of a layer anew, with the share of zeros that `share_of` tells for the name
    of each weight, and zero what they mask.
    """
    pruning = wrapper.pruning
    for name, (weight, mask, threshold) in zip(pruning.weights, wrapper.pruning_vars, strict=True):
        values, share = weight.numpy(), share_of(name)
        chosen, smallest = select_pattern_mask(
            values, pruning.pattern, share, pruning.axes_of(name), pads=pruning.pads
        )
        mask.assign(chosen)
        threshold.assign(smallest)
        weight.assign(apply_mask(values, chosen))
