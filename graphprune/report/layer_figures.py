"""The figures of layers and models (weights, zeros, bytes, wrapper), and all of them as JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.graph.out_of_reach import find_held_model, is_never_built
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import find_tensor_shapes
from graphprune.report.numbers import format_share

Zeros = Mapping[tuple[str, str], int]
"""Measured zeros by (address, tensor name)."""


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
        bytes=sum(tensor.bytes for _, tensor in tensors),
    )


def prunable_zeros(layer: Layer, zeros: Zeros | None) -> tuple[int, int | None]:
    """Return the prunable weights and how many are zero; None if they were not measured."""
    found = [
        None if zeros is None else zeros.get((layer.address, tensor.name))
        for tensor in layer.prunable
    ]
    known = [count for count in found if count is not None]
    return sum(tensor.size for tensor in layer.prunable), (
        sum(known) if found and len(known) == len(found) else None
    )


def wrap_text(layer: Layer) -> str:
    """Return the rule of the layer's wrapper, and its target."""
    if layer.wrap is None:
        return ""
    rule = layer.wrap.provenance.rule or layer.wrap.type.rpartition(">")[2]
    if layer.wrap.pruning is not None and not (layer.prunable or layer.wrap.pruning.weights):
        return f"{rule}: nothing to prune"
    return (
        rule
        if layer.wrap.pruning is None
        else (
            f"{rule}: {layer.wrap.pruning.describe_target(format_share)},"
            f" {layer.wrap.pruning.schedule}"
        )
    )


def layers_to_config(
    graph: LayerGraph,
    zeros: Zeros | None = None,
    *,
    path: str = "",
    matched: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return the layers as JSON data, in graph order, with shares rounded to 6 places.

    `matched` is that of the text.
    """
    layers = shown_layers(graph, matched)
    totals, shapes = totals_of(layers, zeros), find_tensor_shapes(graph)
    unbuilt = is_never_built(graph)
    return {
        "format_version": "1.0",
        "kind": "graphprune.layers",
        "model": {
            "path": path,
            "name": graph.name,
            "type": graph.type,
            "graph_sha256": graph.sha256,
            "inputs": list(graph.inputs),
            "outputs": list(graph.outputs),
            "layers": len(graph.layers),
            **({"never_built": True} if unbuilt else {}),
            **({} if graph.is_connected else {"connected": False}),
        },
        "layers": [
            _layer_to_config(layer, zeros, shapes.get((layer.address, 0, 0))) for layer in layers
        ],
        "summary": {
            "layers": totals.layers,
            "parameters": None if unbuilt else totals.parameters,
            "prunable_weights": None if unbuilt else totals.prunable,
            "zeros": None if unbuilt else totals.zeros,
            "sparsity": None if unbuilt else _share(totals.zeros, totals.parameters),
            "bytes": None if unbuilt else totals.bytes,
        },
    }


def _layer_to_config(layer: Layer, zeros: Zeros | None, shape: Shape | None) -> dict[str, Any]:
    wrap, held = layer.wrap, find_held_model(layer)
    wrapped = None
    if wrap is not None:
        pruning = None if wrap.pruning is None else wrap.pruning.to_config()
        wrapped = {"rule": wrap.provenance.rule, "pruning": pruning}
    return {
        "address": layer.address,
        "type": layer.type,
        "kind": layer.kind,
        "calls": layer.calls,
        "trainable": layer.trainable,
        "produces_output": layer.produces_output,
        "output_shape": None if shape is None else list(shape),
        "tensors": [_tensor_to_config(layer, tensor, zeros) for tensor in layer.tensors],
        "wrapped_by": wrapped,
        "out_of_reach": None if held is None else {"model": held.name, "weights": held.weights},
    }


def _tensor_to_config(layer: Layer, tensor: Tensor, zeros: Zeros | None) -> dict[str, Any]:
    measured = None if zeros is None else zeros.get((layer.address, tensor.name))
    return {
        "name": tensor.name,
        "axes": dict(zip(tensor.axes, tensor.shape, strict=False)),
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "size": tensor.size,
        "prunable": tensor.prunable,
        "zeros": measured,
        "sparsity": _share(measured, tensor.size),
    }


def _share(zeros: int | None, size: int) -> float | None:
    return None if zeros is None else round(zeros / max(size, 1), 6)
