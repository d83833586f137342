"""Compare the zeros of a model with its plan, or with its wrappers' schedules (drift)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from graphprune.diagnostics.diagnostic import Where
from graphprune.documents import Count, Flag, Text
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.plan.changes import Drift, Plan
from graphprune.plan.staleness import check_layers_fit
from graphprune.shown import Shown
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning

FORMAT_VERSION = "1.0"
KIND: Final = "graphprune.verification"


class TensorCheckJson(TypedDict):
    """One tensor that the plan prunes."""

    address: Text
    """The layer."""
    tensor: Text
    """The weight tensor."""
    rule: Text
    """The id of the rule that the plan prunes it by."""
    size: Count
    """The number of weights."""
    zeros_planned: Count
    """Zeros when the plan is finished."""
    zeros_measured: Count
    """Zeros in the model."""
    under_mask: Count
    """Non-zero weights where the mask says zero."""
    as_planned: Flag
    """Whether at least the planned zeros are there, and none is missing under the mask."""


class VerificationSummaryJson(TypedDict):
    """How many tensors are as planned."""

    tensors: Count
    """Tensors that the plan prunes."""
    drift: Count
    """Those that are not as planned."""
    zeros_planned: Count
    """Zeros when the plan is finished."""
    zeros_measured: Count
    """Zeros in the model."""


class VerificationJson(TypedDict):
    """The zeros of a model against a plan."""

    format_version: Text
    """Readers refuse another major version."""
    kind: Literal["graphprune.verification"]
    """What this document is."""
    model: Text
    """The model, as the command named it."""
    plan: Text
    """The plan's file."""
    as_planned: Flag
    """Whether every tensor is as planned."""
    tensors: list[TensorCheckJson]
    """Every tensor that the plan prunes, in its order."""
    summary: VerificationSummaryJson
    """The figures over all tensors."""


@dataclass(frozen=True, slots=True)
class TensorCheck:
    """One tensor that the plan prunes.

    Attributes:
        address, tensor, size: Which tensor, and its number of weights.
        rule: The id of the rule that the plan prunes it by.
        planned: Zeros when the plan is finished.
        measured: Zeros in the model.
        under_mask: Non-zero weights where the wrapper's mask says zero; 0 in a model without
            wrappers.
    """

    address: str
    tensor: str
    size: int
    rule: str
    planned: int
    measured: int
    under_mask: int = 0

    @property
    def is_as_planned(self) -> bool:
        """Whether at least the planned zeros are there, and none is missing under the mask."""
        return self.measured >= self.planned and self.under_mask == 0


@dataclass(frozen=True, slots=True, repr=False)
class Verification(Shown):
    """The measurements of the model at `model` against the plan at `plan`.

    There is one check for each pruned tensor, in the plan's order.
    """

    model: str
    plan: str
    checks: tuple[TensorCheck, ...]

    @property
    def drift(self) -> tuple[TensorCheck, ...]:
        """The tensors that are not as planned."""
        return tuple(check for check in self.checks if not check.is_as_planned)


def verify_plan(
    plan: Plan,
    graph: LayerGraph,
    zeros: Mapping[tuple[str, str], int],
    mask_faults: Mapping[tuple[str, str], int] | None = None,
    *,
    model_path: str = "",
    plan_path: str = "",
) -> Verification:
    """Return the measured zeros of every tensor that `plan` prunes.

    Args:
        plan: The plan, carried out or not.
        graph: The model, wrapped or stripped.
        zeros: Its measured zeros by (address, tensor name).
        mask_faults: Non-zero weights under the masks of a wrapped model, by (address, tensor name).
        model_path, plan_path: The names of the two in reports.

    Raises:
        StalePlanError: the plan was made for a model with other layers.
    """
    check_layers_fit(graph, plan, Where(plan_path) if plan_path else None)
    return Verification(model_path, plan_path, tuple(_checks(plan, zeros, mask_faults or {})))


def _checks(
    plan: Plan, zeros: Mapping[tuple[str, str], int], mask_faults: Mapping[tuple[str, str], int]
) -> Iterator[TensorCheck]:
    for change in plan.changes:
        rule = "" if change.rule is None else change.rule.id
        for tensor in change.tensors:
            if change.after is not None and tensor.zeros_after is not None:
                key = (change.address, tensor.name)
                yield TensorCheck(
                    change.address,
                    tensor.name,
                    tensor.size,
                    rule,
                    tensor.zeros_after,
                    zeros[key],
                    mask_faults.get(key, 0),
                )


def verification_to_config(found: Verification) -> dict[str, Any]:
    """Return the verification as JSON data, keys and tensors in fixed order."""
    document: VerificationJson = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "model": found.model,
        "plan": found.plan,
        "as_planned": not found.drift,
        "tensors": [
            {
                "address": check.address,
                "tensor": check.tensor,
                "rule": check.rule,
                "size": check.size,
                "zeros_planned": check.planned,
                "zeros_measured": check.measured,
                "under_mask": check.under_mask,
                "as_planned": check.is_as_planned,
            }
            for check in found.checks
        ],
        "summary": {
            "tensors": len(found.checks),
            "drift": len(found.drift),
            "zeros_planned": sum(check.planned for check in found.checks),
            "zeros_measured": sum(check.measured for check in found.checks),
        },
    }
    return dict(document)


_TensorKey = tuple[str, str]


def find_drift(
    graph: LayerGraph,
    zeros: Mapping[_TensorKey, int],
    steps: Mapping[str, int],
    mask_faults: Mapping[_TensorKey, int],
    run: Run,
) -> tuple[Drift, ...]:
    """Return the pruned tensors that have too few zeros for their step, or weights under the mask.

    They are in graph order.

    Args:
        graph: The wrapped model.
        zeros: Measured zeros by (address, tensor name).
        steps: The step of each wrapper by address. At step 0 no mask was made yet, so nothing can
            have moved.
        mask_faults: Non-zero weights where the mask says zero, by (address, tensor name).
        run: The length of the run, for schedules that are not in steps; where it is needed and
            unknown, only masks are looked at.
    """
    wrapped = (
        layer
        for layer in graph.layers.values()
        if layer.wrap is not None and steps.get(layer.address, 0) > 0
    )
    return tuple(
        drift
        for layer in wrapped
        for drift in _layer_drift(layer, zeros, steps[layer.address], mask_faults, run)
    )


def _layer_drift(
    layer: Layer,
    zeros: Mapping[_TensorKey, int],
    step: int,
    mask_faults: Mapping[_TensorKey, int],
    run: Run,
) -> Iterator[Drift]:
    if layer.wrap is None or layer.wrap.pruning is None:
        return
    pruning, rule = layer.wrap.pruning, layer.wrap.provenance.rule
    for tensor in layer.tensors:
        key = (layer.address, tensor.name)
        if tensor.name not in pruning.weights:
            continue
        target = _target_at(pruning, tensor, step, run)
        if (
            target is not None
            and key in zeros
            and zeros[key] < pruning.zeros_at(tensor.name, tensor.shape, target)
        ):
            yield Drift(
                layer.address,
                tensor.name,
                rule,
                step,
                target=target,
                measured=zeros[key] / tensor.size,
            )
        if mask_faults.get(key, 0) > 0:
            yield Drift(layer.address, tensor.name, rule, step, under_mask=mask_faults[key])


def _target_at(pruning: Pruning, tensor: Tensor, step: int, run: Run) -> float | None:
    """Return the sparsity that the last mask update up to `step` gave a tensor.

    Return None before the first update, or if the run's length is needed and unknown.
    """
    try:
        timetable = pruning.schedule.to_timetable(run)
    except ValueError:
        return None
    due = timetable.last_due(step)
    return None if due is None else timetable.sparsity_at(due, pruning.share_of(tensor.name))
