"""Two layer graphs, compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from graphprune.arguments import wrong_type
from graphprune.diff.changes import (
    ConfigChange,
    GraphDiff,
    LayerDiff,
    PruningState,
    Side,
    Status,
    TensorDiff,
)
from graphprune.diff.connections import compare_connections
from graphprune.diff.pairing import Pair, pair_layers
from graphprune.diff.settings import compare_layers, compare_settings
from graphprune.diff.tensors import compare_tensors
from graphprune.diff.weights import Weights
from graphprune.graph.architecture import collect_call_constants
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.graph.tensor_shapes import Shape, TensorUse, find_tensor_shapes
from graphprune.sparsity.positions import Run
from graphprune.wrapper_names import STEP


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
        left_path: Where it comes from, for reports; its name unless given.
        right_path: Where it comes from, for reports; its name unless given.
        run: The length of the training run, to tell whether a schedule in epochs is at its end;
            without it, it is where its layer holds its target.
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
    for side, graph in (("left", left), ("right", right)):
        if not isinstance(graph, LayerGraph):
            raise wrong_type(
                side, "a LayerGraph", graph, "read_graph(path) reads one from a saved model"
            )
    pairs = pair_layers(left, right, left_weights=left_weights, right_weights=right_weights)
    comparison = _Comparison(left, right, left_weights, right_weights, run or Run())
    layers = tuple(_compare_layers(left, right, pairs, comparison))
    added, removed = compare_connections(left, right, {pair.left: pair.right for pair in pairs})
    return GraphDiff(
        left=_describe(
            left,
            left_path or left.name,
            _sum_zeros(
                tensor.zeros_before
                for tensor in _tensors(layers)
                if tensor.shape_before is not None
            ),
        ),
        right=_describe(
            right,
            right_path or right.name,
            _sum_zeros(
                tensor.zeros_after for tensor in _tensors(layers) if tensor.shape_after is not None
            ),
        ),
        model=tuple(_compare_models(left, right)),
        layers=layers,
        added=added,
        removed=removed,
        weights_gzip=weights_gzip,
        graphs=(left, right),
    )


class _Comparison:
    """Compares layers by what can be read of each side."""

    def __init__(
        self,
        left: LayerGraph,
        right: LayerGraph,
        left_weights: Weights | None,
        right_weights: Weights | None,
        run: Run,
    ) -> None:
        self._right = right
        self._left_weights, self._right_weights, self._run = left_weights, right_weights, run
        self._left_constants, self._right_constants = (
            collect_call_constants(left),
            collect_call_constants(right),
        )

    def compare(self, left: Layer | None, right: Layer | None, pair: Pair | None) -> LayerDiff:
        """Return what differs between two layers, or what there is of the only one."""
        shown = right or left
        assert shown is not None
        tensors = tuple(compare_tensors(left, right, self._left_weights, self._right_weights))
        renamed = left is not None and right is not None and left.address != right.address
        config = (
            ()
            if left is None or right is None
            else tuple(self._compare_configs(left, right, names=not renamed))
        )
        return LayerDiff(
            address=shown.address,
            type=shown.type,
            previous_address=left.address if left is not None and renamed else None,
            paired_by=None if pair is None else pair.paired_by,
            status=tuple(_statuses(left, right, renamed=renamed, reconfigured=bool(config))),
            config=config,
            before=self._state(
                left, self._left_weights, {tensor.name: tensor.zeros_before for tensor in tensors}
            ),
            after=self._state(
                right, self._right_weights, {tensor.name: tensor.zeros_after for tensor in tensors}
            ),
            tensors=tensors,
        )

    def _compare_configs(self, left: Layer, right: Layer, *, names: bool) -> Iterator[ConfigChange]:
        is_model = left.kind == right.kind == "model"
        yield from compare_layers(
            left.entry,
            right.entry,
            names=names,
            is_model=is_model,
            get_rank=lambda: self._rank(right.address),
        )
        yield from compare_settings(
            self._left_constants.get(left.address, {}),
            self._right_constants.get(right.address, {}),
            "calls",
        )
        yield from _compare_wraps(left, right)

    def _rank(self, address: str) -> int | None:
        """Return how many axes the tensors of a layer have that keeps its shape; None where that is
        not known.
        """
        shape = self._shapes.get((address, 0, 0))
        return len(shape) if shape else None

    @cached_property
    def _shapes(self) -> Mapping[TensorUse, Shape]:
        return find_tensor_shapes(self._right)

    def _state(
        self, layer: Layer | None, weights: Weights | None, zeros: Mapping[str, int | None]
    ) -> PruningState | None:
        if layer is None or layer.wrap is None:
            return None
        stored = None if weights is None else weights.read_state(layer.address, STEP)
        step = None if stored is None else int(stored)
        return PruningState(
            rule=layer.wrap.provenance.rule,
            pruning=layer.wrap.pruning,
            step=step,
            finished=_is_finished(layer, step, zeros, self._run),
        )


def _is_finished(
    layer: Layer, step: int | None, zeros: Mapping[str, int | None], run: Run
) -> bool | None:
    """Return whether the layer's schedule is at its end: by its step where the end is known in
    steps, else by the zeros that are there.
    """
    pruning = None if layer.wrap is None else layer.wrap.pruning
    if pruning is None or step is None:
        return None
    end = None if pruning.schedule.end is None else pruning.schedule.end.to_step(run)
    if end is not None:
        return step >= end
    found = [
        (tensor, zeros.get(tensor.name))
        for tensor in layer.tensors
        if tensor.name in pruning.weights
    ]
    if any(count is None for _, count in found):
        return None
    return step > 0 and all(
        count is not None and count >= pruning.target_zeros(tensor.name, tensor.shape)
        for tensor, count in found
    )


def _compare_layers(
    left: LayerGraph, right: LayerGraph, pairs: tuple[Pair, ...], comparison: _Comparison
) -> Iterator[LayerDiff]:
    by_right = {pair.right: pair for pair in pairs}
    for address, layer in right.layers.items():
        pair = by_right.get(address)
        yield comparison.compare(None if pair is None else left.layers[pair.left], layer, pair)
    paired = {pair.left for pair in pairs}
    for address, layer in left.layers.items():
        if address not in paired:
            yield comparison.compare(layer, None, None)


def _statuses(
    left: Layer | None, right: Layer | None, *, renamed: bool, reconfigured: bool
) -> Iterator[Status]:
    if left is None or right is None:
        yield "added" if left is None else "removed"
        return
    if renamed:
        yield "renamed"
    if reconfigured:
        yield "reconfigured"
    if (left.wrap is None) != (right.wrap is None):
        yield "wrapped" if left.wrap is None else "unwrapped"


def _compare_wraps(left: Layer, right: Layer) -> Iterator[ConfigChange]:
    if left.wrap is None or right.wrap is None:
        return
    before, after = left.wrap.pruning, right.wrap.pruning
    if before is not None and after is not None:
        yield from compare_settings(before.to_config(), after.to_config(), "pruning")
    elif left.wrap.type != right.wrap.type:
        yield ConfigChange("pruning.wrapper", left.wrap.type, right.wrap.type)


def _compare_models(left: LayerGraph, right: LayerGraph) -> Iterator[ConfigChange]:
    if left.name != right.name:
        yield ConfigChange("name", left.name, right.name)
    if left.type != right.type:
        yield ConfigChange("class_name", left.type, right.type)
    yield from compare_layers(
        left.frames[""].entry, right.frames[""].entry, names=True, is_model=True
    )


def _describe(graph: LayerGraph, path: str, zeros: int | None) -> Side:
    return Side(
        path,
        graph.sha256,
        len(graph.layers),
        graph.network.number_of_edges(),
        graph.parameters,
        zeros,
    )


def _tensors(layers: tuple[LayerDiff, ...]) -> Iterator[TensorDiff]:
    return (tensor for layer in layers for tensor in layer.tensors)


def _sum_zeros(counts: Iterator[int | None]) -> int | None:
    """Return the sum, or None where one of them is not known."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
