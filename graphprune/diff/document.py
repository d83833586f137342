"""The JSON document of a diff, key by key, and the functions that write it."""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired, cast

from typing_extensions import TypedDict

from graphprune.diff.changes import (
    ConfigChange,
    Connection,
    Evidence,
    GraphDiff,
    LayerDiff,
    PruningState,
    Side,
    Status,
    TensorDiff,
)
from graphprune.documents import Count, Flag, Share, Text
from graphprune.graph.graph_json import to_strict
from graphprune.plan.pruning_document import PatternJson
from graphprune.sparsity.patterns import pattern_to_config

FORMAT_VERSION = "1.0"
KIND: Final = "graphprune.diff"


class SideJson(TypedDict):
    """One of the two models."""

    path: Text
    """As the command named it."""
    graph_sha256: Text
    """The hash of its layer graph."""
    parameters: Count
    """The number of all weights."""
    zeros: Count | None
    """Zeros among them; null where weights were not read."""


class EqualJson(TypedDict):
    """What is the same in the two models."""

    graph: Flag
    """Structure, ignoring wrappers."""
    pruning: Flag
    """Wrappers, their settings, steps and masks."""
    weights: Flag | None
    """All weights, where -0.0 is 0.0 and NaN is NaN; null where they were not compared."""


class ConfigChangeJson(TypedDict):
    """A setting that differs."""

    path: Text
    """Its dotted path, such as `config.strides`."""
    before: Any
    """The left value; null where that side does not have it. NaN and the infinities are objects."""
    after: Any
    """The right value."""


class PruningStateJson(TypedDict):
    """The progress of the wrapper around a layer."""

    rule: Text
    """The rule that asked for it; empty where that is not known."""
    pattern: PatternJson | None
    """Which weights are zeroed together; null for a wrapper that prunes nothing, and one whose
    settings are not known.
    """
    group: NotRequired[Literal["none", "auto"]]
    """How channels are grouped; `none` by default."""
    method: NotRequired[Literal["gradual", "keep"]]
    """Whether the zeros that were there are held; `gradual` by default."""
    step: Count | None
    """Optimizer steps so far; null where weights were not read."""
    finished: Flag | None
    """Whether the schedule is finished; null if unknown."""


class PruningStatesJson(TypedDict):
    """The wrapper of a layer on both sides."""

    before: PruningStateJson | None
    """The left one; null where there is none."""
    after: PruningStateJson | None
    """The right one."""


class MaskJson(TypedDict):
    """What two masks of one tensor have in common."""

    shared: Share | None
    """The share of the left side's kept weights that the right side keeps too."""
    dropped: Count
    """Weights that only the left side keeps."""
    regrown: Count
    """Weights that only the right side keeps."""


class TensorDiffJson(TypedDict):
    """One weight tensor on both sides; null where a side does not have it or was not read."""

    name: Text
    """Its name in the layer."""
    shape_before: list[Count] | None
    """Axis lengths on the left."""
    shape_after: list[Count] | None
    """Axis lengths on the right."""
    zeros_before: Count | None
    """Zeros on the left."""
    zeros_after: Count | None
    """Zeros on the right."""
    sparsity_before: Share | None
    """The same as a share."""
    sparsity_after: Share | None
    """The same as a share."""
    target: Share | None
    """The sparsity that its wrapper aims at."""
    target_met: Flag | None
    """Whether the right side holds at least the zeros of `target`."""
    values: Literal["same", "changed"] | None
    """Whether both sides hold the same values; -0.0 is 0.0, and NaN is NaN."""
    mask: MaskJson | None
    """What the masks have in common, where both sides are wrapped."""


class LayerDiffJson(TypedDict):
    """One layer on both sides."""

    address: Text
    """On the right; of a removed layer, on the left."""
    previous_address: Text | None
    """On the left, if it differs."""
    paired_by: Evidence | None
    """The evidence that the two are the same layer; null for an added or removed layer."""
    type: Text
    """Its registered class."""
    status: list[Status]
    """What happened to it."""
    config: list[ConfigChangeJson]
    """Settings that differ, of the layer and of its wrapper."""
    pruning: PruningStatesJson
    """Its wrapper."""
    tensors: list[TensorDiffJson]
    """Its weights."""


class ConnectionJson(TypedDict):
    """One use of a tensor. Calls count from 0."""

    source: Text | None
    """The layer that makes it; null for an input of the model."""
    source_call: Count
    """In which of its calls."""
    source_tensor: Count
    """Which of the call's tensors it is."""
    target: Text | None
    """The layer that takes it; null for an output of the model."""
    target_call: Count
    """In which of its calls."""
    argument: Text
    """Where the call takes it."""
    gone: NotRequired[list[Literal["source", "target"]]]
    """Which ends are layers of the left side alone, where the right has another of that name."""


class EdgesJson(TypedDict):
    """Connections that only one side has, in the right side's names."""

    added: list[ConnectionJson]
    """On the right only."""
    removed: list[ConnectionJson]
    """On the left only."""


class DiffSummaryJson(TypedDict):
    """How many layers differ, by what happened to them."""

    added: Count
    """Layers on the right only."""
    removed: Count
    """Layers on the left only."""
    renamed: Count
    """Layers with another name."""
    reconfigured: Count
    """Layers with other settings."""
    wrapped: Count
    """Layers pruned on the right only."""
    unwrapped: Count
    """Layers pruned on the left only."""
    rewired: Count
    """Layers of both sides that take other tensors, and the model where it gives others."""
    sparsity_changed: Count
    """Tensors with another share of zeros."""


class DiffJson(TypedDict):
    """What differs between two models. Readers ignore keys that they do not know."""

    format_version: Text
    """Readers refuse another major version."""
    kind: Literal["graphprune.diff"]
    """What this document is."""
    left: SideJson
    """The first model."""
    right: SideJson
    """The second model."""
    equal: EqualJson
    """What is the same in both."""
    part: NotRequired[Text]
    """The kinds of change and the layers that it was narrowed to; absent if it is whole."""
    model: NotRequired[list[ConfigChangeJson]]
    """Settings of the model itself that differ; absent where there are none."""
    layers: list[LayerDiffJson]
    """Layers that differ; all with `--all`."""
    edges: EdgesJson
    """Connections that differ."""
    summary: DiffSummaryJson
    """Layers by what happened to them."""


class _Model(TypedDict, total=False):
    part: str
    model: list[ConfigChangeJson]


def graph_diff_to_config(diff: GraphDiff, *, show_all: bool = False) -> dict[str, Any]:
    """Return the JSON form, with keys and layers in fixed order and floats rounded to 6 places.

    It holds no time and no host, so that equal diffs give equal bytes.

    Calls (`source_call`, `target_call`, `calls.0` in paths of settings) count from 0, as Keras's
    node indices do; texts and drawings count from 1. It is strict JSON: NaN and the infinities in
    settings are objects, see `graph.graph_json`. Layers and tensors in which nothing but trained
    values differs are left out unless `show_all`. The key `model` stands before `layers` only where
    the model's own name, class or settings differ.
    """
    model: _Model = {}
    if diff.part:
        model["part"] = diff.part
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
            DiffSummaryJson,
            {
                **diff.count_statuses(),
                "rewired": len(diff.rewired),
                "sparsity_changed": diff.sparsity_changed,
            },
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
    pattern = (
        cast(PatternJson, pattern_to_config(pruning.pattern))
        if pruning is not None and pruning.weights
        else None
    )
    document: PruningStateJson = {
        "rule": state.rule,
        "pattern": pattern,
        "step": state.step,
        "finished": state.finished,
    }
    if pruning is not None and pruning.group != "none":
        document["group"] = pruning.group
    if pruning is not None and pruning.method != "gradual":
        document["method"] = pruning.method
    return document


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
    config: ConnectionJson = {
        "source": edge.source,
        "source_call": edge.source_call,
        "source_tensor": edge.source_tensor,
        "target": edge.target,
        "target_call": edge.target_call,
        "argument": edge.argument,
    }
    if edge.gone:
        config["gone"] = [*edge.gone]
    return config


def _round(share: float | None) -> float | None:
    return None if share is None else round(float(share), 6)
