"""The rewrite that a plan asks for: layer graph to layer graph, checked afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Wrap
from graphprune.plan.changes import LayerChange, Plan
from graphprune.plan.staleness import check_plan_fits
from graphprune.plan.to_document import plan_sha256
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.wrapper_names import CLASS, MODULE, REGISTERED


def wrap_graph(graph: LayerGraph, plan: Plan, *, is_live: bool = False) -> LayerGraph:
    """Return `graph` with `plan` applied: layers are wrapped, rewrapped, retargeted or unwrapped.

    `is_live` says that the graph is that of a live model, while the plan may have been made for the
    file that it was loaded from (see `check_plan_fits`).

    Raises:
        StalePlanError: the plan was made for another model.
    """
    check_plan_fits(graph, plan, is_live=is_live)
    of_rules, of_plan = rules_sha256(plan), plan_sha256(plan)
    changed = {}
    for change in plan.changes:
        if change.is_change:
            changed[change.address] = _rewrap(
                graph.layers[change.address], change.after, provenance_of(change, of_rules, of_plan)
            )
    return _replace_checked(graph, changed)


def provenance_of(change: LayerChange, rules_sha256: str, plan_sha256: str) -> Provenance:
    """Return what the wrapper of a changed layer remembers of the plan."""
    return Provenance(
        "" if change.rule is None else change.rule.id, rules_sha256, plan_sha256, change.budget
    )


def _wrap_entry(layer: Layer, pruning: Pruning, provenance: Provenance) -> dict[str, Any]:
    """Return the serialized wrapper around `layer`, in the dialect of the layer's own entry.

    `.keras` files name modules, `.h5` files do not.

    The wrapper has the layer's name, so outputs, losses and addresses stay as they are.
    """
    config = {
        "name": layer.config.get("name", layer.name),
        "trainable": layer.config.get("trainable", True),
        "dtype": layer.config.get("dtype", "float32"),
        "layer": layer.entry,
        "pruning": pruning.to_config(),
        "provenance": provenance.to_config(),
    }
    if "module" not in layer.entry:
        return {"class_name": REGISTERED, "config": config}
    return {"module": MODULE, "class_name": CLASS, "config": config, "registered_name": REGISTERED}


def _rewrap(layer: Layer, pruning: Pruning | None, provenance: Provenance) -> Layer:
    """Return `layer` in a wrapper that prunes it so, or in none."""
    if pruning is None:
        return replace(layer, wrap=None)
    return replace(
        layer,
        wrap=Wrap(
            type=REGISTERED,
            entry=_wrap_entry(layer, pruning, provenance),
            pruning=pruning,
            provenance=provenance,
        ),
    )


def rules_sha256(plan: Plan) -> str:
    """Return the hash of the rule file, or of all files' hashes in order."""
    hashes = [sha256 for _, sha256 in plan.rules]
    if len(hashes) <= 1:
        return "".join(hashes)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _replace_checked(graph: LayerGraph, changed: Mapping[str, Layer]) -> LayerGraph:
    """Return `graph` with some layers replaced, after proving that only wrappers differ."""
    rewritten = graph.replace(changed) if changed else graph
    before = {address: replace(layer, wrap=None) for address, layer in graph.layers.items()}
    after = {address: replace(layer, wrap=None) for address, layer in rewritten.layers.items()}
    assert list(after) == list(before), "a rewrite changed the layers' order"
    assert after == before, "a rewrite changed more of a layer than its wrapper"
    assert rewritten.frames == graph.frames, "a rewrite changed connections"
    return rewritten
