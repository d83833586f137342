"""What differs between two models, as frozen values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from graphprune.graph.layer_graph import LayerGraph
from graphprune.shown import Shown
from graphprune.sparsity.pruning import Pruning

Evidence = Literal["address", "weights", "structure"]
Status = Literal["added", "removed", "renamed", "reconfigured", "wrapped", "unwrapped"]
STATUSES: tuple[Status, ...] = (
    "added",
    "removed",
    "renamed",
    "reconfigured",
    "wrapped",
    "unwrapped",
)
End = Literal["source", "target"]
PRUNING_PREFIX = "pruning."


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A dotted path (`config.strides`) whose value differs; None on a side without it."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PruningState:
    """The progress of the wrapper around a layer.

    Attributes:
        rule: The rule that asked for it; empty if not recorded.
        pruning: What the wrapper was told to do; None for a wrapper that graphprune did not write.
        step: Optimizer updates so far; None where weights were not read.
        finished: Whether the schedule is finished; None if unknown.
    """

    rule: str
    pruning: Pruning | None
    step: int | None
    finished: bool | None


@dataclass(frozen=True, slots=True)
class MaskOverlap:
    """What two masks of one tensor have in common.

    Attributes:
        shared: The share of the left side's kept weights that the right side keeps too.
        dropped: Weights that only the left side keeps.
        regrown: Weights that only the right side keeps.
    """

    shared: float
    dropped: int
    regrown: int


@dataclass(frozen=True, slots=True)
class TensorDiff:
    """One weight tensor before and after.

    Shapes are None on the side that does not have it, counts if weights were not read.

    Attributes:
        name: Bare name (`kernel`).
        shape_before, shape_after: Axis lengths.
        size_before, size_after: Numbers of weights; 0 on the side that does not have the tensor.
        zeros_before, zeros_after: Exact zeros.
        target: The sparsity that its wrapper aims at: the right side's, else the left side's.
        target_met: Whether the right side holds at least the exact number of zeros of `target`.
        zeros_missing: How many zeros the right side lacks for that.
        values: Whether the two sides hold the same values; None where they were not compared.
        mask: What the masks have in common, where both sides are wrapped.
    """

    name: str
    shape_before: tuple[int, ...] | None
    shape_after: tuple[int, ...] | None
    size_before: int
    size_after: int
    zeros_before: int | None = None
    zeros_after: int | None = None
    target: float | None = None
    target_met: bool | None = None
    zeros_missing: int = 0
    values: Literal["same", "changed"] | None = None
    mask: MaskOverlap | None = None

    @property
    def is_paired(self) -> bool:
        """Whether both sides have the tensor."""
        return self.shape_before is not None and self.shape_after is not None

    @property
    def sparsity_before(self) -> float | None:
        """The measured share of zeros on the left."""
        return None if self.zeros_before is None else self.zeros_before / max(self.size_before, 1)

    @property
    def sparsity_after(self) -> float | None:
        """The measured share of zeros on the right."""
        return None if self.zeros_after is None else self.zeros_after / max(self.size_after, 1)

    @property
    def is_sparsity_changed(self) -> bool:
        """Whether both sides were measured and hold different shares of zeros."""
        return (
            self.zeros_before is not None
            and self.zeros_after is not None
            and self.sparsity_before != self.sparsity_after
        )

    @property
    def is_mask_changed(self) -> bool:
        """Whether both sides have a mask, and the masks differ."""
        return self.mask is not None and bool(self.mask.dropped or self.mask.regrown)

    @property
    def is_notable(self) -> bool:
        """Whether more differs than trained values."""
        return (
            self.is_sparsity_changed
            or self.is_mask_changed
            or self.shape_before != self.shape_after
        )


@dataclass(frozen=True, slots=True)
class LayerDiff:
    """One layer before and after.

    Attributes:
        address: On the right side; of a removed layer, on the left.
        previous_address: The left side's, if it differs.
        paired_by: The evidence that the two are the same layer; None for an added or removed layer.
        type: Registered class name.
        status: What happened to it, in the order of `STATUSES`; empty if none of these
            happened.
        config: Changed settings, of the layer and of its wrapper.
        before, after: Its wrapper, if it has one.
        tensors: Its weights in storage order; those of the left side alone come last.
    """

    address: str
    type: str
    previous_address: str | None = None
    paired_by: Evidence | None = None
    status: tuple[Status, ...] = ()
    config: tuple[ConfigChange, ...] = ()
    before: PruningState | None = None
    after: PruningState | None = None
    tensors: tuple[TensorDiff, ...] = ()

    @property
    def is_notable(self) -> bool:
        """Whether more differs than trained values."""
        return (
            bool(self.status)
            or self.is_pruning_changed
            or any(tensor.is_notable for tensor in self.tensors)
        )

    @property
    def is_pruning_changed(self) -> bool:
        """Whether the wrapper, its settings, its step or its masks differ."""
        return self.before != self.after or any(tensor.is_mask_changed for tensor in self.tensors)

    @property
    def is_structure_changed(self) -> bool:
        """Whether the layer itself differs, ignoring its wrapper."""
        return "renamed" in self.status or self.is_content_changed

    @property
    def is_content_changed(self) -> bool:
        """Whether the layer was added, removed or reconfigured, apart from name and wrapper."""
        return self.paired_by is None or any(
            not change.path.startswith(PRUNING_PREFIX) for change in self.config
        )

    @property
    def notable_tensors(self) -> tuple[TensorDiff, ...]:
        """The tensors that a report shows.

        These are the ones with a difference, and the pruned ones of a layer whose wrapper
        differs.
        """
        if not self.paired_by:
            return ()
        return tuple(
            tensor
            for tensor in self.tensors
            if tensor.is_notable or (self.is_pruning_changed and tensor.target is not None)
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """One use of a tensor: the call that makes it, and the call and input that use it.

    `source` is None for an input of the model and `target` None for an output. Inputs and outputs
    of a nested model have its address there instead.

    Attributes:
        source, source_call, source_tensor: The layer that makes the tensor, in which call (from 0),
            and which of that call's tensors it is.
        target, target_call: The layer that takes it, in which call.
        argument: Where the call takes it (`0`, `query`); `input` and `output 0` at the ends of a
            model.
        gone: Which ends are layers of the left side alone, where the right side has another layer
            of that name.
    """

    source: str | None
    source_call: int
    source_tensor: int
    target: str | None
    target_call: int
    argument: str
    gone: tuple[End, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models, as a whole; `zeros` is None where weights were not read."""

    path: str
    graph_sha256: str
    layers: int
    connections: int
    parameters: int
    zeros: int | None


@dataclass(frozen=True, slots=True, repr=False)
class GraphDiff(Shown):
    """Everything that differs between two models; made by `diff_graphs`.

    Attributes:
        left, right: The models.
        model: Changes of the model's own name and class.
        layers: Every layer: those of the right side in its order, then the removed ones in theirs.
        added, removed: Connections that only one side has, in the right side's names.
        rewired: The layers of both sides that take other tensors, in the right side's names; the
            model itself, an empty text, is among them if it gives other tensors.
        weights_gzip: Bytes of all weights, left and right, after gzip; None where they are the
            same, or were not measured.
        part: The kinds of change and the layers that it was narrowed to, in words; empty if it is
            whole.
        graphs: The models themselves, to draw them.
    """

    left: Side
    right: Side
    model: tuple[ConfigChange, ...] = ()
    layers: tuple[LayerDiff, ...] = ()
    added: tuple[Connection, ...] = ()
    removed: tuple[Connection, ...] = ()
    rewired: tuple[str, ...] = ()
    weights_gzip: tuple[int, int] | None = None
    part: str = ""
    graphs: tuple[LayerGraph, LayerGraph] | None = field(default=None, compare=False, repr=False)

    @property
    def is_graph_equal(self) -> bool:
        """Whether the structure is the same, ignoring wrappers."""
        return not (
            self.model
            or self.added
            or self.removed
            or any(layer.is_structure_changed for layer in self.layers)
        )

    @property
    def is_pruning_equal(self) -> bool:
        """Whether wrappers, their settings, steps and masks are the same."""
        return not any(layer.is_pruning_changed for layer in self.layers)

    @property
    def is_weights_equal(self) -> bool | None:
        """Whether all weights are the same; None where they were not compared."""
        tensors = [tensor for layer in self.layers for tensor in layer.tensors]
        if any(tensor.values == "changed" or not tensor.is_paired for tensor in tensors):
            return False
        return None if any(tensor.values is None for tensor in tensors) else True

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known to differ."""
        return (
            self.is_graph_equal
            and self.is_pruning_equal
            and self.is_weights_equal is not False
            and not self.sparsity_changed
        )

    @property
    def notable_layers(self) -> tuple[LayerDiff, ...]:
        """The layers that differ in more than trained values."""
        return tuple(layer for layer in self.layers if layer.is_notable)

    @property
    def sparsity_changed(self) -> int:
        """The number of tensors whose share of zeros differs."""
        return sum(tensor.is_sparsity_changed for layer in self.layers for tensor in layer.tensors)

    def count_statuses(self) -> dict[Status, int]:
        """Return how many layers have each status, in the order of `STATUSES`."""
        found = Counter(status for layer in self.layers for status in layer.status)
        return {status: found[status] for status in STATUSES}
