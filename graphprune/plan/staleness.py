"""Check that a plan was made for this model: its layers, connections and, if needed, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.errors import StalePlanError
from graphprune.graph.architecture import hash_architecture
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer
from graphprune.plan.changes import LayerChange, Plan
from graphprune.plan.weight_hashes import ReadWeight, hash_weights, prunable_names

LISTED = 5
_HELP = "make the plan again for this model: graphprune plan MODEL -r RULES -o PLAN.json"


def check_plan_fits(
    graph: LayerGraph, plan: Plan, where: Where | None = None, *, is_live: bool = False
) -> None:
    """Raise unless `plan` was made for the model of `graph`; `where` is the plan's file.

    A model that another Keras saved again, with settings that the first one left out, counts as the
    same model. A live model (`is_live`) may have been loaded from the file that the plan was made
    for, so connections, number of calls, and every layer that the plan names are compared instead
    of hashes. Custom layers need not be in the plan, as it may have been made without their
    classes.

    Raises:
        StalePlanError: it was made for another model; the message names the layers that differ.
    """
    differences = [
        text for change in plan.changes if (text := _difference(graph, change)) is not None
    ]
    known = {change.address for change in plan.changes}
    missing = [layer for layer in graph.candidates() if layer.address not in known]
    differences += [
        f"'{layer.address}' is not in the plan"
        for layer in missing
        if not is_live or (layer.holder is None and weights_of(layer.entry) is not None)
    ]
    if differences or not (_is_same(graph, plan) or (is_live and _is_like(graph, plan))):
        raise other_model(differences or [_hash_difference(plan)], where)


def _is_same(graph: LayerGraph, plan: Plan) -> bool:
    """Return whether a plan was made for this config, or for another file of this model."""
    known = plan.architecture_sha256
    return graph.sha256 == plan.model.graph_sha256 or (
        known is not None and hash_architecture(graph) == known
    )


def _hash_difference(plan: Plan) -> str:
    """Return what differs if all layers with prunable weights are the same."""
    if plan.architecture_sha256 is not None:
        return "layers without prunable weights, or connections, differ"
    return (
        "its config differs (an earlier graphprune wrote this plan, which cannot tell changed"
        " layers from settings that another Keras wrote)"
    )


def _is_like(graph: LayerGraph, plan: Plan) -> bool:
    """Return whether a live model agrees with the plan in all but hashes and weights."""
    if any(graph.layers[change.address].calls != change.calls for change in plan.changes):
        return False
    if plan.graph is None:
        return True
    # a bare config comes from a live model: its hash is that of all like it
    return not plan.graph.is_bare and _skeleton(graph) == _skeleton(plan.graph)


def _skeleton(graph: LayerGraph) -> tuple[dict[str, str], Counter[tuple[str, str]]]:
    """Return the types of all layers except inputs, and how often each feeds each.

    Old Sequential models have no input layer in their config.
    """
    types = {
        address: layer.type
        for address, layer in graph.layers.items()
        if layer.kind == "layer" and layer.holder is None
    }
    uses = (tuple(edge[:2]) for edge in graph.network.edges)
    return types, Counter(
        (source, target)
        for source, target in uses
        if source in graph.layers and graph.layers[source].kind != "input"
    )


def check_layers_fit(graph: LayerGraph, plan: Plan, where: Where | None = None) -> None:
    """Raise unless `graph` has the layers that `plan` prunes, wrapped or not, and their tensors.

    Raises:
        StalePlanError: it was made for another model; the message names the layers that differ.
    """
    differences = [
        text for change in plan.changes if (text := _layer_difference(graph, change)) is not None
    ]
    if differences:
        raise other_model(differences, where)


def check_weights_fit(
    graph: LayerGraph, plan: Plan, read_weight: ReadWeight, where: Where | None = None
) -> None:
    """Raise if the plan depends on weights that differ in the model of `graph`.

    Raises:
        StalePlanError: the message names the layers whose weights differ.
    """
    planned = {change.address: change for change in plan.changes}
    hashed = [
        (address, _hashed_names(graph.layers[address], planned.get(address)), sha256)
        for address, sha256 in plan.weight_hashes
    ]
    differing = [
        repr(address)
        for address, names, sha256 in hashed
        if names and hash_weights(address, names, read_weight) != sha256
    ]
    if differing:
        message = (
            f"the plan depends on the weights of {_listed(differing, ', ')}, and those of this"
            " model differ"
        )
        raise StalePlanError(Diagnostic("plan/stale", message, where, _HELP))


def _hashed_names(layer: Layer, change: LayerChange | None) -> tuple[str, ...]:
    """Return the weights that the plan's hash covers, by the model's names.

    A rule file may have declared which weights of a custom layer can be pruned.
    """
    names = (
        ()
        if change is None
        else tuple(
            tensor.stored_as or tensor.name for tensor in change.tensors if not tensor.follows
        )
    )
    return (
        names
        if names and set(names) <= {tensor.name for tensor in layer.tensors}
        else prunable_names(layer)
    )


def other_model(differences: Sequence[str], where: Where | None = None) -> StalePlanError:
    """Return the error for a plan whose layers differ from the model's in these ways."""
    message = f"the plan was made for another model: {_listed(differences, '; ')}"
    return StalePlanError(Diagnostic("plan/stale", message, where, _HELP))


def _listed(texts: Sequence[str], separator: str) -> str:
    """Return the first few texts, and how many more there are."""
    more = [f"and {len(texts) - LISTED} more"] if len(texts) > LISTED else []
    return separator.join([*texts[:LISTED], *more])


def _difference(graph: LayerGraph, change: LayerChange) -> str | None:
    """Return how the layer differs from the one that `change` was planned for, wrapper included."""
    difference = _layer_difference(graph, change)
    if difference is not None:
        return difference
    layer = graph.layers[change.address]
    if (None if layer.wrap is None else layer.wrap.pruning) != change.before:
        return (
            f"'{change.address}' is not wrapped"
            if layer.wrap is None
            else f"'{change.address}' is wrapped, but not as planned for"
        )
    return None


def _layer_difference(graph: LayerGraph, change: LayerChange) -> str | None:
    """Return how the layer, without its wrapper, differs from the one that `change` is for."""
    layer = graph.layers.get(change.address)
    if layer is None:
        return f"'{change.address}' is missing"
    if layer.type != change.type and layer.holder is None:  # files do not name inner classes
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
        return (
            f"'{change.address}' has no prunable weight"
            f" {sorted(set(change.after.weights) - set(shapes))[0]!r}"
        )
    return None
