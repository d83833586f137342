"""The layers of a model as JSON: what `graphprune layers --format json` prints."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.graph.out_of_reach import find_held_model, is_never_built
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import find_tensor_shapes
from graphprune.report.layer_figures import Zeros, shown_layers, totals_of


def layers_to_config(
    graph: LayerGraph,
    zeros: Zeros | None = None,
    *,
    path: str = "",
    matched: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return the table as JSON data, layers in the graph's order and shares rounded to 6 places;
    `matched` as for the text.
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
