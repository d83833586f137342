"""What `shrink` will remove once a plan is carried out and trained."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.layer_graph import LayerGraph
from graphprune.shrink.dead import find_dead
from graphprune.shrink.summary import ShrinkSummary, summarize
from graphprune.sparsity.counts import zero_count
from graphprune.sparsity.patterns import Channel
from graphprune.sparsity.pruning import Pruning


def find_outlook(graph: LayerGraph, pruned: Mapping[str, Pruning]) -> ShrinkSummary | None:
    """Return what `shrink` will bring; None where no layer is pruned by whole channels.

    Which channels will be zero is known after training only. Here they are chosen at random, the
    same ones in each run, with as many in each group of channels as the plan zeroes. Channels of
    layers that are pruned independently are then zero together by chance alone.

    Args:
        graph: The model.
        pruned: How layers are pruned when the plan is carried out, by address.
    """
    planned = {
        address: pruning
        for address, pruning in pruned.items()
        if isinstance(pruning.pattern, Channel)
    }
    if not planned or not graph.is_connected:
        return None
    return summarize(graph, find_dead(_PlannedWeights(graph, planned)))


@dataclass(frozen=True, slots=True)
class _PlannedWeights:
    """Weights of a model that are zero where a plan zeroes channels, and one elsewhere."""

    graph: LayerGraph
    planned: Mapping[str, Pruning]
    path: str = ""

    def opened(self) -> AbstractContextManager[object]:
        """Open nothing."""
        return nullcontext()

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        """Return which values of a weight are not zero, without a copy for each."""
        shape = next(
            tensor.shape for tensor in self.graph.layers[address].tensors if tensor.name == name
        )
        pruning = self.planned.get(address)
        values = np.ones([1] * len(shape), bool)
        for coupling in () if pruning is None else pruning.couplings_of(name):
            assert pruning is not None
            kept = np.ones(coupling.channels, bool)
            kept[_chosen(coupling.group, coupling.channels, pruning.share_in(coupling))] = False
            line = coupling.with_channels(
                np.ones([n if i == coupling.axis else 1 for i, n in enumerate(shape)], bool), kept
            )
            values = values & line
        return np.broadcast_to(values, shape)

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        """Return nothing: there are no wrappers."""
        return None


def _chosen(group: str, channels: int, share: float) -> NDArray[np.int64]:
    """Return the channels of a group that are zero."""
    rng = np.random.default_rng(zlib.crc32(group.encode()))
    return rng.permutation(channels)[: zero_count(channels, share)]
