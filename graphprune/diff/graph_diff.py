"""Two models compared: two layer graphs, or two saved models with their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from graphprune.arguments import wrong_type
from graphprune.diff.changes import ConfigChange, GraphDiff, LayerDiff, Side
from graphprune.diff.layer_diff import LayerComparison, compare_layers
from graphprune.diff.pairing import Pair, pair_layers
from graphprune.diff.sizes import measure_weights_gzip, side_by_side
from graphprune.diff.structure import compare_connections, count_connections
from graphprune.diff.weights import Weights
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.read import ModelFile
from graphprune.sparsity.positions import Run


def diff_graphs(
    left: LayerGraph,
    right: LayerGraph,
    *,
    left_weights: Weights | None = None,
    right_weights: Weights | None = None,
    left_path: str = "",
    right_path: str = "",
    run: Run | None = None,
    weights_gzip: tuple[int, int] | None = None,
) -> GraphDiff:
    """Return everything that differs between two models.

    Args:
        left: The model before.
        right: The model after.
        left_weights: Its weights; without them nothing is measured on that side.
        right_weights: Its weights; each tensor is read once, and twice where its layer has no
            counterpart by address.
        left_path: Its path, for reports; default: its name.
        right_path: Its path, for reports; default: its name.
        run: The length of the training run, to tell whether a schedule in epochs is finished;
            without it, a schedule counts as finished once its layer has reached its target.
        weights_gzip: Bytes of all weights after gzip, left and right (see `graphprune.diff.sizes`).

    Raises:
        TypeError: one side is not a layer graph.

    Example:
        >>> from graphprune.graph.read import read_graph
        >>> dense = {"class_name": "Dense", "config": {"name": "fc", "units": 3}}
        >>> graph = read_graph(
        ...     {"class_name": "Sequential", "config": {"name": "net", "layers": [dense]}}
        ... )
        >>> diff_graphs(graph, graph).is_empty
        True
    """
    _check_graphs(left=left, right=right)
    pairs = pair_layers(left, right, left_weights=left_weights, right_weights=right_weights)
    comparison = LayerComparison(left, right, left_weights, right_weights, run or Run())
    layers = tuple(_compare_layers(left, right, pairs, comparison))
    connections = compare_connections(left, right, {pair.left: pair.right for pair in pairs})
    tensors = [tensor for layer in layers for tensor in layer.tensors]
    before = [tensor.zeros_before for tensor in tensors if tensor.shape_before is not None]
    after = [tensor.zeros_after for tensor in tensors if tensor.shape_after is not None]
    return GraphDiff(
        left=_describe(left, left_path, before),
        right=_describe(right, right_path, after),
        model=tuple(_compare_models(left, right)),
        layers=layers,
        added=connections.added,
        removed=connections.removed,
        rewired=connections.rewired,
        weights_gzip=weights_gzip,
        graphs=(left, right),
    )


def _check_graphs(**sides: object) -> None:
    for side, graph in sides.items():
        if not isinstance(graph, LayerGraph):
            raise wrong_type(
                side, "a LayerGraph", graph, "read_graph(path) reads one from a saved model"
            )


def _compare_layers(
    left: LayerGraph, right: LayerGraph, pairs: tuple[Pair, ...], comparison: LayerComparison
) -> Iterator[LayerDiff]:
    by_right = {pair.right: pair for pair in pairs}
    for address, layer in right.layers.items():
        pair = by_right.get(address)
        yield comparison.compare(None if pair is None else left.layers[pair.left], layer, pair)
    paired = {pair.left for pair in pairs}
    for address, layer in left.layers.items():
        if address not in paired:
            yield comparison.compare(layer, None, None)


def _compare_models(left: LayerGraph, right: LayerGraph) -> Iterator[ConfigChange]:
    if left.name != right.name:
        yield ConfigChange("name", left.name, right.name)
    if left.type != right.type:
        yield ConfigChange("class_name", left.type, right.type)
    yield from compare_layers(
        left.frames[""].entry, right.frames[""].entry, names=True, is_model=True
    )


def _describe(graph: LayerGraph, path: str, zeros: Sequence[int | None]) -> Side:
    """Return one side of a diff; its zeros are None where those of one tensor are not known."""
    known = [count for count in zeros if count is not None]
    return Side(
        path=path or graph.name,
        graph_sha256=graph.sha256,
        layers=len(graph.layers),
        connections=count_connections(graph),
        parameters=graph.parameters,
        zeros=sum(known) if len(known) == len(zeros) else None,
    )


GZIP_LIMIT = 50_000_000
"""Bytes of weights of one model up to which they are compressed unless asked otherwise."""


def diff_models(
    left: ModelFile,
    right: ModelFile,
    *,
    run: Run | None = None,
    measure_gzip: bool | None = None,
    values: bool = True,
) -> GraphDiff:
    """Return everything that differs between two models, including weights if available.

    Args:
        left: The model before.
        right: The model after.
        run: The length of the training run, if known (see `diff_graphs`).
        measure_gzip: Also gzip all weights of both sides, which reads them once more and takes
            about a second for 20 MB, on one core per side; None for models up to `GZIP_LIMIT`.
            Skipped if all weights are the same.
        values: Compare weights; without it only the config and the shapes are compared.

    Raises:
        ArchiveError: the weights of one side are damaged.
    """
    if not values:
        return diff_graphs(
            left.graph, right.graph, left_path=left.path, right_path=right.path, run=run
        )
    if measure_gzip is None:
        measure_gzip = max(_weight_bytes(left.graph), _weight_bytes(right.graph)) <= GZIP_LIMIT
    with left.opened() as left_weights, right.opened() as right_weights:
        difference = diff_graphs(
            left.graph,
            right.graph,
            left_weights=left_weights,
            right_weights=right_weights,
            left_path=left.path,
            right_path=right.path,
            run=run,
        )
        if (
            not measure_gzip
            or left_weights is None
            or right_weights is None
            or difference.is_weights_equal
        ):
            return difference
        before, after = side_by_side(
            lambda side: measure_weights_gzip(*side),
            (left.graph, left_weights),
            (right.graph, right_weights),
        )
        return replace(difference, weights_gzip=(before, after))


def _weight_bytes(graph: LayerGraph) -> int:
    """Return the bytes of a model's weights."""
    return sum(tensor.bytes for layer in graph.layers.values() for tensor in layer.tensors)
