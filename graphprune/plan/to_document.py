"""Plans as JSON: what `plan --format json` writes and `apply --plan` reads.

Shares that were computed are rounded to 6 places. Settings (`before`, `after`) are written as they
are, so that applying the file is applying the plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from typing_extensions import TypedDict

import graphprune
from graphprune.plan.architecture_document import architecture_to_document
from graphprune.plan.changes import BudgetChange, Drift, LayerChange, Plan, TensorChange, summarize
from graphprune.plan.document import (
    FORMAT_VERSION,
    KIND,
    BudgetJson,
    Counts,
    DiagnosticJson,
    DriftJson,
    LayerChangeJson,
    LossJson,
    PlanJson,
    SummaryJson,
    TensorJson,
)
from graphprune.plan.pruning_document import PruningJson
from graphprune.plan.shrink_document import summary_to_document
from graphprune.rules.values.rule_set import Loss
from graphprune.sparsity.pruning import Pruning


class _Stored(TypedDict, total=False):
    stored_as: str | None


class _Counted(TypedDict, total=False):
    counts: Counts


class _Follows(TypedDict, total=False):
    follows: bool


def plan_to_config(plan: Plan) -> dict[str, Any]:
    """Return `plan` as JSON data, with keys and layers in fixed order.

    It holds no clock time and no host data, so that two runs give the same bytes.
    """
    return dict(to_document(plan))


def to_document(plan: Plan) -> PlanJson:
    """Return the same with typed keys."""
    model, switches = plan.model, plan.switches
    architecture_sha256, architecture = plan.fingerprint()
    document: PlanJson = {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "tool": {"name": "graphprune", "version": graphprune.__version__},
        "model": {
            "path": model.path,
            "graph_sha256": model.graph_sha256,
            "architecture_sha256": architecture_sha256,
            "weights_sha256": model.weights_sha256,
            "layers": model.layers,
            "prunable_weights": model.prunable_weights,
            "parameters": model.parameters,
        },
        "rules": [{"path": path, "sha256": sha256} for path, sha256 in plan.rules],
        "vars": dict(plan.variables),
        "switches": {
            "only": list(switches.only),
            "off": list(switches.off),
            "var": dict(switches.variables),
            "set": dict(switches.settings),
        },
        "depends_on_weights": plan.depends_on_weights,
        "drift": [_drift(drift) for drift in plan.drift],
        "layer_changes": [_change(change) for change in plan.changes],
        "budgets": [_budget(budget) for budget in plan.budgets],
        "checks": [{"id": check, "status": status} for check, status in plan.checks],
        "diagnostics": [
            cast(DiagnosticJson, diagnostic.to_config()) for diagnostic in plan.diagnostics
        ],
        "summary": cast(SummaryJson, summarize(plan).to_config()),
    }
    outlook = plan.outlook
    if outlook is not None:
        document["shrink"] = summary_to_document(outlook)
    if plan.out_of_reach:
        document["out_of_reach"] = [
            {"address": layer.address, "reason": layer.reason} for layer in plan.out_of_reach
        ]
    if architecture is not None:
        document["architecture"] = architecture_to_document(architecture)
    if plan.weight_hashes:
        document["layer_weights"] = [
            {"address": address, "sha256": sha256} for address, sha256 in plan.weight_hashes
        ]
    return document


def plan_sha256(plan: Plan) -> str:
    """Return the hash (hex) of what `plan` does to which model.

    Paths, measured zeros, diagnostics and versions have no part in it: the plan of the same rules
    for a copy of the model, or one read back from JSON, has the same hash.
    """
    decided = [
        {
            "address": change.address,
            "actions": list(change.actions),
            "rule": None if change.rule is None else change.rule.id,
            "after": None if change.after is None else change.after.to_config(),
        }
        for change in plan.changes
    ]
    document = {"kind": KIND, "graph_sha256": plan.model.graph_sha256, "layer_changes": decided}
    return hashlib.sha256(
        json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _change(change: LayerChange) -> LayerChangeJson:
    rule, before, after = change.rule, change.before, change.after
    document: LayerChangeJson = {
        "address": change.address,
        "type": change.type,
        "calls": change.calls,
        "actions": list(change.actions),
        "action_reason": change.action_reason,
        "rule": (
            None
            if rule is None
            else {"id": rule.id, "file": rule.where.file, "line": rule.where.line}
        ),
        "also_matched": [_loss(loss, change) for loss in change.also_matched],
        "before": None if before is None else _pruning(before, {}),
        "after": None if after is None else _pruning(after, dict(change.known_steps)),
        "after_unknown": list(change.after_unknown),
        "tensors": [] if after is None else [_tensor(tensor) for tensor in change.tensors],
    }
    if change.skipped:
        document["skipped"] = [
            {"tensor": name, "reason": reason} for name, reason in change.skipped
        ]
    if change.budget:
        document["budget"] = change.budget
    return document


def _loss(loss: Loss, change: LayerChange) -> LossJson:
    document: LossJson = {"id": loss.rule, "lost_to": loss.to}
    if change.rule is None or loss.by != change.rule.id:
        document["by"] = loss.by
    return document


def _pruning(pruning: Pruning, known_steps: Mapping[str, int]) -> PruningJson:
    """Return how a layer is pruned, each place of the schedule with its step if that is known."""
    config = pruning.to_config()
    schedule = config["schedule"]
    if "power" in schedule and float(schedule["power"]).is_integer():
        schedule["power"] = int(schedule["power"])
    for name, step in known_steps.items():
        schedule[name] = {**schedule[name], "step": step}
    return cast(PruningJson, config)


def _budget(budget: BudgetChange) -> BudgetJson:
    counted: _Counted = {} if budget.counts == "weights" else {"counts": budget.counts}
    return {
        "name": budget.name,
        "sparsity": budget.sparsity,
        "allocate": budget.allocate,
        "over": budget.over,
        "min": budget.minimum,
        "max": budget.maximum,
        "weights": budget.weights,
        "zeros_after": budget.zeros,
        "sparsity_after": _share(budget.zeros, budget.weights),
        "scale": _rounded(budget.scale),
        "dense": [
            {
                "address": dense.address,
                "tensor": dense.tensor,
                "size": dense.size,
                "wanted": _rounded(dense.wanted),
            }
            for dense in budget.dense
        ],
        **counted,
    }


def _tensor(tensor: TensorChange) -> TensorJson:
    stored: _Stored = {"stored_as": tensor.stored_as} if tensor.stored_as else {}
    follows: _Follows = {"follows": True} if tensor.follows else {}
    return {
        "name": tensor.name,
        **stored,
        "axes": dict(zip(tensor.axes, tensor.shape, strict=False)),
        "shape": list(tensor.shape),
        "size": tensor.size,
        "zeros_before": tensor.zeros_before,
        "zeros_after": tensor.zeros_after,
        "sparsity_before": _share(tensor.zeros_before, tensor.size),
        "sparsity_after": _share(tensor.zeros_after, tensor.size),
        **follows,
    }


def _drift(drift: Drift) -> DriftJson:
    return {
        "address": drift.address,
        "tensor": drift.tensor,
        "rule": drift.rule,
        "step": drift.step,
        "target": _rounded(drift.target),
        "measured": _rounded(drift.measured),
        "under_mask": drift.under_mask,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _share(zeros: int | None, size: int) -> float | None:
    if zeros is None:
        return None
    return round(zeros / size, 6) if size else 0.0
