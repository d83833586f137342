"""What must be known before a plan is applied to a live model: names, addresses, the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.from_config import TensorFacts
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Tensor
from graphprune.plan.changes import Plan
from graphprune.plan.rewrite import wrap_graph
from graphprune.plan.staleness import check_weights_fit, other_model
from graphprune.plan.weight_hashes import ReadWeight
from graphprune.rules.values.rule_set import RuleSet

Asked = dict[str, tuple[str, ...]]
"""Names of weights that rules or a plan use, by the type of their custom layer."""


def weights_asked_by(plan: Plan) -> Asked:
    """Return the names of weights that the plan uses, as its file has them, by type of layer."""
    asked: Asked = {}
    for change in plan.changes:
        asked[change.type] = (
            *asked.get(change.type, ()),
            *(tensor.stored_as or tensor.name for tensor in change.tensors),
        )
    return asked


def types_of_rules(rules: RuleSet) -> Asked:
    """Return the names of weights that the rules give to custom layers, by type of layer."""
    return {custom.type: tuple(custom.axes) for custom in rules.custom_layers}


def check_addresses(name: str, graph: LayerGraph, plan: Plan) -> None:
    """Raise if the model called `name` lacks a layer of the plan.

    Raises:
        StalePlanError: the message names the layers.
    """
    missing = [change.address for change in plan.changes if change.address not in graph.layers]
    if missing:
        raise other_model([f"{address!r} is missing in {name}" for address in missing])


def with_planned_names(
    graph: LayerGraph,
    plan: Plan,
    find: Callable[[str, str], TensorFacts | None] = lambda address, name: None,
) -> LayerGraph:
    """Return the graph with the names that the plan uses for weights of custom layers.

    They are those of a file, or of a rule file's `layers`. `find` returns what else the live layer
    at an address calls by a name, if anything.
    """
    renamed = {}
    for change in plan.changes:
        layer = graph.layers.get(change.address)
        if layer is None or layer.type != change.type or weights_of(layer.entry) is not None:
            continue
        known = {tensor.name: tensor for tensor in layer.tensors}
        wanted = {name: name for name in (change.after.weights if change.after is not None else ())}
        wanted |= {tensor.name: tensor.stored_as or tensor.name for tensor in change.tensors}
        more = [
            replace(known[stored], name=name, prunable=False)
            for name, stored in wanted.items()
            if name not in known and stored in known
        ]
        found = [
            find(change.address, name)
            for name, stored in wanted.items()
            if name not in known and stored not in known
        ]
        more += [
            Tensor(name, tuple(shape), dtype, (), False)
            for name, shape, dtype in (facts for facts in found if facts is not None)
        ]
        renamed[change.address] = replace(layer, tensors=(*layer.tensors, *more))
    return graph.replace(renamed)


def planned_graph(graph: LayerGraph, plan: Plan, read_weight: ReadWeight) -> LayerGraph:
    """Return the graph of a live model after `plan`.

    Raises:
        StalePlanError: the plan was made for another model, or depends on weights that differ.
    """
    target = wrap_graph(graph, plan, is_live=True)
    if plan.depends_on_weights:
        check_weights_fit(graph, plan, read_weight)
    return target
