"""Which channels of a model belong together: components of labels, and groups of components."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.classes.channels import Labels
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.tensor_shapes import find_tensor_shapes
from graphprune.shrink.channels import ChannelGroup, GroupMember, Reason
from graphprune.shrink.findings import Findings
from graphprune.shrink.walk import walk_channels

Numbers = NDArray[np.int64]


def find_groups(graph: LayerGraph) -> tuple[ChannelGroup, ...]:
    """Return the groups of channels of a model, in the order of the calls that make them.

    Groups whose channels cannot be removed are among them, with the reasons. A model whose
    connections its config does not hold (a subclassed model) has none.

    Raises:
        GraphError: nested models are called too often.
    """
    if not graph.is_connected:
        return ()
    findings = walk_channels(graph, find_tensor_shapes(graph), None)
    return tuple(grouped(findings))


def grouped(findings: Findings) -> list[ChannelGroup]:
    """Return the groups of what a walk found; those that no weight produces are left out."""
    channels = components(findings.count, findings.pairs)
    split = _Split(int(channels.max()) + 1 if len(channels) else 0)
    rows = [split.by(channels[labels]) for labels, _ in findings.places.values()]
    kept = [(split.touch(channels[labels]), reason) for labels, reason in findings.kept]
    used = [(split.touch(channels[labels]), reason) for labels, reason in findings.used]
    groups = []
    by_group = _members(findings, rows, split.group)
    reasons = {"kept": _reasons(kept, split.group), "used": _reasons(used, split.group)}
    for number, members in by_group.items():
        if any(member.role == "produces" for member in members):
            groups.append(
                ChannelGroup(
                    size=len(members[0].positions),
                    members=tuple(members),
                    kept=reasons["kept"].get(number, ()),
                    filled=reasons["used"].get(number, ()),
                )
            )
    return groups


def components(count: int, pairs: Sequence[tuple[Labels, Labels]]) -> Numbers:
    """Return the number of the channel of each label, counted in the order of first labels.

    Example:
        >>> components(5, [(np.array([0, 3]), np.array([2, 4]))]).tolist()
        [0, 1, 0, 2, 2]
    """
    root = np.arange(count)
    if pairs:
        left = np.concatenate([pair[0] for pair in pairs])
        right = np.concatenate([pair[1] for pair in pairs])
        while True:
            first, second = root[left], root[right]
            apart = first != second
            if not apart.any():
                break
            left, right = left[apart], right[apart]
            low = np.minimum(first[apart], second[apart])
            np.minimum.at(root, np.maximum(first[apart], second[apart]), low)
            while not np.array_equal(nearer := root[root], root):
                root = nearer
    _, numbers = np.unique(root, return_inverse=True)
    return numbers.reshape(-1)


@dataclass(slots=True)
class _Places:
    """The places of channels along one axis of a weight.

    Attributes:
        channels: The channels that are there, in order.
        counts: How many places each has.
        starts: Where the places of each begin in `order`.
        order: The places, sorted by channel.
    """

    channels: Numbers
    counts: Numbers
    starts: Numbers
    order: Numbers


class _Split:
    """Channels in groups, which are split until all channels of one are in the same places."""

    def __init__(self, count: int) -> None:
        self.group: Numbers = np.zeros(count, np.int64)
        self._next = 1

    def by(self, channels: Numbers) -> _Places:
        """Split groups by how often each channel is along an axis; return the places."""
        touched, counts = np.unique(channels, return_counts=True)
        self._refine(touched, counts)
        order = np.argsort(channels, kind="stable")
        return _Places(touched, counts, np.cumsum(counts) - counts, order)

    def touch(self, channels: Numbers) -> Numbers:
        """Split groups by whether each channel is among these; return those that are."""
        touched = np.unique(channels)
        self._refine(touched, np.ones_like(touched))
        return touched

    def _refine(self, touched: Numbers, counts: Numbers) -> None:
        keys = (self.group[touched] << 32) | counts
        found, numbers = np.unique(keys, return_inverse=True)
        self.group[touched] = self._next + numbers.reshape(-1)
        self._next += len(found)


def _members(
    findings: Findings, rows: Iterable[_Places], group: Numbers
) -> dict[int, list[GroupMember]]:
    """Return the members of each group, groups in the order of their first member."""
    found: dict[int, list[GroupMember]] = {}
    for ((address, tensor, axis), (_, role)), places in zip(
        findings.places.items(), rows, strict=True
    ):
        own = group[places.channels]
        for number in dict.fromkeys(own.tolist()):
            is_own = own == number
            count = int(places.counts[is_own][0])
            index = places.starts[is_own][:, None] + np.arange(count)
            member = GroupMember(address, tensor, axis, role, places.order[index])
            found.setdefault(number, []).append(member)
    return found


def _reasons(
    events: Iterable[tuple[Numbers, Reason]], group: Numbers
) -> dict[int, tuple[Reason, ...]]:
    """Return the reasons of each group, each once, in order."""
    found: dict[int, dict[Reason, None]] = {}
    for channels, reason in events:
        for number in np.unique(group[channels]).tolist():
            found.setdefault(number, {})[reason] = None
    return {number: tuple(reasons) for number, reasons in found.items()}
