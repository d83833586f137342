"""Masks of pruned layers, chosen from the weights that the layers have now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphprune.engine.held import PrunedLayer
from graphprune.engine.timetables import Times
from graphprune.sparsity.mask_kernels import apply_mask
from graphprune.sparsity.patterns import select_pattern_mask


def update_masks(layer: PrunedLayer, times: Times, step: int) -> None:
    """Choose the masks of a layer for `step`, zero masked weights, and record the update."""
    choose_masks(layer, lambda name: times.sparsity_at(step, layer.pruning.share_of(name)))
    layer.write_last_update(step)


def prune_at_once(layers: Iterable[PrunedLayer]) -> None:
    """Zero the smallest weights of each layer to meet its target, regardless of its schedule."""
    for layer in layers:
        choose_masks(layer, layer.pruning.share_of)


def choose_masks(layer: PrunedLayer, share_of: Callable[[str], float]) -> None:
    """Choose new masks for a layer and zero the masked weights.

    Args:
        layer: The layer.
        share_of: Returns the share of zeros for the name of a tensor.
    """
    pruning = layer.pruning
    for tensor in layer.tensors:
        values = tensor.read()
        mask, threshold = select_pattern_mask(
            values,
            pruning.pattern,
            share_of(tensor.name),
            pruning.axes_of(tensor.name),
            pads=pruning.pads,
        )
        tensor.write_mask(mask, threshold)
        tensor.write(apply_mask(values, mask))


def project(layers: Iterable[PrunedLayer]) -> None:
    """Zero the masked weights of each layer."""
    for layer in layers:
        for tensor in layer.tensors:
            tensor.write(apply_mask(tensor.read(), tensor.read_mask()))
