"""A diff as one JSON document."""

from __future__ import annotations

from typing import Any, cast

from typing_extensions import TypedDict

from graphprune.diff.changes import (
    ConfigChange,
    Connection,
    GraphDiff,
    LayerDiff,
    PruningState,
    Side,
    TensorDiff,
)
from graphprune.diff.document import (
    FORMAT_VERSION,
    KIND,
    ConfigChangeJson,
    ConnectionJson,
    DiffJson,
    DiffSummaryJson,
    LayerDiffJson,
    MaskJson,
    PruningStateJson,
    SideJson,
    TensorDiffJson,
)
from graphprune.graph.graph_json import to_strict
from graphprune.plan.pruning_document import PatternJson
from graphprune.sparsity.patterns import pattern_to_config


class _Model(TypedDict, total=False):
    model: list[ConfigChangeJson]


def graph_diff_to_config(diff: GraphDiff, *, show_all: bool = False) -> dict[str, Any]:
    """Return the JSON form: keys and layers in fixed order, floats rounded to 6 places, no time and
    no host, so that equal diffs give equal bytes.

    Calls (`source_call`, `target_call`, `calls.0` in paths of settings) count from 0, as Keras's
    node indices do; texts and drawings count from 1. It is strict JSON: NaN and the infinities in
    settings are objects, see `graph.graph_json`. Layers and tensors in which nothing but trained
    values differs are left out unless `show_all`. The key `model` stands before `layers` only where
    the model's own name, class or settings differ.
    """
    model: _Model = {}
    if diff.model:
        model["model"] = [_change_to_config(change) for change in diff.model]
    layers = diff.layers if show_all else diff.notable_layers
    document: DiffJson = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "left": _side_to_config(diff.left),
        "right": _side_to_config(diff.right),
        "equal": {
            "graph": diff.is_graph_equal,
            "pruning": diff.is_pruning_equal,
            "weights": diff.is_weights_equal,
        },
        **model,
        "layers": [_layer_to_config(layer, show_all=show_all) for layer in layers],
        "edges": {
            "added": [_connection_to_config(edge) for edge in diff.added],
            "removed": [_connection_to_config(edge) for edge in diff.removed],
        },
        "summary": cast(
            DiffSummaryJson, {**diff.count_statuses(), "sparsity_changed": diff.sparsity_changed}
        ),
    }
    return dict(document)


def _side_to_config(side: Side) -> SideJson:
    return {
        "path": side.path,
        "graph_sha256": side.graph_sha256,
        "parameters": side.parameters,
        "zeros": side.zeros,
    }


def _layer_to_config(layer: LayerDiff, *, show_all: bool) -> LayerDiffJson:
    tensors = layer.tensors if show_all or layer.paired_by is None else layer.notable_tensors
    return {
        "address": layer.address,
        "previous_address": layer.previous_address,
        "paired_by": layer.paired_by,
        "type": layer.type,
        "status": list(layer.status),
        "config": [_change_to_config(change) for change in layer.config],
        "pruning": {
            "before": _state_to_config(layer.before),
            "after": _state_to_config(layer.after),
        },
        "tensors": [_tensor_to_config(tensor) for tensor in tensors],
    }


def _change_to_config(change: ConfigChange) -> ConfigChangeJson:
    return {
        "path": change.path,
        "before": to_strict(change.before),
        "after": to_strict(change.after),
    }


def _state_to_config(state: PruningState | None) -> PruningStateJson | None:
    if state is None:
        return None
    pruning = state.pruning
    pattern = None if pruning is None else cast(PatternJson, pattern_to_config(pruning.pattern))
    return {"rule": state.rule, "pattern": pattern, "step": state.step, "finished": state.finished}


def _tensor_to_config(tensor: TensorDiff) -> TensorDiffJson:
    mask: MaskJson | None = (
        None
        if tensor.mask is None
        else {
            "shared": _round(tensor.mask.shared),
            "dropped": tensor.mask.dropped,
            "regrown": tensor.mask.regrown,
        }
    )
    return {
        "name": tensor.name,
        "shape_before": _listed(tensor.shape_before),
        "shape_after": _listed(tensor.shape_after),
        "zeros_before": tensor.zeros_before,
        "zeros_after": tensor.zeros_after,
        "sparsity_before": _round(tensor.sparsity_before),
        "sparsity_after": _round(tensor.sparsity_after),
        "target": _round(tensor.target),
        "target_met": tensor.target_met,
        "values": tensor.values,
        "mask": mask,
    }


def _listed(shape: tuple[int, ...] | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _connection_to_config(edge: Connection) -> ConnectionJson:
    return {
        "source": edge.source,
        "source_call": edge.source_call,
        "source_tensor": edge.source_tensor,
        "target": edge.target,
        "target_call": edge.target_call,
        "argument": edge.argument,
    }


def _round(share: float | None) -> float | None:
    return None if share is None else round(float(share), 6)
