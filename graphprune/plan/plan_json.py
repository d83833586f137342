"""Plans as JSON: what `plan --format json` writes and `apply --plan` reads.

Shares that were computed are rounded to 6 places. Settings (`before`, `after`) are written as they
are, so that applying the file is applying the plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import graphprune
from graphprune.plan.changes import BudgetChange, Drift, LayerChange, Plan, TensorChange
from graphprune.plan.diagnostic_json import diagnostic_to_config
from graphprune.plan.summary import summarize
from graphprune.rules.values.losses import Loss
from graphprune.rules.values.rule_set import Switches
from graphprune.sparsity.pruning import Pruning

FORMAT_VERSION = "1.0"
KIND = "graphprune.plan"


def plan_to_config(plan: Plan) -> dict[str, Any]:
    """Return `plan` as JSON data, keys and layers in fixed order; without clock time and host data,
    so that two runs give the same bytes.
    """
    return {
        "format_version": FORMAT_VERSION,
        "kind": KIND,
        "tool": {"name": "graphprune", "version": graphprune.__version__},
        "model": {
            "path": plan.model.path,
            "graph_sha256": plan.model.graph_sha256,
            "architecture_sha256": plan.model.architecture_sha256,
            "weights_sha256": plan.model.weights_sha256,
            "layers": plan.model.layers,
            "prunable_weights": plan.model.prunable_weights,
            "parameters": plan.model.parameters,
        },
        "rules": [{"path": path, "sha256": sha256} for path, sha256 in plan.rules],
        "vars": dict(plan.variables),
        "switches": _switches_to_config(plan.switches),
        "applyable": True,
        "complete": True,
        "errored": False,
        "depends_on_weights": plan.depends_on_weights,
        "drift": [_drift_to_config(drift) for drift in plan.drift],
        "layer_changes": [_change_to_config(change) for change in plan.changes],
        "budgets": [_budget_to_config(budget) for budget in plan.budgets],
        "checks": [{"id": check, "status": status} for check, status in plan.checks],
        "diagnostics": [diagnostic_to_config(diagnostic) for diagnostic in plan.diagnostics],
        "summary": summarize(plan).to_config(),
        **(
            {
                "out_of_reach": [
                    {"address": layer.address, "reason": layer.reason}
                    for layer in plan.out_of_reach
                ]
            }
            if plan.out_of_reach
            else {}
        ),
        **(
            {
                "layer_weights": [
                    {"address": address, "sha256": sha256} for address, sha256 in plan.weight_hashes
                ]
            }
            if plan.weight_hashes
            else {}
        ),
    }


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


def _change_to_config(change: LayerChange) -> dict[str, Any]:
    rule = change.rule
    return {
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
        "also_matched": [_loss_to_config(loss, change) for loss in change.also_matched],
        "before": None if change.before is None else _pruning_to_config(change.before),
        "after": (
            None
            if change.after is None
            else _pruning_to_config(change.after, dict(change.known_steps))
        ),
        "after_unknown": list(change.after_unknown),
        "tensors": (
            [] if change.after is None else [_tensor_to_config(tensor) for tensor in change.tensors]
        ),
        **(
            {"skipped": [{"tensor": name, "reason": reason} for name, reason in change.skipped]}
            if change.skipped
            else {}
        ),
        **({"budget": change.budget} if change.budget else {}),
    }


def _loss_to_config(loss: Loss, change: LayerChange) -> dict[str, Any]:
    decides = change.rule is not None and loss.by == change.rule.id
    return {"id": loss.rule, "lost_to": loss.to, **({} if decides else {"by": loss.by})}


def _pruning_to_config(
    pruning: Pruning, known_steps: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return how a layer is pruned, each place of the schedule with its step if that is known."""
    config = pruning.to_config()
    schedule = config["schedule"]
    if "power" in schedule and float(schedule["power"]).is_integer():
        schedule["power"] = int(schedule["power"])
    for name, step in (known_steps or {}).items():
        schedule[name] = {**schedule[name], "step": step}
    return config


def _budget_to_config(budget: BudgetChange) -> dict[str, Any]:
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
        "scale": None if budget.scale is None else round(budget.scale, 6),
        "dense": [
            {
                "address": dense.address,
                "tensor": dense.tensor,
                "size": dense.size,
                "wanted": None if dense.wanted is None else round(dense.wanted, 6),
            }
            for dense in budget.dense
        ],
    }


def _tensor_to_config(tensor: TensorChange) -> dict[str, Any]:
    return {
        "name": tensor.name,
        **({"stored_as": tensor.stored_as} if tensor.stored_as else {}),
        "axes": dict(zip(tensor.axes, tensor.shape, strict=False)),
        "shape": list(tensor.shape),
        "size": tensor.size,
        "zeros_before": tensor.zeros_before,
        "zeros_after": tensor.zeros_after,
        "sparsity_before": _share(tensor.zeros_before, tensor.size),
        "sparsity_after": _share(tensor.zeros_after, tensor.size),
    }


def _drift_to_config(drift: Drift) -> dict[str, Any]:
    return {
        "address": drift.address,
        "tensor": drift.tensor,
        "rule": drift.rule,
        "step": drift.step,
        "target": None if drift.target is None else round(drift.target, 6),
        "measured": None if drift.measured is None else round(drift.measured, 6),
        "under_mask": drift.under_mask,
    }


def _switches_to_config(switches: Switches) -> dict[str, Any]:
    return {
        "only": list(switches.only),
        "off": list(switches.off),
        "var": dict(switches.variables),
        "set": dict(switches.settings),
    }


def _share(zeros: int | None, size: int) -> float | None:
    if zeros is None:
        return None
    return round(zeros / size, 6) if size else 0.0
