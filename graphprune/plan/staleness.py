"""Whether a plan was made for the model that it is held against: its layers, its connections, and its weights where the plan depends on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphprune.errors import Diagnostic, StalePlanError, Where
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.plan.budgets import ReadWeight, hash_weights
from graphprune.plan.changes import LayerChange, Plan

LISTED = 5
_HELP = "make the plan again for this model: graphprune plan MODEL -r RULES -o PLAN.json"


def check_plan_fits(graph: LayerGraph, plan: Plan, where: Where | None = None) -> None:
    """Raise unless `plan` was made for the model of `graph`; `where` is the plan's file.

    Raises:
        StalePlanError: it was made for another model; the message names the layers that differ.
    """
    differences = [text for change in plan.changes if (text := _difference(graph, change)) is not None]
    known = {change.address for change in plan.changes}
    differences += [f"'{layer.address}' is not in the plan" for layer in graph.candidates() if layer.address not in known]
    if not differences and graph.sha256 == plan.model.graph_sha256:
        return
    raise other_model(differences or ["layers without prunable weights, or connections, differ"], where)


def check_layers_fit(graph: LayerGraph, plan: Plan, where: Where | None = None) -> None:
    """Raise unless the layers that `plan` prunes are in `graph`, wrapped or not, with the tensors that it was made for.

    Raises:
        StalePlanError: it was made for another model; the message names the layers that differ.
    """
    differences = [text for change in plan.changes if (text := _layer_difference(graph, change)) is not None]
    if differences:
        raise other_model(differences, where)


def check_weights_fit(graph: LayerGraph, plan: Plan, read_weight: ReadWeight, where: Where | None = None) -> None:
    """Raise where the plan depends on weights, and those of the model of `graph` are others.

    Raises:
        StalePlanError: the message names the layers whose weights differ.
    """
    planned = {change.address: _planned_layer(graph, change) for change in plan.changes}
    differing = [repr(address) for address, sha256 in plan.weight_hashes if hash_weights(planned[address], read_weight) != sha256]
    if differing:
        message = f"the plan was made from other weights of {_listed(differing, ', ')}, and it depends on them"
        raise StalePlanError(Diagnostic("plan/stale", message, where, _HELP))


def _planned_layer(graph: LayerGraph, change: LayerChange) -> Layer:
    """Return the layer with the tensors that the plan may prune, which rule files tell of custom layers, named as in the file."""
    layer = graph.layers[change.address]
    names = {tensor.stored_as or tensor.name for tensor in change.tensors}
    return replace(layer, tensors=tuple(replace(tensor, prunable=tensor.name in names) for tensor in layer.tensors)) if names else layer


def other_model(differences: Sequence[str], where: Where | None = None) -> StalePlanError:
    """Return the error for a plan whose layers differ from the model's in these ways."""
    message = f"the plan was made for another model: {_listed(differences, '; ')}"
    return StalePlanError(Diagnostic("plan/stale", message, where, _HELP))


def _listed(texts: Sequence[str], separator: str) -> str:
    """Return the first few texts, and how many more there are."""
    more = [f"and {len(texts) - LISTED} more"] if len(texts) > LISTED else []
    return separator.join([*texts[:LISTED], *more])


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
        name = tensor.name if tensor.name in shapes else tensor.stored_as
        if name in shapes:
            shapes[tensor.name] = shapes[name]
        if shapes.get(name) != tensor.shape:
            found = "missing" if name not in shapes else str(list(shapes[name]))
            return f"'{change.address}' {tensor.name} is {found}, planned as {list(tensor.shape)}"
    if change.after is not None and not set(change.after.weights) <= set(shapes):
        return f"'{change.address}' has no prunable weight {sorted(set(change.after.weights) - set(shapes))[0]!r}"
    return None
