"""The names under which a plan knows the weights of a custom layer, held against the live layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer

from graphprune.errors import PlanError
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Tensor
from graphprune.plan.changes import LayerChange, Plan
from graphprune.tf.layers.live_tensors import bare_names, find_weight, named_weights, weight_names
from graphprune.tf.pruning.addresses import addressed_layers, inner_layer


def planned_names(layer: Layer, change: LayerChange) -> tuple[str, ...]:
    """Return the names of a custom layer's weights, those of the plan among them, in the order of
    `layer.weights`; nothing for layers of the table.

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
    """Raise where what a rule file calls the numbered weight `name` is the name of another weight
    in the class.
    """
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


def with_planned_names(model: tf_keras.Model, graph: LayerGraph, plan: Plan) -> LayerGraph:
    """Return the graph in which custom layers also have their weights by the names that the plan
    uses: those of a file, or of a rule file's `layers`.
    """
    layers, renamed = dict(addressed_layers(model)), {}
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
            (name, _find(inner_layer(layers[change.address]), name))
            for name, stored in wanted.items()
            if name not in known and stored not in known
        ]
        more += [
            Tensor(name, tuple(weight.shape), weight.dtype.name, (), False)
            for name, weight in found
            if weight is not None
        ]
        renamed[change.address] = replace(layer, tensors=(*layer.tensors, *more))
    return graph.replace(renamed)


def _find(layer: Layer, name: str) -> tf.Variable | None:
    try:
        return find_weight(layer, name)
    except PlanError:  # told as a difference between the plan and the model
        return None
