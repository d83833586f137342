"""Wrapping and stripping of live models, always as clones: the caller's model is never touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer
from tf_keras.src.engine.functional import has_functional_like_constructor

from graphprune.archive.toolkit import PREFIX
from graphprune.errors import GraphError
from graphprune.graph.from_config import graph_from_config
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR
from graphprune.plan.budgets import ReadWeight
from graphprune.plan.changes import LayerChange, Plan
from graphprune.plan.make import make_plan
from graphprune.plan.plan_json import plan_sha256
from graphprune.plan.rewrite import provenance_of, rules_sha256
from graphprune.plan.staleness import other_model
from graphprune.rules.values.rule_set import RuleSet
from graphprune.sparsity.missed_targets import MissedTarget
from graphprune.sparsity.pruning import Pruning
from graphprune.tf.layers.layer_clone import clone_layer, copy_state, without_random_values
from graphprune.tf.layers.live_tensors import find_weight, holds_prunable_layer, prunable_names, tensor_facts, tensor_zeros
from graphprune.tf.layers.replicas import strategy_scope
from graphprune.tf.layers.spectral_build import spectral_layers_buildable
from graphprune.tf.pruning.addresses import addressed_layers, find_wrappers, inner_layer, is_layered_model
from graphprune.tf.pruning.compile_state import copy_compile_state
from graphprune.tf.pruning.keras_schedules import PruningSchedule
from graphprune.tf.pruning.mask_update import apply_mask
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

MakeLayer = Callable[[str, Layer], Layer]
"""From the address of a layer and the layer to its place-taker in the clone: a new layer, unbuilt."""


def apply_plan(model: tf_keras.Model, plan: Plan) -> tf_keras.Model:
    """Return a clone of `model` with `plan` carried out: same names, weights, outputs and optimizer state; the layers that the plan claims are wrapped.

    Layers that are wrapped already keep masks and step, unless the plan wraps them anew; layers that the plan does not change are as they were.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        StalePlanError: the plan was made for another model.
    """
    changes = {change.address: change for change in plan.changes if change.is_change}
    of_rules, of_plan = rules_sha256(plan), plan_sha256(plan)

    def make(address: str, layer: Layer) -> Layer:
        change = changes.get(address)
        if change is None:
            return _clone_wrapped(address, layer)
        if change.after is None:
            return clone_layer(inner_layer(layer), address)
        return PruneLowMagnitude(clone_layer(inner_layer(layer), address), change.after, provenance_of(change, of_rules, of_plan))

    _check_addresses(model, changes)
    rebuilt = {address for address, change in changes.items() if "wrap" in change.actions}
    return _clone_with_state(model, make, rebuilt)


def apply_rules(model: tf_keras.Model, rules: RuleSet, *, steps_per_epoch: int | None = None, epochs: int | None = None) -> tf_keras.Model:
    """Return a clone of `model` wrapped as `rules` say.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules do not fit the model.
    """
    graph, read_weight = graph_of_model(model), weight_reader(model)
    zeros = count_zeros(model) if rules.reads_weights else None
    return apply_plan(model, make_plan(graph, rules, steps_per_epoch=steps_per_epoch, epochs=epochs, zeros=zeros, read_weight=read_weight))


def weight_reader(model: tf_keras.Model) -> ReadWeight:
    """Return the function that returns a weight of the model by address and name, as `graph_of_model` names them."""
    layers = dict(addressed_layers(model))
    return lambda address, name: find_weight(inner_layer(layers[address]), name).numpy()


def count_zeros(model: tf_keras.Model) -> dict[tuple[str, str], int]:
    """Return the zeros in each weight of each layer, by address and name, as `measure_zeros` does for a file."""
    return {
        (address, name): count
        for address, layer in addressed_layers(model)
        if not is_layered_model(layer)
        for name, count in tensor_zeros(inner_layer(layer)).items()
    }


def wrap_layers(model: tf_keras.Model, prunings: dict[str, Pruning], schedule: PruningSchedule | None = None) -> tf_keras.Model:
    """Return a clone of `model` with the layers at these addresses wrapped; layers that are wrapped already stay as they are.

    Args:
        model: The model.
        prunings: What to prune, by address.
        schedule: When and how much, where that is a schedule of the user's own.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        PlanError: a layer has no weight of a name that its pruning asks for.
    """

    def make(address: str, layer: Layer) -> Layer:
        if isinstance(layer, PruneLowMagnitude) or address not in prunings:
            return _clone_wrapped(address, layer)
        return PruneLowMagnitude(clone_layer(layer, address), prunings[address], own_schedule=schedule)

    return _clone_with_state(model, make, set())


def strip_model(model: tf_keras.Model, *, compiled: bool = True) -> tf_keras.Model:
    """Return a clone of `model` without pruning wrappers: the original architecture, its masked weights exactly zero.

    Args:
        model: The model.
        compiled: Whether compile settings and optimizer state are kept; without them, saved files are smaller.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    return _clone_with_state(model, lambda address, layer: clone_layer(inner_layer(layer), address), set(), compiled=compiled)


def find_missed_targets(model: tf_keras.Model) -> tuple[MissedTarget, ...]:
    """Return the pruned tensors of a wrapped model that have fewer zeros than when their schedules are finished, in the model's order."""
    return tuple(missed for address, wrapper in find_wrappers(model).items() for missed in _missed_in(address, wrapper))


def _missed_in(address: str, wrapper: PruneLowMagnitude) -> Iterator[MissedTarget]:
    for name, (weight, mask, _) in zip(wrapper.pruning.weights, wrapper.pruning_vars, strict=False):
        wanted, size = wrapper.pruning.target_zeros(name, weight.shape), weight.shape.num_elements()
        if size - np.count_nonzero(mask.numpy()) >= wanted:  # counting a mask takes a tenth of the time of counting weights
            continue
        zeros = size - int(np.count_nonzero(weight.numpy()))
        if zeros < wanted:
            yield MissedTarget(address, name, size, zeros, wanted, was_updated=bool(wrapper.last_update.numpy() >= 0))


def adopt_wrappers(model: tf_keras.Model) -> tf_keras.Model:
    """Return `model`, or a clone in which the wrappers that the TensorFlow toolkit wrote have the names of their layers, as graphprune's own have."""
    wrappers = find_wrappers(model).values()
    return _clone_with_state(model, _clone_wrapped, set()) if any(wrapper.name == f"{PREFIX}{wrapper.layer.name}" for wrapper in wrappers) else model


def graph_of_model(model: tf_keras.Model) -> LayerGraph:
    """Return the layer graph of a live model, weights included by name, shape and dtype.

    Raises:
        GraphError: the model is not a built Sequential or Functional model of tf_keras.
    """
    check_model(model)
    inner = {address: inner_layer(layer) for address, layer in addressed_layers(model) if not is_layered_model(layer)}
    tensors = {address: tensor_facts(layer) for address, layer in inner.items()}
    prunable = {address: prunable_names(layer) for address, layer in inner.items() if holds_prunable_layer(layer)}
    try:
        return graph_from_config(model.get_config(), tensors=tensors, prunable=prunable)
    except NotImplementedError as err:
        raise GraphError(f"{model.name}: a layer has no get_config, so the model cannot be described ({str(err).strip().splitlines()[0]})") from err


def check_model(model: object) -> None:
    """Raise unless `model` is a built Sequential or Functional model of tf_keras.

    Raises:
        GraphError: it is something else; the text names its class.
    """
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    modules = {base.__module__.split(".")[0] for base in type(model).__mro__}
    if "keras" in modules:
        raise GraphError(
            f"{getattr(model, 'name', 'model')}: {kind} is of Keras 3 (module keras), graphprune prunes models of tf_keras (module tf_keras); "
            "build it with tf_keras, which is tf.keras where TF_USE_LEGACY_KERAS=1 is set"
        )
    if not isinstance(model, tf_keras.Model):
        raise GraphError(f"{kind} is not a tf_keras model; give a Sequential or Functional model")
    if not is_layered_model(model):
        raise GraphError(
            f"{model.name}: {kind} is a subclassed model, whose layers and connections cannot be read; "
            "rebuild it with the Functional API: tf_keras.Model(inputs, outputs)"
        )
    if not model.built:
        raise GraphError(f"{model.name}: the model is not built, so it has no weights yet; call model.build(input_shape) first")


@dataclass(slots=True)
class _Clone:
    """A clone in the making: the layers that stand for the model's, by identity, so that shared layers stay shared."""

    make: MakeLayer
    made: dict[int, Layer] = field(default_factory=dict)
    pairs: list[tuple[str, Layer, Layer]] = field(default_factory=list)

    def of_model(self, model: tf_keras.Model, prefix: str) -> tf_keras.Model:
        if not isinstance(model, tf_keras.Sequential) and type(model) is not tf_keras.Model and not has_functional_like_constructor(type(model)):
            raise GraphError(
                f"{model.name}: model class {type(model).__name__} has a constructor of its own, so it cannot be copied with other layers in it; "
                "rebuild it as tf_keras.Model(model.inputs, model.outputs)"
            )
        clone = tf_keras.models.clone_model(model, clone_function=lambda layer: self.of_layer(layer, f"{prefix}{layer.name}"))
        clone._trainable = model._trainable
        if hasattr(model, "use_legacy_config"):  # Keras leaves it on nested models that were once saved as .h5; `get_config` heeds it
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


def _clone_with_state(model: tf_keras.Model, make: MakeLayer, rebuilt: set[str], *, compiled: bool = True) -> tf_keras.Model:
    """Return the clone with weights, masks (but those of `rebuilt` addresses) and, if `compiled`, compile settings and optimizer state."""
    check_model(model)
    with strategy_scope(model):
        return _clone_here(model, make, rebuilt, compiled=compiled)


def _clone_here(model: tf_keras.Model, make: MakeLayer, rebuilt: set[str], *, compiled: bool) -> tf_keras.Model:
    cloning = _Clone(make)
    with spectral_layers_buildable(), without_random_values():
        clone = cloning.of_model(model, "")
        if not clone.built:
            clone.build(model._build_input_shape)
    variables: dict[int, tf.Variable] = {}
    for address, old, new in cloning.pairs:
        _copy_layer(old, new, keep_masks=address not in rebuilt)
        variables |= {id(a): b for a, b in zip(inner_layer(old).weights, inner_layer(new).weights, strict=True)}
    if compiled:
        copy_compile_state(model, clone, variables)
    return clone


def _copy_layer(old: Layer, new: Layer, *, keep_masks: bool) -> None:
    copy_state(inner_layer(old), inner_layer(new))
    if not isinstance(old, PruneLowMagnitude):
        return
    if isinstance(new, PruneLowMagnitude) and keep_masks:
        for source, target in zip(old.pruning_state, new.pruning_state, strict=True):
            target.assign(source)
    for (_, mask, _), name in zip(old.pruning_vars, old.pruning.weights, strict=True):
        chosen = mask.numpy()
        if not chosen.all():  # reading and writing a weight takes far longer than looking at its mask
            weight = find_weight(inner_layer(new), name)
            weight.assign(apply_mask(weight.numpy(), chosen))


def _clone_wrapped(address: str, layer: Layer) -> Layer:
    """Return a clone of a layer, in a wrapper like the one it has."""
    inner = clone_layer(inner_layer(layer), address)
    return PruneLowMagnitude(inner, layer.pruning, layer.provenance, own_schedule=layer.own_schedule) if isinstance(layer, PruneLowMagnitude) else inner


def _check_addresses(model: tf_keras.Model, changes: dict[str, LayerChange]) -> None:
    check_model(model)
    known = {address for address, layer in addressed_layers(model)}
    missing = [address for address in changes if address not in known]
    if missing:
        raise other_model([f"{address!r} is missing in {model.name}" for address in missing])
