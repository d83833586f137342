"""Masks of pruned layers, chosen from the weights that the layers have now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from graphprune.engine.channel_groups import ChannelGroup, led_groups
from graphprune.engine.held import PrunedLayer, zero_masked
from graphprune.engine.timetables import Times
from graphprune.sparsity.patterns import select_pattern_mask


def update_masks(
    layer: PrunedLayer, times: Times, step: int, led: Iterable[ChannelGroup] = ()
) -> None:
    """Choose the masks of a layer for `step`, zero masked weights, and record the update.

    Args:
        layer: The layer.
        times: Its schedule.
        step: The step that it has reached.
        led: The groups of channels that it leads, whose masks change at the same time.
    """

    def share_now(share: float) -> float:
        return times.sparsity_at(step, share)

    choose_masks(layer, lambda name: share_now(layer.pruning.share_of(name)))
    for group in led:
        group.choose(share_now)
    layer.write_last_update(step)


def prune_at_once(layers: Mapping[str, PrunedLayer]) -> None:
    """Zero the smallest weights of each layer to meet its target, regardless of its schedule."""
    led = led_groups(layers)
    for address, layer in layers.items():
        choose_masks(layer, layer.pruning.share_of)
        for group in led.get(address, ()):
            group.choose(lambda share: share)


def choose_masks(layer: PrunedLayer, share_of: Callable[[str], float]) -> None:
    """Choose new masks for a layer and zero the masked weights.

    Tensors that are in groups of channels are left to these.

    Args:
        layer: The layer.
        share_of: Returns the share of zeros for the name of a tensor.
    """
    pruning = layer.pruning
    in_groups = {coupling.weight for coupling in pruning.couplings}
    for tensor in layer.tensors:
        if tensor.name in in_groups:
            continue
        values = tensor.read()
        mask, threshold = select_pattern_mask(
            values,
            pruning.pattern,
            share_of(tensor.name),
            pruning.axes_of(tensor.name),
            pads=pruning.pads,
        )
        tensor.write_mask(mask, threshold)
        zero_masked(tensor, values, mask)


def project(layers: Iterable[PrunedLayer]) -> None:
    """Zero the masked weights of each layer."""
    for layer in layers:
        for tensor in layer.tensors:
            zero_masked(tensor, tensor.read(), tensor.read_mask())
