"""What a removal brings: parameters and multiply-adds of a model and of its layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Tensor
from graphprune.graph.multiply_adds import count_multiply_adds, sum_multiply_adds
from graphprune.graph.tensor_shapes import find_tensor_shapes
from graphprune.shrink.config import new_shape, new_weights
from graphprune.shrink.dead import Removal, ZerosThatStay


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model or a layer costs.

    Attributes:
        parameters: Its weights.
        multiply_adds: Multiply-adds for one sample; None where they are not known.
        bytes: The bytes of its weights; None in a plan read from JSON.
    """

    parameters: int
    multiply_adds: int | None
    bytes: int | None = field(default=None, compare=False)


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
        folded: The weights, by address and name, that took the constants of removed channels.
    """

    before: Cost
    after: Cost
    layers: tuple[LayerChange, ...]
    staying: tuple[ZerosThatStay, ...]
    folded: tuple[tuple[str, str], ...] = ()

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
            "folded": [{"address": address, "weight": weight} for address, weight in self.folded],
        }


def summarize(graph: LayerGraph, removal: Removal) -> ShrinkSummary:
    """Return what a removal brings for the model of `graph`."""
    shapes = find_tensor_shapes(graph)
    new_shapes = {
        use: shape for use in shapes if (shape := new_shape(removal, shapes, use)) is not None
    }
    weights = {address: new_weights(layer, removal) for address, layer in graph.layers.items()}
    before = count_multiply_adds(graph, shapes)
    after = count_multiply_adds(graph, new_shapes, weights)
    layers, whole, rest = [], list[Tensor](), list[Tensor]()
    for address, layer in graph.layers.items():
        left = [replace(one, shape=weights[address][one.name]) for one in layer.tensors]
        costs = _cost(layer.tensors, before.get(address)), _cost(left, after.get(address))
        whole += layer.tensors
        rest += left
        if costs[0] != costs[1]:
            removed = removal.removed.get(address, 0)
            layers.append(LayerChange(address, layer.type, removed, *costs))
    return ShrinkSummary(
        _cost(whole, sum_multiply_adds(before)),
        _cost(rest, sum_multiply_adds(after)),
        tuple(layers),
        removal.staying,
        tuple(removal.folded),
    )


def _cost(tensors: Iterable[Tensor], multiply_adds: int | None) -> Cost:
    listed = tuple(tensors)
    return Cost(
        sum(tensor.size for tensor in listed), multiply_adds, sum(tensor.bytes for tensor in listed)
    )
