"""What a removal brings: parameters and multiply-adds of a model and of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.multiply_adds import count_multiply_adds, sum_multiply_adds
from graphprune.shrink.dead import Removal, ZerosThatStay


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model or a layer costs.

    Attributes:
        parameters: Its weights.
        multiply_adds: Multiply-adds for one sample; None where they are not known.
    """

    parameters: int
    multiply_adds: int | None


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer that gets smaller.

    Attributes:
        address: The layer.
        type: Its class.
        removed: How many channels it makes less; 0 for one that only reads less.
        before, after: What it costs.
    """

    address: str
    type: str
    removed: int
    before: Cost
    after: Cost


@dataclass(frozen=True, slots=True)
class ShrinkSummary:
    """What was removed from a model.

    Attributes:
        before, after: What the model costs.
        layers: The layers that get smaller, in order.
        staying: The channels that are zero and stay.
    """

    before: Cost
    after: Cost
    layers: tuple[LayerChange, ...]
    staying: tuple[ZerosThatStay, ...]

    def to_config(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "parameters": {"before": self.before.parameters, "after": self.after.parameters},
            "multiply_adds": {
                "before": self.before.multiply_adds,
                "after": self.after.multiply_adds,
            },
            "layers": [
                {
                    "address": layer.address,
                    "type": layer.type,
                    "removed_channels": layer.removed,
                    "parameters": {
                        "before": layer.before.parameters,
                        "after": layer.after.parameters,
                    },
                    "multiply_adds": {
                        "before": layer.before.multiply_adds,
                        "after": layer.after.multiply_adds,
                    },
                }
                for layer in self.layers
            ],
            "kept": [
                {"address": zeros.address, "channels": zeros.count, "reason": str(zeros.reason)}
                for zeros in self.staying
            ],
        }


def summarize(before: LayerGraph, after: LayerGraph, removal: Removal) -> ShrinkSummary:
    """Return what a removal brought, from the model before and after it."""
    counts = count_multiply_adds(before), count_multiply_adds(after)
    layers = []
    for address, layer in before.layers.items():
        costs = [
            Cost(sum(t.size for t in graph.layers[address].tensors), count.get(address))
            for graph, count in zip((before, after), counts, strict=True)
        ]
        if costs[0] != costs[1]:
            removed = removal.removed.get(address, 0)
            layers.append(LayerChange(address, layer.type, removed, costs[0], costs[1]))
    return ShrinkSummary(
        _whole(before, counts[0]), _whole(after, counts[1]), tuple(layers), removal.staying
    )


def _whole(graph: LayerGraph, counts: Mapping[str, int | None]) -> Cost:
    return Cost(graph.parameters, sum_multiply_adds(counts))
