"""The axes of weights along which channels are, with the channels before and after coupling."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.classes.channels import Role
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.tensor_shapes import find_tensor_shapes
from graphprune.shrink.channels import ChannelGroup
from graphprune.shrink.findings import Place
from graphprune.shrink.groups import components, find_groups, grouped
from graphprune.shrink.walk import walk_channels


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """An axis of a weight along which channels are.

    Attributes:
        place: The layer's address, the weight's name and the index of the axis.
        role: What the weight does with the channels.
        labels: The channel at each place, as the layer itself or one before it made it.
        channels: The same after coupling: channels that can only be removed together have one
            number.
    """

    place: Place
    role: Role
    labels: NDArray[np.int64]
    channels: NDArray[np.int64]

    @property
    def address(self) -> str:
        """The layer's address."""
        return self.place[0]

    @property
    def is_zeroed(self) -> bool:
        """Whether the weight must be zero at a channel that is to be dead."""
        return self.role in ("produces", "scales")


@dataclass(frozen=True, slots=True, eq=False)
class ChannelAxes:
    """All axes of a model along which channels are, and the groups of these channels.

    Attributes:
        axes: The axes in the order of the model's calls, by place.
        groups: The groups that can only be removed together.
        by_channel: The places of axes that must be zero at a channel, by the channel.
    """

    axes: Mapping[Place, Axis]
    groups: tuple[ChannelGroup, ...]
    by_channel: Mapping[int, tuple[Place, ...]]

    def sharing(self, axes: Iterable[Axis]) -> tuple[Axis, ...]:
        """Return all axes that must be zero at one of the channels of these, in order."""
        channels = {int(channel) for axis in axes for channel in np.unique(axis.channels)}
        found = {place for channel in channels for place in self.by_channel.get(channel, ())}
        return tuple(axis for place, axis in self.axes.items() if place in found)

    def count_made(self, tensors: Container[tuple[str, str]]) -> int:
        """Return how many channels these tensors, by address and name, make; coupled ones once."""
        return sum(
            group.size
            for group in self.groups
            if any(
                member.role == "produces" and (member.address, member.tensor) in tensors
                for member in group.members
            )
        )


@dataclass(frozen=True, slots=True)
class CoupledLayers:
    """Layers that can lose channels only together.

    Attributes:
        channels: How many channels there are.
        layers: The addresses of the layers with weights that must be zero at a dead channel.
        stays: Why none of the channels can be removed; empty if they can.
    """

    channels: int
    layers: tuple[str, ...]
    stays: str = ""

    def __str__(self) -> str:
        stays = f"; they stay: {self.stays}" if self.stays else ""
        return f"{self.channels:,} channels go together in {', '.join(self.layers)}{stays}"


def find_coupled_layers(graph: LayerGraph, address: str) -> tuple[CoupledLayers, ...]:
    """Return the groups of channels that a layer can lose only together with other layers."""
    found = []
    for group in find_groups(graph):
        layers = tuple(dict.fromkeys(member.address for member in group.zeroed))
        if address in layers and len(layers) > 1:
            reasons = (*group.kept, *group.filled)
            found.append(CoupledLayers(group.size, layers, str(reasons[0]) if reasons else ""))
    return tuple(found)


def find_channel_axes(graph: LayerGraph) -> ChannelAxes:
    """Return the axes of a model along which channels are.

    A model whose connections its config does not hold has none.

    Raises:
        GraphError: nested models are called too often.
    """
    if not graph.is_connected:
        return ChannelAxes({}, (), {})
    findings = walk_channels(graph, find_tensor_shapes(graph), None)
    channels = components(findings.count, findings.pairs)
    axes = {
        place: Axis(place, role, labels, channels[labels])
        for place, (labels, role) in findings.places.items()
    }
    by_channel: dict[int, list[Place]] = {}
    for place, axis in axes.items():
        for channel in np.unique(axis.channels).tolist() if axis.is_zeroed else ():
            by_channel.setdefault(channel, []).append(place)
    return ChannelAxes(
        axes,
        tuple(grouped(findings)),
        {channel: tuple(places) for channel, places in by_channel.items()},
    )
