"""The rewrite that a plan asks for, and its reverse: layer graph to layer graph, checked after each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphprune.errors import PlanError
from graphprune.graph.entries import WRAPPER
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Wrap
from graphprune.plan.budgets import ReadWeight, hash_weights
from graphprune.plan.changes import LayerChange, Plan
from graphprune.plan.plan_json import plan_sha256
from graphprune.sparsity.pruning import Provenance, Pruning

_MODULE = "graphprune.tf.wrapper"
_LISTED = 5


def wrap_graph(graph: LayerGraph, plan: Plan) -> LayerGraph:
    """Return `graph` with `plan` carried out: wrapped, rewrapped and retargeted layers carry the wrapper asked for, unwrapped ones none.

    Raises:
        PlanError: the plan was made for another model.
    """
    check_plan_fits(graph, plan)
    of_rules, of_plan = rules_sha256(plan), plan_sha256(plan)
    changed = {}
    for change in plan.changes:
        if change.is_change:
            changed[change.address] = _rewrap(graph.layers[change.address], change.after, provenance_of(change, of_rules, of_plan))
    return _replace_checked(graph, changed)


def provenance_of(change: LayerChange, rules_sha256: str, plan_sha256: str) -> Provenance:
    """Return what the wrapper of a changed layer remembers of the plan."""
    return Provenance("" if change.rule is None else change.rule.id, rules_sha256, plan_sha256, change.budget)


def strip_graph(graph: LayerGraph) -> LayerGraph:
    """Return `graph` without any pruning wrapper: the reverse of every `wrap_graph`."""
    return _replace_checked(graph, {address: _rewrap(layer, None, Provenance()) for address, layer in graph.layers.items() if layer.wrap is not None})


def wrap_entry(layer: Layer, pruning: Pruning, provenance: Provenance) -> dict[str, Any]:
    """Return the serialized wrapper around `layer`, in the dialect of the layer's own entry: `.keras` files name modules, `.h5` files do not.

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
        return {"class_name": WRAPPER, "config": config}
    return {"module": _MODULE, "class_name": WRAPPER.partition(">")[2], "config": config, "registered_name": WRAPPER}


def check_plan_fits(graph: LayerGraph, plan: Plan) -> None:
    """Raise unless `plan` was made for the model of `graph`.

    Raises:
        PlanError: it was made for another model; the text names the layers that differ.
    """
    differences = [text for change in plan.changes if (text := _difference(graph, change)) is not None]
    known = {change.address for change in plan.changes}
    differences += [f"'{layer.address}' is not in the plan" for layer in graph.candidates() if layer.address not in known]
    if not differences and graph.sha256 == plan.model.graph_sha256:
        return
    raise _stale(differences or ["layers without prunable weights, or connections, differ"])


def check_layers_fit(graph: LayerGraph, plan: Plan) -> None:
    """Raise unless the layers that `plan` prunes are in `graph`, wrapped or not, with the tensors that it was made for.

    Raises:
        PlanError: it was made for another model; the text names the layers that differ.
    """
    differences = [text for change in plan.changes if (text := _layer_difference(graph, change)) is not None]
    if differences:
        raise _stale(differences)


def _stale(differences: list[str]) -> PlanError:
    listed = differences[:_LISTED]
    more = len(differences) - len(listed)
    text = "; ".join(listed) + (f"; and {more} more" if more > 0 else "")
    return PlanError(f"plan/stale: the plan was made for another model: {text}. Make the plan again for this model")


def check_weights_fit(graph: LayerGraph, plan: Plan, read_weight: ReadWeight) -> None:
    """Raise where the plan depends on weights, and those of the model of `graph` are others.

    Raises:
        PlanError: the text names the layers whose weights differ.
    """
    differing = [address for address, sha256 in plan.weight_hashes if hash_weights(graph.layers[address], read_weight) != sha256]
    if differing:
        more = f", and {len(differing) - _LISTED} more" if len(differing) > _LISTED else ""
        listed = ", ".join(map(repr, differing[:_LISTED]))
        text = f"the plan was made from other weights of {listed}{more}, and it depends on them"
        raise PlanError(f"plan/stale: {text}. Make the plan again for this model")


def _difference(graph: LayerGraph, change: LayerChange) -> str | None:
    """Return in what the layer of the graph is not the one that `change` was planned for, its wrapper included."""
    difference = _layer_difference(graph, change)
    if difference is not None:
        return difference
    layer = graph.layers[change.address]
    if (None if layer.wrap is None else layer.wrap.pruning) != change.before:
        return f"'{change.address}' is not wrapped" if layer.wrap is None else f"'{change.address}' is wrapped, but not as planned for"
    return None


def _layer_difference(graph: LayerGraph, change: LayerChange) -> str | None:
    """Return in what the layer of the graph, its wrapper looked through, is not the one that `change` was planned for."""
    layer = graph.layers.get(change.address)
    if layer is None:
        return f"'{change.address}' is missing"
    if layer.type != change.type:
        return f"'{change.address}' is {layer.type}, planned as {change.type}"
    shapes = {tensor.name: tensor.shape for tensor in layer.tensors}
    for tensor in change.tensors:
        if shapes.get(tensor.name) != tensor.shape:
            found = "missing" if tensor.name not in shapes else str(list(shapes[tensor.name]))
            return f"'{change.address}' {tensor.name} is {found}, planned as {list(tensor.shape)}"
    if change.after is not None and not set(change.after.weights) <= set(shapes):
        return f"'{change.address}' has no prunable weight {sorted(set(change.after.weights) - set(shapes))[0]!r}"
    return None


def _rewrap(layer: Layer, pruning: Pruning | None, provenance: Provenance) -> Layer:
    """Return `layer` in a wrapper that prunes it so, or in none."""
    if pruning is None:
        return replace(layer, wrap=None)
    return replace(layer, wrap=Wrap(type=WRAPPER, entry=wrap_entry(layer, pruning, provenance), pruning=pruning, provenance=provenance))


def rules_sha256(plan: Plan) -> str:
    """Return the hash of the rule file, or of all files' hashes in order."""
    hashes = [sha256 for _, sha256 in plan.rules]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else ""


def _replace_checked(graph: LayerGraph, changed: Mapping[str, Layer]) -> LayerGraph:
    """Return `graph` with some layers replaced, after proving that only wrappers differ."""
    rewritten = graph.replace(changed) if changed else graph
    before = {address: replace(layer, wrap=None) for address, layer in graph.layers.items()}
    after = {address: replace(layer, wrap=None) for address, layer in rewritten.layers.items()}
    assert list(after) == list(before), "a rewrite changed the layers' order"
    assert after == before, "a rewrite changed more of a layer than its wrapper"
    assert rewritten.frames == graph.frames, "a rewrite changed connections"
    return rewritten
