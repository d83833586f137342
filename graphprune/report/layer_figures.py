"""What reports say of a layer and of a model in figures: weights, zeros, bytes, and the rule that
had a layer wrapped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.report.numbers import format_share

Zeros = Mapping[tuple[str, str], int]
"""Measured zeros by (address, tensor name)."""
_BITS = {"bool": 8, "int4": 4, "uint4": 4, "string": 0}


@dataclass(frozen=True, slots=True)
class Totals:
    """The last line's figures; `zeros` is None where nothing was measured."""

    layers: int
    parameters: int
    prunable: int
    zeros: int | None
    bytes: int


def shown_layers(graph: LayerGraph, matched: Collection[str] | None) -> tuple[Layer, ...]:
    """Return the layers at the addresses `matched`, in the graph's order; without it, all."""
    return tuple(
        layer for address, layer in graph.layers.items() if matched is None or address in matched
    )


def totals_of(layers: Sequence[Layer], zeros: Zeros | None) -> Totals:
    """Return the figures of some layers together."""
    tensors = [(layer.address, tensor) for layer in layers for tensor in layer.tensors]
    return Totals(
        layers=len(layers),
        parameters=sum(tensor.size for _, tensor in tensors),
        prunable=sum(tensor.size for _, tensor in tensors if tensor.prunable),
        zeros=(
            None
            if zeros is None
            else sum(zeros.get((address, tensor.name), 0) for address, tensor in tensors)
        ),
        bytes=sum(_bytes(tensor) for _, tensor in tensors),
    )


def prunable_zeros(layer: Layer, zeros: Zeros | None) -> tuple[int, int | None]:
    """Return the prunable weights and how many are zero; None where they were not measured."""
    found = [
        None if zeros is None else zeros.get((layer.address, tensor.name))
        for tensor in layer.prunable
    ]
    known = [count for count in found if count is not None]
    return sum(tensor.size for tensor in layer.prunable), (
        sum(known) if found and len(known) == len(found) else None
    )


def wrap_text(layer: Layer) -> str:
    """Return the rule that had the layer wrapped, and its target."""
    if layer.wrap is None:
        return ""
    rule = layer.wrap.provenance.rule or layer.wrap.type.rpartition(">")[2]
    if layer.wrap.pruning is not None and not layer.prunable:
        return f"{rule}: nothing to prune"
    return (
        rule
        if layer.wrap.pruning is None
        else (
            f"{rule}: {layer.wrap.pruning.describe_target(format_share)},"
            f" {layer.wrap.pruning.schedule}"
        )
    )


def _bytes(tensor: Tensor) -> int:
    """Return what the tensor takes uncompressed; a NumPy name ends in its width in bits."""
    digits = tensor.dtype[len(tensor.dtype.rstrip("0123456789")) :]
    bits = _BITS.get(tensor.dtype, int(digits) if 0 < len(digits) < 5 else 32)
    return tensor.size * bits // 8
