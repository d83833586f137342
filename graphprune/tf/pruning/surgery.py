"""Wrapping, stripping and one-shot pruning of live models, always on clones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from os import PathLike
from typing import Any

import tf_keras
from tf_keras.src.engine.base_layer import Layer

from graphprune.archive.tfmot import PREFIX
from graphprune.engine.masks import prune_at_once
from graphprune.engine.saved_pruning import SavedPruning
from graphprune.engine.schedules import PruningSchedule
from graphprune.errors import PlanError
from graphprune.graph.from_config import TensorFacts
from graphprune.graph.layer_graph import LayerGraph
from graphprune.plan.application import (
    check_addresses,
    planned_graph,
    types_of_rules,
    weights_asked_by,
    with_planned_names,
)
from graphprune.plan.changes import LayerChange, Plan
from graphprune.plan.from_document import plan_of
from graphprune.plan.make import plan_graph
from graphprune.plan.rewrite import wrap_graph
from graphprune.rules.building.read import rule_set_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.layers.layer_clone import clone_layer
from graphprune.tf.layers.live_tensors import (
    bare_names,
    check_finite,
    find_weight,
    named_weights,
    weight_names,
)
from graphprune.tf.pruning.addresses import (
    addressed_layers,
    check_model,
    find_wrappers,
    inner_layer,
    is_unbuilt,
)
from graphprune.tf.pruning.live_graph import count_zeros, graph_of_model, weight_reader
from graphprune.tf.pruning.model_clone import clone_unbuilt, clone_with_state, clone_wrapped
from graphprune.tf.pruning.precision import change_back, unscale_loss
from graphprune.tf.pruning.pruner import held_layers
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def planned_names(layer: Layer, change: LayerChange) -> tuple[str, ...]:
    """Return the names of a custom layer's weights, including the names in the plan.

    The order is that of `layer.weights`; empty for layers of the table.

    Raises:
        PlanError: the layer has no such weight, or a rule file calls a weight by the name of
            another one.
    """
    if not layer.built or not weight_names(layer):
        return ()
    stored = {tensor.stored_as or tensor.name: tensor.name for tensor in change.tensors}
    names = [name for name, _ in named_weights(layer, stored)]
    labels = {name: label for name, label in stored.items() if name in names}
    for name, label in labels.items():
        if label != name:
            _check_label(layer, name, label)
    bare = bare_names(layer)
    counts = Counter(bare)
    plain = {
        name: other
        for name, other in zip(names, bare, strict=True)
        if name.isdecimal() and counts[other] == 1 and other not in labels.values()
    }
    found = tuple(labels.get(name) or plain.get(name, name) for name in names)
    return (
        found if len(set(found)) == len(found) else tuple(labels.get(name, name) for name in names)
    )


def _check_label(layer: Layer, name: str, label: str) -> None:
    """Raise if a rule file's name for the numbered weight `name` is that of another weight."""
    try:
        other = find_weight(layer, label)
    except PlanError:
        return
    if other is not find_weight(layer, name):
        raise PlanError(
            f"{layer.name}: the rule file calls the weight {name!r} of {type(layer).__name__}"
            f" {label!r}, which is another weight of the class; list all weights under 'weights' in"
            " the order in which the layer makes them"
        )


def planned_names_of(model: tf_keras.Model, graph: LayerGraph, plan: Plan) -> LayerGraph:
    """Return the graph with the names that the plan uses for weights of custom layers."""
    layers = dict(addressed_layers(model))

    def find(address: str, name: str) -> TensorFacts | None:
        try:
            weight = find_weight(inner_layer(layers[address]), name)
        except PlanError:  # reported later as a difference between the plan and the model
            return None
        return name, tuple(weight.shape), weight.dtype.name

    return with_planned_names(graph, plan, find)


def apply_plan(model: tf_keras.Model, plan: Plan | str | PathLike[str]) -> tf_keras.Model:
    """Return a clone of `model` in which the layers that `plan` claims are wrapped.

    Names, weights, outputs and optimizer state are the same. Layers that are wrapped already keep
    masks and step, unless the plan wraps them again; layers that the plan does not change are
    unchanged.

    Args:
        model: The model that the plan was made for, or the live model that was loaded from its
            file.
        plan: The plan, or the path of its JSON file.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        PlanError: the plan's file cannot be read.
        StalePlanError: the plan was made for another model: layers, types, shapes, wrappers, or
            weights that the plan depends on, are different.
        TypeError: `plan` is not a plan.
    """
    plan = plan_of(plan)
    asked = weights_asked_by(plan)
    graph = graph_of_model(model, asked)
    check_addresses(model.name, graph, plan)
    graph = planned_names_of(model, graph, plan)
    target = planned_graph(graph, plan, weight_reader(model, asked))
    return _carry_out(model, plan, graph, target)


def apply_rules(
    model: tf_keras.Model,
    rules: RuleSet | str | PathLike[str] | Mapping[str, Any],
    *,
    steps_per_epoch: int | None = None,
    epochs: int | None = None,
) -> tf_keras.Model:
    """Return a clone of `model` wrapped as `rules` say.

    Rules are a rule set, a rule file, `builtin:NAME`, or the contents of a rule file as a dict.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules have faults, or do not fit the model.
        TypeError: `rules` is something else.
    """
    rules = rule_set_of(rules)
    asked = types_of_rules(rules)
    graph, read_weight = graph_of_model(model, asked), weight_reader(model, asked)
    zeros = count_zeros(model, asked) if rules.reads_weights else None
    plan = plan_graph(
        graph, rules, Run(steps_per_epoch, epochs), zeros=zeros, read_weight=read_weight
    )
    graph = planned_names_of(model, graph, plan)
    return _carry_out(model, plan, graph, wrap_graph(graph, plan, is_live=True))


def _carry_out(
    model: tf_keras.Model, plan: Plan, before: LayerGraph, after: LayerGraph
) -> tf_keras.Model:
    """Return a clone of `model`, whose graph is `before`, with the wrappers of `after`."""
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


def wrap_layers(
    model: tf_keras.Model, prunings: dict[str, Pruning], schedule: PruningSchedule | None = None
) -> tf_keras.Model:
    """Return a clone of `model` with the layers at these addresses wrapped.

    Layers that are wrapped already stay as they are.

    Args:
        model: The model.
        prunings: What to prune, by address.
        schedule: When and how much, if it is a schedule of the user's own class.

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


def prune_as_saved(model: tf_keras.Model, saved: Mapping[str, SavedPruning]) -> tf_keras.Model:
    """Return a clone of a model, wrapped as a file says, by address, with its masks and steps.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """

    def make(address: str, layer: Layer) -> Layer:
        if address not in saved:
            return clone_wrapped(address, layer)
        found = saved[address]
        return PruneLowMagnitude(clone_layer(layer, address), found.pruning, found.provenance)

    clone = clone_with_state(model, make, set())
    for address, held in held_layers(find_wrappers(clone)).items():
        if address in saved:
            saved[address].restore(held)
    return clone


def strip_model(model: tf_keras.Model, *, compiled: bool = True) -> tf_keras.Model:
    """Return a clone of `model` without pruning wrappers.

    It is the original architecture, with masked weights exactly zero, and in the original's
    precision if a run set another.

    Args:
        model: The model.
        compiled: Whether compile settings and optimizer state are kept; without them, saved files
            are smaller.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    check_model(model)
    change = change_back(model)
    stripped = clone_with_state(
        model,
        lambda address, layer: clone_layer(inner_layer(layer), address, change),
        set(),
        compiled=compiled,
    )
    unscale_loss(stripped, model)
    return stripped


def adopt_wrappers(model: tf_keras.Model) -> tf_keras.Model:
    """Return `model`, or a clone in which wrappers written by tfmot have the names of their layers.

    graphprune's own wrappers already have them.
    """
    wrappers = find_wrappers(model).values()
    return (
        clone_with_state(model, clone_wrapped, set())
        if any(wrapper.name == f"{PREFIX}{wrapper.layer.name}" for wrapper in wrappers)
        else model
    )


def prune_one_shot(
    model: tf_keras.Model, rules: RuleSet | Plan | str | PathLike[str] | Mapping[str, Any]
) -> tf_keras.Model:
    """Return a clone of `model` in which the smallest weights that `rules` select are zero.

    See `graphprune.prune_one_shot`.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules do not fit the model.
        StalePlanError: the plan was made for another model.
        TrainingError: a weight is NaN or infinite, so magnitudes are meaningless.
    """
    check_finite(model, model.name, "such a model cannot be pruned by magnitude; train it again")
    wrapped = apply_plan(model, rules) if isinstance(rules, Plan) else apply_rules(model, rules)
    prune_at_once(held_layers(find_wrappers(wrapped)))
    return strip_model(wrapped)
