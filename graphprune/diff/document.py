"""The JSON document of a diff, key by key: what `diff --format json` writes and `schema diff`
describes.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired

from typing_extensions import TypedDict

from graphprune.diff.changes import Evidence, Status
from graphprune.documents import Count, Flag, Share, Text
from graphprune.plan.pruning_document import PatternJson

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
    """In what the two models are the same."""

    graph: Flag
    """Structure, wrappers looked through."""
    pruning: Flag
    """Wrappers, their settings, steps and masks."""
    weights: Flag | None
    """All weights, bit for bit; null where they were not compared."""


class ConfigChangeJson(TypedDict):
    """A setting that differs."""

    path: Text
    """Its dotted path, such as `config.strides`."""
    before: Any
    """The left value; null where that side does not have it. NaN and the infinities are objects."""
    after: Any
    """The right value."""


class PruningStateJson(TypedDict):
    """How far the wrapper around a layer is."""

    rule: Text
    """The rule that asked for it; empty where that is not known."""
    pattern: PatternJson | None
    """Which weights are zeroed together; null for a wrapper that graphprune did not write."""
    step: Count | None
    """Optimizer steps so far; null where weights were not read."""
    finished: Flag | None
    """Whether the schedule has come to its end; null where that is not known."""


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
    """Whether both sides hold the same bits."""
    mask: MaskJson | None
    """What the masks have in common, where both sides are wrapped."""


class LayerDiffJson(TypedDict):
    """One layer on both sides."""

    address: Text
    """On the right; of a removed layer, on the left."""
    previous_address: Text | None
    """On the left, where that is another."""
    paired_by: Evidence | None
    """What shows that the two are one layer; null for an added or removed layer."""
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
    """In what they are the same."""
    model: NotRequired[list[ConfigChangeJson]]
    """Settings of the model itself that differ; absent where there are none."""
    layers: list[LayerDiffJson]
    """Layers that differ; all with `--all`."""
    edges: EdgesJson
    """Connections that differ."""
    summary: DiffSummaryJson
    """Layers by what happened to them."""
