"""Wrapping and stripping of live models, always as clones: the caller's model is never touched."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.engine.functional import has_functional_like_constructor

from graphprune.archive.toolkit import PREFIX
from graphprune.errors import GraphError, PlanError
from graphprune.graph.classes.builtin_layers import weights_of
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR, Tensor
from graphprune.plan.budgets import ReadWeight
from graphprune.plan.changes import Plan
from graphprune.plan.from_document import plan_of
from graphprune.plan.make import make_plan
from graphprune.plan.rewrite import wrap_graph
from graphprune.plan.staleness import check_weights_fit, other_model
from graphprune.rules.building.read import rule_set_of
from graphprune.rules.values.rule_set import RuleSet
from graphprune.sparsity.missed_targets import MissedTarget
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.layers.layer_clone import clone_layer, copy_state, without_random_values
from graphprune.tf.layers.live_tensors import (
    find_weight,
    holds_prunable_layer,
    named_weights,
    prunable_names,
    tensor_facts,
    tensor_zeros,
    type_name,
)
from graphprune.tf.layers.replicas import strategy_scope
from graphprune.tf.layers.spectral_build import spectral_layers_buildable
from graphprune.tf.pruning.addresses import (
    addressed_layers,
    find_wrappers,
    inner_layer,
    is_layered_model,
    is_unbuilt,
    name_of,
    refuse_other_kind,
)
from graphprune.tf.pruning.compile_state import copy_compile_state
from graphprune.tf.pruning.keras_schedules import PruningSchedule
from graphprune.tf.pruning.live_toolkit import (
    is_toolkit_layer,
    live_masks,
    live_state,
    read_live_pruning,
)
from graphprune.tf.pruning.mask_update import apply_mask
from graphprune.tf.pruning.planned_names import planned_names
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

MakeLayer = Callable[[str, Layer], Layer]
"""From the address of a layer and the layer to its place-taker in the clone: a new layer, unbuilt.
"""


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
    graph = _with_planned_names(model, graph, plan)
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
    plan = make_plan(
        graph,
        rules,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        zeros=zeros,
        read_weight=read_weight,
    )
    graph = _with_planned_names(model, graph, plan)
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
            return _clone_wrapped(address, layer)
        if wrap is None or wrap.pruning is None:
            return clone_layer(inner_layer(layer), address)
        names = planned_names(inner_layer(layer), changes[address])
        return PruneLowMagnitude(
            clone_layer(inner_layer(layer), address), wrap.pruning, wrap.provenance, names
        )

    return _clone_with_state(
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


def _with_planned_names(model: tf_keras.Model, graph: LayerGraph, plan: Plan) -> LayerGraph:
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


def weight_reader(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> ReadWeight:
    """Return the function that returns a weight of the model by address and name, as
    `graph_of_model` names them; `asked` as there.
    """
    layers = dict(addressed_layers(model))

    def read(address: str, name: str) -> Any:
        layer = inner_layer(layers[address])
        names = asked.get(type_name(layer), ())
        found = dict(named_weights(layer, names)).get(name) if name in names else None
        return (find_weight(layer, name) if found is None else found).numpy()

    return read


def count_zeros(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[tuple[str, str], int]:
    """Return the zeros in each weight of each layer, by address and name, as `measure_zeros` does
    for a file; `asked` as in `graph_of_model`.
    """
    return {
        (address, name): count
        for address, layer in addressed_layers(model)
        if not is_layered_model(layer)
        for name, count in tensor_zeros(
            inner_layer(layer), asked.get(type_name(inner_layer(layer)), ())
        ).items()
    }


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
            return _clone_wrapped(address, layer)
        return PruneLowMagnitude(
            clone_layer(layer, address), prunings[address], own_schedule=schedule
        )

    return (
        _clone_unbuilt(model, make) if is_unbuilt(model) else _clone_with_state(model, make, set())
    )


def _clone_unbuilt(model: tf_keras.Sequential, make: MakeLayer) -> tf_keras.Sequential:
    """Return the clone of a Sequential model that is not built, with compile settings; models
    inside it may be built, and keep their weights.
    """
    cloning = _Clone(make)
    with spectral_layers_buildable():
        clone = cloning.of_model(model, "")
    variables: dict[int, tf.Variable] = {}
    for address, old, new in cloning.pairs:
        if len(old.weights) and not len(new.weights):
            raise ValueError(
                f"{model.name}: the model is not built, and its layer {address!r} has weights; call"
                " model.build(input_shape) first"
            )
        _copy_layer(old, new, keep_masks=True)
        variables |= {
            id(a): b
            for a, b in zip(inner_layer(old).weights, inner_layer(new).weights, strict=True)
        }
    copy_compile_state(model, clone, variables)
    return clone


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
    return _clone_with_state(
        model,
        lambda address, layer: clone_layer(inner_layer(layer), address),
        set(),
        compiled=compiled,
    )


def find_missed_targets(model: tf_keras.Model) -> tuple[MissedTarget, ...]:
    """Return the pruned tensors of a wrapped model that have fewer zeros than when their schedules
    are finished, in the model's order.

    Of a live model that the TensorFlow toolkit wrapped, it looks at the conversion.
    """
    if any(is_toolkit_layer(layer) for layer in model._flatten_layers()):
        model = _clone_with_state(model, _clone_wrapped, set(), compiled=False)
    return tuple(
        missed
        for address, wrapper in find_wrappers(model).items()
        for missed in _missed_in(address, wrapper)
    )


def _missed_in(address: str, wrapper: PruneLowMagnitude) -> Iterator[MissedTarget]:
    for name, (weight, mask, _) in zip(wrapper.pruning.weights, wrapper.pruning_vars, strict=False):
        wanted, size = wrapper.pruning.target_zeros(name, weight.shape), weight.shape.num_elements()
        if (
            size - np.count_nonzero(mask.numpy()) >= wanted
        ):  # counting a mask takes a tenth of the time of counting weights
            continue
        zeros = size - int(np.count_nonzero(weight.numpy()))
        if zeros < wanted:
            yield MissedTarget(
                address,
                name,
                size,
                zeros,
                wanted,
                was_updated=bool(wrapper.last_update.numpy() >= 0),
            )


def adopt_wrappers(model: tf_keras.Model) -> tf_keras.Model:
    """Return `model`, or a clone in which the wrappers that the TensorFlow toolkit wrote have the
    names of their layers, as graphprune's own have.
    """
    wrappers = find_wrappers(model).values()
    return (
        _clone_with_state(model, _clone_wrapped, set())
        if any(wrapper.name == f"{PREFIX}{wrapper.layer.name}" for wrapper in wrappers)
        else model
    )


def graph_of_model(
    model: tf_keras.Model, asked: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> LayerGraph:
    """Return the layer graph of a live model, weights included by name, shape and dtype.

    Args:
        model: The model.
        asked: Names of weights that rules or a plan use, by the type of their custom layer; a model
            that comes from no file gets the names of the format that has them.

    Raises:
        GraphError: the model is not a built Sequential or Functional model of tf_keras.
    """
    check_model(model)
    if any(is_toolkit_layer(layer) for layer in model._flatten_layers()):
        model = _clone_with_state(model, _clone_wrapped, set())
    inner = {
        address: inner_layer(layer)
        for address, layer in addressed_layers(model)
        if not is_layered_model(layer)
    }
    tensors = {
        address: tensor_facts(layer, asked.get(type_name(layer), ()))
        for address, layer in inner.items()
    }
    prunable = {
        address: prunable_names(layer)
        for address, layer in inner.items()
        if holds_prunable_layer(layer)
    }
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="The object being serialized includes a `lambda`"
            )
            return graph_from_config(model.get_config(), tensors=tensors, prunable=prunable)
    except NotImplementedError as err:
        raise GraphError(
            f"{model.name}: a layer has no get_config, so the model cannot be described"
            f" ({str(err).strip().splitlines()[0]})"
        ) from err


def check_model(model: object) -> None:
    """Raise unless `model` is a built Sequential or Functional model of tf_keras.

    Raises:
        GraphError: it is something else; the text names its class.
    """
    if not isinstance(model, tf_keras.Model):
        refuse_other_kind(model, "model", "a Sequential or Functional model")
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if not is_layered_model(model):
        raise GraphError(
            f"{model.name}: {kind} is a subclassed model, whose layers and connections cannot be"
            " read; rebuild it with the Functional API: tf_keras.Model(inputs, outputs)"
        )
    if not model.built:
        raise GraphError(
            f"{model.name}: the model is not built, so it has no weights yet; call"
            " model.build(input_shape) first"
        )


@dataclass(slots=True)
class _Clone:
    """A clone in the making: the layers that stand for the model's, by identity, so that shared
    layers stay shared.
    """

    make: MakeLayer
    made: dict[int, Layer] = field(default_factory=dict)
    pairs: list[tuple[str, Layer, Layer]] = field(default_factory=list)

    def of_model(self, model: tf_keras.Model, prefix: str) -> tf_keras.Model:
        if (
            not isinstance(model, tf_keras.Sequential)
            and type(model) is not tf_keras.Model
            and not has_functional_like_constructor(type(model))
        ):
            raise GraphError(
                f"{model.name}: model class {type(model).__name__} has a constructor of its own, so"
                " it cannot be copied with other layers in it; rebuild it as"
                " tf_keras.Model(model.inputs, model.outputs)"
            )
        clone = tf_keras.models.clone_model(
            model, clone_function=lambda layer: self.of_layer(layer, f"{prefix}{name_of(layer)}")
        )
        clone._trainable = model._trainable
        if hasattr(
            model, "use_legacy_config"
        ):  # Keras leaves it on nested models that were once saved as .h5; `get_config` heeds it
            clone.use_legacy_config = model.use_legacy_config
        return clone

    def of_layer(self, layer: Layer, address: str) -> Layer:
        if id(layer) not in self.made:
            if is_layered_model(layer):
                self.made[id(layer)] = self.of_model(layer, f"{address}{SEPARATOR}")
            else:
                self.made[id(layer)] = self.make(address, layer)
                self.pairs.append((address, layer, self.made[id(layer)]))
        return self.made[id(layer)]


def _clone_with_state(
    model: tf_keras.Model, make: MakeLayer, rebuilt: set[str], *, compiled: bool = True
) -> tf_keras.Model:
    """Return the clone with weights, masks (but those of `rebuilt` addresses) and, if `compiled`,
    compile settings and optimizer state.
    """
    check_model(model)
    with strategy_scope(model):
        return _clone_here(model, make, rebuilt, compiled=compiled)


def _clone_here(
    model: tf_keras.Model, make: MakeLayer, rebuilt: set[str], *, compiled: bool
) -> tf_keras.Model:
    cloning = _Clone(make)
    with spectral_layers_buildable(), without_random_values():
        clone = cloning.of_model(model, "")
        if not clone.built:
            clone.build(model._build_input_shape)
    variables: dict[int, tf.Variable] = {}
    for address, old, new in cloning.pairs:
        _copy_layer(old, new, keep_masks=address not in rebuilt)
        variables |= {
            id(a): b
            for a, b in zip(inner_layer(old).weights, inner_layer(new).weights, strict=True)
        }
    if compiled:
        copy_compile_state(model, clone, variables)
    return clone


def _copy_layer(old: Layer, new: Layer, *, keep_masks: bool) -> None:
    copy_state(inner_layer(old), inner_layer(new))
    if inner_layer(old) is old:
        return
    if isinstance(new, PruneLowMagnitude) and keep_masks:
        for source, target in zip(
            _state_of(old), new.pruning_state, strict=False
        ):  # the toolkit has no `last_update`, which is the last
            target.assign(tf.cast(source, target.dtype))
    for name, mask in _masks_of(old):
        chosen = tf.cast(mask, tf.bool)
        if not tf.reduce_all(
            chosen
        ):  # reading and writing a weight takes far longer than looking at its mask
            weight = _twin(inner_layer(old), inner_layer(new), name)
            weight.assign(apply_mask(weight.numpy(), chosen.numpy()))


def _twin(old: Layer, new: Layer, name: str) -> tf.Variable:
    """Return the weight of a clone that stands for the weight `name` of the layer; the clone may
    call it otherwise.
    """
    weight = find_weight(old, name)
    return next(b for a, b in zip(old.weights, new.weights, strict=True) if a is weight)


def _state_of(wrapper: Layer) -> list[tf.Variable]:
    return live_state(wrapper) if is_toolkit_layer(wrapper) else wrapper.pruning_state  # type: ignore[no-any-return]


def _masks_of(wrapper: Layer) -> list[tuple[str, tf.Variable]]:
    """Return the name and the mask of each weight that a wrapper prunes."""
    if is_toolkit_layer(wrapper):
        return live_masks(wrapper)
    return [
        (name, mask)
        for (_, mask, _), name in zip(wrapper.pruning_vars, wrapper.pruning.weights, strict=True)
    ]


def _clone_wrapped(address: str, layer: Layer) -> Layer:
    """Return a clone of a layer, in a wrapper like the one it has."""
    inner = clone_layer(inner_layer(layer), address)
    if is_toolkit_layer(layer):
        return PruneLowMagnitude(inner, read_live_pruning(layer))
    return (
        PruneLowMagnitude(inner, layer.pruning, layer.provenance, own_schedule=layer.own_schedule)
        if isinstance(layer, PruneLowMagnitude)
        else inner
    )


def _check_addresses(name: str, graph: LayerGraph, plan: Plan) -> None:
    missing = [change.address for change in plan.changes if change.address not in graph.layers]
    if missing:
        raise other_model([f"{address!r} is missing in {name}" for address in missing])
