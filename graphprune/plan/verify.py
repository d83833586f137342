"""Compare a model with its plan: the zeros and values of its weights, and its architecture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from graphprune.diagnostics.diagnostic import Where
from graphprune.graph.architecture import Architecture, describe_architecture, hash_architecture
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.precision import in_float32
from graphprune.graph.weights import TensorKey
from graphprune.plan.changes import Plan
from graphprune.plan.measured import TensorFacts
from graphprune.plan.staleness import check_layers_fit
from graphprune.shown import Shown
from graphprune.sparsity.pattern_checks import UnitCount

Fault = Literal["zeros", "mask", "pattern", "not-finite", "all-zero"]
Difference = Literal["added", "missing", "settings", "inputs", "model"]


@dataclass(frozen=True, slots=True)
class TensorCheck:
    """One tensor that the plan prunes.

    Attributes:
        address, tensor, size: Which tensor, and its number of weights.
        rule: The id of the rule that the plan prunes it by.
        planned: Zeros when the plan is finished.
        measured: Zeros in the model; 0 if it was not checked.
        under_mask: Non-zero weights where the wrapper's mask says zero; 0 in a model without
            wrappers.
        non_finite: Weights that are NaN or infinite.
        units: How many groups, blocks or channels are as zero as the pattern wants; None where
            every weight is by itself.
        was_zero: Whether all its weights may be zero: they were when the plan was made, or it
            follows.
        follows: Whether it only loses the channels that others lose, such as a bias.
        unchecked: Why its weights could not be checked; empty if they were.
    """

    address: str
    tensor: str
    size: int
    rule: str
    planned: int
    measured: int
    under_mask: int = 0
    non_finite: int = 0
    units: UnitCount | None = None
    was_zero: bool = False
    follows: bool = False
    unchecked: str = ""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is not as planned, in the order of `Fault`; nothing of an unchecked tensor."""
        found: dict[Fault, bool] = {
            "zeros": self.measured < self.planned,
            "mask": self.under_mask > 0,
            "pattern": self.units is not None and not self.units.is_kept,
            "not-finite": self.non_finite > 0,
            "all-zero": self.measured == self.size and not self.was_zero,
        }
        return () if self.unchecked else tuple(fault for fault, there in found.items() if there)

    @property
    def is_as_planned(self) -> bool:
        """Whether it was checked and has no faults."""
        return not self.faults and not self.unchecked


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer that differs from the one in the plan's original model.

    Attributes:
        address: The layer; empty for the model itself.
        what: Whether it was added, is missing, has other settings, or takes other tensors.
    """

    address: str
    what: Difference


@dataclass(frozen=True, slots=True)
class ArchitectureCheck:
    """A model against the plan's original model, apart from how they are pruned.

    Attributes:
        differences: The layers that differ, in the model's order; those missing come last.
        unchecked: Why it could not be compared; empty if it was.
    """

    differences: tuple[LayerDifference, ...] = ()
    unchecked: str = ""

    @property
    def status(self) -> Literal["same", "differs", "unchecked"]:
        """The outcome in one word."""
        if self.unchecked:
            return "unchecked"
        return "differs" if self.differences else "same"


@dataclass(frozen=True, slots=True)
class NotFinite:
    """A tensor that the plan does not prune, with weights that are NaN or infinite."""

    address: str
    tensor: str
    non_finite: int


@dataclass(frozen=True, slots=True, repr=False)
class Verification(Shown):
    """The measurements of the model at `model` against the plan at `plan`.

    Attributes:
        model, plan: What reports call the two.
        checks: One for each pruned tensor, in the plan's order.
        architecture: The model's layers and connections against those of the plan's original.
        not_finite: Other tensors with weights that are no numbers.
    """

    model: str
    plan: str
    checks: tuple[TensorCheck, ...]
    architecture: ArchitectureCheck = ArchitectureCheck()
    not_finite: tuple[NotFinite, ...] = ()

    @property
    def drift(self) -> tuple[TensorCheck, ...]:
        """The tensors that are not as planned."""
        return tuple(check for check in self.checks if check.faults)

    @property
    def unchecked(self) -> tuple[TensorCheck, ...]:
        """The tensors that could not be checked."""
        return tuple(check for check in self.checks if check.unchecked)

    @property
    def is_as_planned(self) -> bool | None:
        """Whether all is as planned; None if nothing differs, but not all could be checked."""
        if self.drift or self.not_finite or self.architecture.differences:
            return False
        return None if self.unchecked or self.architecture.unchecked else True


def verify_plan(
    plan: Plan,
    graph: LayerGraph,
    measured: Mapping[TensorKey, TensorFacts],
    mask_faults: Mapping[TensorKey, int] | None = None,
    *,
    model_path: str = "",
    plan_path: str = "",
) -> Verification:
    """Return what a model has of what `plan` says: its architecture, and every pruned tensor.

    Args:
        plan: The plan, carried out or not.
        graph: The model, wrapped or stripped.
        measured: What its weights say, see `measure_planned`.
        mask_faults: Non-zero weights under the masks of a wrapped model, by (address, tensor name).
        model_path, plan_path: The names of the two in reports.

    Raises:
        StalePlanError: the plan was made for a model with other layers.
    """
    check_layers_fit(graph, plan, Where(plan_path) if plan_path else None)
    checks = tuple(_checks(plan, measured, mask_faults or {}))
    pruned = {(check.address, check.tensor) for check in checks}
    return Verification(
        model_path,
        plan_path,
        checks,
        check_architecture(plan, graph),
        tuple(
            NotFinite(*key, facts.non_finite)
            for key, facts in measured.items()
            if facts.non_finite and key not in pruned
        ),
    )


def list_checks(plan: Plan, unchecked: str = "") -> Iterator[TensorCheck]:
    """Yield every tensor that `plan` prunes as not measured yet; `unchecked` says why."""
    for change in plan.changes:
        rule = "" if change.rule is None else change.rule.id
        for tensor in change.tensors:
            if change.after is not None and tensor.zeros_after is not None:
                yield TensorCheck(
                    change.address,
                    tensor.name,
                    tensor.size,
                    rule,
                    tensor.zeros_after,
                    0,
                    was_zero=tensor.follows or tensor.zeros_before == tensor.size,
                    follows=tensor.follows,
                    unchecked=unchecked,
                )


def add_facts(check: TensorCheck, facts: TensorFacts, under_mask: int = 0) -> TensorCheck:
    """Return the check of a tensor with what was measured."""
    return replace(
        check,
        measured=facts.zeros,
        under_mask=under_mask,
        non_finite=facts.non_finite,
        units=facts.units,
    )


def _checks(
    plan: Plan, measured: Mapping[TensorKey, TensorFacts], mask_faults: Mapping[TensorKey, int]
) -> Iterator[TensorCheck]:
    for check in list_checks(plan):
        key = (check.address, check.tensor)
        yield add_facts(check, measured[key], mask_faults.get(key, 0))


UNCONNECTED = "the config of the model does not have the connections of its layers"
_OLD = "an earlier graphprune wrote the plan; make it again to compare the architecture"


def check_architecture(plan: Plan, graph: LayerGraph) -> ArchitectureCheck:
    """Return the layers and connections that differ from the plan's original model.

    How the two are pruned does not count, nor does the code of a Lambda, nor the precision that a
    run set.
    """
    graph = in_float32(graph)
    if plan.architecture is not None:
        differences = tuple(_differences(plan.architecture, describe_architecture(graph)))
        is_known = graph.is_connected or differences
        return ArchitectureCheck(differences, "" if is_known else UNCONNECTED)
    known = plan.architecture_sha256
    if known is None or any(change.before is not None for change in plan.changes):
        return ArchitectureCheck(unchecked=_OLD)
    stripped = graph.replace(
        {
            address: replace(layer, wrap=None)
            for address, layer in graph.layers.items()
            if layer.wrap is not None
        }
    )
    is_same = hash_architecture(stripped) == known
    return ArchitectureCheck(() if is_same else (LayerDifference("", "model"),))


def _differences(planned: Architecture, found: Architecture) -> Iterator[LayerDifference]:
    if planned.model != found.model:
        yield LayerDifference("", "model")
    for name, layer in found.layers.items():
        before = planned.layers.get(name)
        if before is None:
            yield LayerDifference(layer.address, "added")
            continue
        if before.settings != layer.settings:
            yield LayerDifference(layer.address, "settings")
        if before.inputs != layer.inputs:
            yield LayerDifference(layer.address, "inputs")
    for name, layer in planned.layers.items():
        if name not in found.layers:
            yield LayerDifference(layer.address, "missing")
