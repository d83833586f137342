"""Groups of channels of pruned layers: which tensors each has, and the choice of their masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graphprune.engine.held import PrunedLayer, PrunedTensor, zero_masked
from graphprune.errors import TrainingError
from graphprune.graph.layers import SEPARATOR
from graphprune.sparsity.channel_groups import Coupling, choose_channels


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """A group of channels that are zeroed together in tensors of one or more layers.

    Attributes:
        share: The share of its channels that are zeroed in the end.
        members: Each layer with how one of its tensors takes part.
    """

    share: float
    members: tuple[tuple[PrunedLayer, Coupling], ...]

    def choose(self, share_of: Callable[[float], float]) -> None:
        """Choose which channels are zeroed, write the masks, and zero the masked weights.

        `share_of` returns the share of zeros now for the share in the end.
        """
        tensors = [
            (coupling, tensor)
            for layer, coupling in self.members
            if (tensor := _tensor_of(layer, coupling.weight)) is not None
        ]
        if not tensors:
            return
        self._check(tensors)
        kept, smallest = choose_channels(
            ((coupling, tensor.read()) for coupling, tensor in tensors),
            tensors[0][0].channels,
            share_of(self.share),
        )
        for coupling, tensor in tensors:
            mask = coupling.with_channels(tensor.read_mask(), kept)
            tensor.write_mask(mask, smallest)
            zero_masked(tensor, tensor.read(), mask)

    def _check(self, tensors: Sequence[tuple[Coupling, PrunedTensor]]) -> None:
        """Raise if a tensor does not have the places of the channels, as in a damaged file."""
        channels = tensors[0][0].channels
        for coupling, tensor in tensors:
            if coupling.channels != channels or not coupling.fits(tensor.shape):
                raise TrainingError(
                    f"the {channels:,} channels of group {coupling.group!r} do not fit"
                    f" {tensor.name} {list(tensor.shape)}; prune the model again"
                )


def _tensor_of(layer: PrunedLayer, name: str) -> PrunedTensor | None:
    """Return the tensor `name` of a layer; None before the layer is built."""
    return next((tensor for tensor in layer.tensors if tensor.name == name), None)


def led_groups(layers: Mapping[str, PrunedLayer]) -> dict[str, tuple[ChannelGroup, ...]]:
    """Return the groups of channels by the address of the layer that leads each.

    A pruned model may since have become a part of another, so that all addresses are longer by the
    same beginning than those in the names of groups.
    """
    members: dict[tuple[str, str], list[tuple[str, Coupling]]] = {}
    for address, layer in layers.items():
        for coupling in layer.pruning.couplings:
            key = _prefix(address, coupling.leader, layers), coupling.group
            members.setdefault(key, []).append((address, coupling))
    led: dict[str, tuple[ChannelGroup, ...]] = {}
    for (prefix, _), found in members.items():
        leader = f"{prefix}{found[0][1].leader}"
        address, lead = next((member for member in found if member[0] == leader), found[0])
        share = layers[address].pruning.share_in(lead)
        group = ChannelGroup(share, tuple((layers[at], coupling) for at, coupling in found))
        led[address] = (*led.get(address, ()), group)
    return led


def _prefix(address: str, leader: str, layers: Mapping[str, PrunedLayer]) -> str:
    """Return what stands before a group's addresses, as seen from the member at `address`."""
    parts = address.split(SEPARATOR)
    for count in range(len(parts) - 1, -1, -1):
        prefix = "".join(f"{part}{SEPARATOR}" for part in parts[:count])
        if f"{prefix}{leader}" in layers:
            return prefix
    return ""
