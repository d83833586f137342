"""How often a model multiplies and adds for one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphprune.archive.entries import Entry, is_entry
from graphprune.graph.classes.builtin_layers import DAMAGED, known_class
from graphprune.graph.classes.channels import Weights
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.shapes.axis_lengths import Shape
from graphprune.graph.tensor_shapes import TensorUse, find_tensor_shapes


def count_multiply_adds(
    graph: LayerGraph,
    shapes: Mapping[TensorUse, Shape] | None = None,
    weights: Mapping[str, Weights] | None = None,
) -> Mapping[str, int | None]:
    """Return the multiply-adds of each layer for one sample, over all its calls, by address.

    Matrices count: dense layers, convolutions, recurrent layers, attention. Sums of tensors,
    activations and normalizations do not. None where an axis of the tensors is open, or nothing is
    known of what a layer does with a matrix.

    Args:
        graph: The model.
        shapes: The shapes of its tensors; those that the graph tells unless given.
        weights: The shapes of the weights of each layer; those in the graph unless given.

    Example:
        >>> from graphprune.graph import graph_from_config
        >>> start = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 6, 5]}}
        >>> start["config"]["name"], units = "in", {"name": "fc", "units": 3}
        >>> config = {"layers": [start, {"class_name": "Dense", "config": units}]}
        >>> model = {"class_name": "Sequential", "config": config}
        >>> graph = graph_from_config(model, tensors={"fc": [("kernel", (5, 3), "float32")]})
        >>> count_multiply_adds(graph)["fc"]
        90
    """
    shapes = find_tensor_shapes(graph) if shapes is None else shapes
    counts: dict[str, int | None] = {}
    for frame in graph.frames.values():
        for member in frame.members:
            layer = graph.layers[frame.address_of(member.name)]
            if layer.kind != "layer":
                continue
            own = {tensor.name: tensor.shape for tensor in layer.tensors}
            calls = [
                _of_call(
                    layer,
                    own if weights is None else weights[layer.address],
                    [
                        shapes.get(
                            (frame.address_of(use.source), use.source_call, use.source_tensor)
                        )
                        for use in uses
                    ],
                    shapes.get((layer.address, call, 0)),
                )
                for call, uses in enumerate(member.calls)
            ]
            known = [count for count in calls if count is not None]
            times = layer.calls // max(1, len(calls))
            counts[layer.address] = sum(known) * times if len(known) == len(calls) else None
    return counts


def sum_multiply_adds(counts: Mapping[str, int | None]) -> int | None:
    """Return the multiply-adds of a whole model; None where those of a layer are not known."""
    known = [count for count in counts.values() if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _of_call(
    layer: Layer, weights: Weights, taken: Sequence[Shape | None], made: Shape | None
) -> int | None:
    found = _of_entry(layer.entry, weights, [shape or () for shape in taken], made or ())
    is_own = known_class(layer.entry) is None
    is_counted = any(
        (tensor.prunable or is_own) and len(tensor.shape) > 1 for tensor in layer.tensors
    )
    return 0 if found is None and not is_counted else found


def _of_entry(entry: Entry, weights: Weights, taken: Sequence[Shape], made: Shape) -> int | None:
    known = known_class(entry)
    if known is None:
        return None
    if known.multiply_adds is not None:
        try:
            return known.multiply_adds(entry["config"], weights, taken, made)
        except DAMAGED:
            return None
    parts = known.parts(entry["config"]) if known.parts is not None else None
    counts = []
    for part in parts or ():
        before = f"{part.name}." if part.name else ""
        own = {
            name.removeprefix(before): shape
            for name, shape in weights.items()
            if name.startswith(before)
        }
        counts.append(_of_entry(part.entry, own, taken, made) if is_entry(part.entry) else None)
    known_counts = [count for count in counts if count is not None]
    return sum(known_counts) if counts and len(known_counts) == len(counts) else None
