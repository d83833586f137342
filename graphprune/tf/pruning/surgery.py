"""Wrapping and stripping of live models, always as clones: the caller's model is never touched."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import tf_keras
from tf_keras.src.engine.base_layer import Layer

from graphprune.archive.tfmot import PREFIX
from graphprune.engine.schedules import PruningSchedule
from graphprune.graph.layer_graph import LayerGraph
from graphprune.plan.changes import Plan
from graphprune.plan.from_document import plan_of
from graphprune.plan.make import plan_graph
from graphprune.plan.rewrite import wrap_graph
from graphprune.plan.staleness import check_weights_fit, other_model
from graphprune.rules.building.read import rule_set_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.layers.layer_clone import clone_layer
from graphprune.tf.pruning.addresses import find_wrappers, inner_layer, is_unbuilt
from graphprune.tf.pruning.live_graph import count_zeros, graph_of_model, weight_reader
from graphprune.tf.pruning.model_clone import clone_unbuilt, clone_with_state, clone_wrapped
from graphprune.tf.pruning.planned_names import planned_names, with_planned_names
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def apply_plan(model: tf_keras.Model, plan: Plan | str | PathLike[str]) -> tf_keras.Model:
    """Return a clone of `model` with `plan` carried out: same names, weights, outputs and optimizer
    state; the layers that the plan claims are wrapped.

    Layers that are wrapped already keep masks and step, unless the plan wraps them anew; layers
    that the plan does not change are as they were.

    Args:
        model: The model that the plan was made for, or the live model that was loaded from its
            file.
        plan: The plan, or the path of its JSON file.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        PlanError: the plan's file cannot be read.
        StalePlanError: the plan was made for another model: its layers, their types, shapes or
            wrappers, or weights that the plan depends on, are others.
        TypeError: `plan` is not a plan.
    """
    plan = plan_of(plan)
    asked = _asked_by(plan)
    graph = graph_of_model(model, asked)
    _check_addresses(model.name, graph, plan)
    graph = with_planned_names(model, graph, plan)
    target = wrap_graph(graph, plan, is_live=True)
    if plan.depends_on_weights:
        check_weights_fit(graph, plan, weight_reader(model, asked))
    return _carry_out(model, plan, graph, target)


def apply_rules(
    model: tf_keras.Model,
    rules: RuleSet | str | PathLike[str] | Mapping[str, Any],
    *,
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
) -> tf_keras.Model:
    """Return a clone of `model` wrapped as `rules` say: a rule set, a rule file, `builtin:NAME`, or
    what a rule file holds, as a dict.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules have faults, or do not fit the model.
        TypeError: `rules` is something else.
    """
    rules = rule_set_of(rules)
    asked = {custom.type: tuple(custom.axes) for custom in rules.custom_layers}
    graph, read_weight = graph_of_model(model, asked), weight_reader(model, asked)
    zeros = count_zeros(model, asked) if rules.reads_weights else None
    plan = plan_graph(
        graph, rules, Run(steps_per_epoch, epochs), zeros=zeros, read_weight=read_weight
    )
    graph = with_planned_names(model, graph, plan)
    return _carry_out(model, plan, graph, wrap_graph(graph, plan, is_live=True))


def _carry_out(
    model: tf_keras.Model, plan: Plan, before: LayerGraph, after: LayerGraph
) -> tf_keras.Model:
    """Return a clone of `model`, whose graph is `before`, with the wrappers that its layers have in
    `after`.
    """
    changes = {change.address: change for change in plan.changes}

    def make(address: str, layer: Layer) -> Layer:
        wrap = after.layers[address].wrap
        if wrap is before.layers[address].wrap:
            return clone_wrapped(address, layer)
        if wrap is None or wrap.pruning is None:
            return clone_layer(inner_layer(layer), address)
        names = planned_names(inner_layer(layer), changes[address])
        return PruneLowMagnitude(
            clone_layer(inner_layer(layer), address), wrap.pruning, wrap.provenance, names
        )

    return clone_with_state(
        model, make, {change.address for change in plan.changes if "wrap" in change.actions}
    )


def _asked_by(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the names of weights that the plan uses, as its file has them, by the type of their
    layer.
    """
    asked: dict[str, tuple[str, ...]] = {}
    for change in plan.changes:
        asked[change.type] = (
            *asked.get(change.type, ()),
            *(tensor.stored_as or tensor.name for tensor in change.tensors),
        )
    return asked


def wrap_layers(
    model: tf_keras.Model, prunings: dict[str, Pruning], schedule: PruningSchedule | None = None
) -> tf_keras.Model:
    """Return a clone of `model` with the layers at these addresses wrapped; layers that are wrapped
    already stay as they are.

    Args:
        model: The model.
        prunings: What to prune, by address.
        schedule: When and how much, where that is a schedule of the user's own.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        PlanError: a layer has no weight of a name that its pruning asks for.
    """

    def make(address: str, layer: Layer) -> Layer:
        if inner_layer(layer) is not layer or address not in prunings:
            return clone_wrapped(address, layer)
        return PruneLowMagnitude(
            clone_layer(layer, address), prunings[address], own_schedule=schedule
        )

    return clone_unbuilt(model, make) if is_unbuilt(model) else clone_with_state(model, make, set())


def strip_model(model: tf_keras.Model, *, compiled: bool = True) -> tf_keras.Model:
    """Return a clone of `model` without pruning wrappers: the original architecture, its masked
    weights exactly zero.

    Args:
        model: The model.
        compiled: Whether compile settings and optimizer state are kept; without them, saved files
            are smaller.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    return clone_with_state(
        model,
        lambda address, layer: clone_layer(inner_layer(layer), address),
        set(),
        compiled=compiled,
    )


def adopt_wrappers(model: tf_keras.Model) -> tf_keras.Model:
    """Return `model`, or a clone in which the wrappers that the TensorFlow toolkit wrote have the
    names of their layers, as graphprune's own have.
    """
    wrappers = find_wrappers(model).values()
    return (
        clone_with_state(model, clone_wrapped, set())
        if any(wrapper.name == f"{PREFIX}{wrapper.layer.name}" for wrapper in wrappers)
        else model
    )


def _check_addresses(name: str, graph: LayerGraph, plan: Plan) -> None:
    missing = [change.address for change in plan.changes if change.address not in graph.layers]
    if missing:
        raise other_model([f"{address!r} is missing in {name}" for address in missing])
