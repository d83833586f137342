"""Clones of live Keras 3 models that are pruned by a plan, stripped, or pruned at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from graphprune.engine.masks import prune_at_once
from graphprune.engine.saved_pruning import SavedPruning
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.precision import FLOAT32, PolicyChange, policy_set_by_run, scale_set_by_run
from graphprune.graph.read import ModelFile
from graphprune.keras3.cloning import Precision, clone_model
from graphprune.keras3.held import HeldLayer
from graphprune.keras3.layers import addressed_layers, check_built, check_finite, unique_layers
from graphprune.keras3.live import LiveModel
from graphprune.keras3.model import KerasModel, held_layers
from graphprune.keras3.optimizers import LIKE_MODEL
from graphprune.keras3.state import PruningState
from graphprune.plan.application import (
    check_addresses,
    planned_graph,
    types_of_rules,
    weights_asked_by,
    with_planned_names,
)
from graphprune.plan.changes import LayerChange, Plan
from graphprune.plan.from_document import plan_of
from graphprune.plan.make import plan_saved_model
from graphprune.plan.rewrite import wrap_graph
from graphprune.rules.building.read import rule_set_of
from graphprune.sparsity.mask_kernels import apply_mask
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Provenance

Hold = Callable[[str, Any, HeldLayer | None], HeldLayer | None]
"""Returns how a layer of a clone is pruned, given its address, and how the model's layer is."""


def pruned_clone(
    model: Any, hold: Hold, *, compiled: bool = True, precision: Precision | None = None
) -> Any:
    """Return a clone of a model, whose layers are pruned as `hold` says.

    Masked weights of the model are zero in the clone, also if averaging (EMA) wrote them. It
    computes in the `precision` that is given, or like the model.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        TrainingError: the copy cannot be compiled like the model.
    """
    before = held_layers(model)
    clone = clone_model(model, compiled=compiled, precision=precision)
    layers = {
        address: held
        for address, layer in unique_layers(clone).items()
        if (held := hold(address, layer, before.get(address))) is not None
    }
    _zero_masked(before, clone)
    if layers:
        state = PruningState(clone)
        state.layers |= layers
        state.share_counters()
        KerasModel(clone).attach()
    return clone


def hold_like(old: HeldLayer, layer: Any) -> HeldLayer:
    """Return the layer of a clone pruned like that of the model, with its masks and steps."""
    held = HeldLayer(layer, old.pruning, old.own_schedule, old.provenance, old.places)
    _copy_state(old, held)
    return held


def _copy_state(old: HeldLayer, held: HeldLayer) -> None:
    held.write_step(old.read_step())
    held.write_last_update(old.read_last_update())
    for tensor, other in zip(old.tensors, held.tensors, strict=True):
        other.write_mask(tensor.read_mask(), tensor.read_threshold())


def _zero_masked(before: dict[str, HeldLayer], clone: Any) -> None:
    layers = unique_layers(clone)
    for address, held in before.items():
        for tensor in held.tensors:
            values, mask = tensor.read(), tensor.read_mask()
            if np.any(values[~mask]):
                held.find_in(layers[address], tensor.name).assign(apply_mask(values, mask))


def strip_model(model: Any, *, compiled: bool = True) -> Any:
    """Return a clone of a model that is not pruned, with masked weights exactly zero.

    It has the original's precision if a run set another.

    Args:
        model: The model.
        compiled: Whether compile settings and optimizer state are kept; without them, saved files
            are smaller.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    policy = set_by_run(model)
    precision = None
    if policy:
        scaling = "unscaled" if scale_set_by_run(_provenances(model)) else LIKE_MODEL
        precision = Precision(PolicyChange((policy,), FLOAT32), frozenset(), scaling)
    return pruned_clone(
        model, lambda address, layer, before: None, compiled=compiled, precision=precision
    )


def set_by_run(model: Any) -> str:
    """Return the policy that a run set on the model's layers; empty if none did."""
    return policy_set_by_run(_provenances(model))


def _provenances(model: Any) -> list[Provenance]:
    return [held.provenance for held in held_layers(model).values()]


def prune_as_saved(model: Any, saved: Mapping[str, SavedPruning]) -> Any:
    """Return a clone of a model, pruned as a file says, by address, with its masks and steps.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """

    def hold(address: str, layer: Any, before: HeldLayer | None) -> HeldLayer | None:
        found = saved.get(address)
        if found is None:
            return None if before is None else hold_like(before, layer)
        held = HeldLayer(layer, found.pruning, provenance=found.provenance)
        found.restore(held)
        return held

    return pruned_clone(model, hold)


def apply_plan(model: Any, plan: Any) -> Any:
    """Return a clone of a model with the layers pruned that `plan` claims.

    See `graphprune.apply_plan`.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        PlanError: the plan's file cannot be read.
        StalePlanError: the plan was made for another model.
        TypeError: `plan` is not a plan.
    """
    plan = plan_of(plan)
    live = LiveModel(model, weights_asked_by(plan))
    check_addresses(live.path, live.graph, plan)
    graph = with_planned_names(live.graph, plan)
    return _carry_out(model, live, plan, graph, planned_graph(graph, plan, live.read))


def apply_rules(
    model: Any, rules: Any, *, steps_per_epoch: int | None = None, epochs: int | None = None
) -> Any:
    """Return a clone of a model, pruned as `rules` say; see `graphprune.apply_rules`.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules have faults, or do not fit the model.
        TypeError: `rules` is something else.
    """
    rules = rule_set_of(rules)
    live = LiveModel(model, types_of_rules(rules))
    found = ModelFile(live.path, live.graph, live)
    plan = plan_saved_model(found, rules, Run(steps_per_epoch, epochs))
    graph = with_planned_names(live.graph, plan)
    return _carry_out(model, live, plan, graph, wrap_graph(graph, plan, is_live=True))


def prune_one_shot(model: Any, rules: Any) -> Any:
    """Return a clone of a model in which the smallest weights that `rules` select are zero.

    See `graphprune.prune_one_shot`.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
        RuleError: the rules do not fit the model.
        StalePlanError: the plan was made for another model.
        TrainingError: a weight is NaN or infinite, so magnitudes are meaningless.
    """
    check_built(model)
    check_finite(
        model, str(model.name), "such a model cannot be pruned by magnitude; train it again"
    )
    pruned = apply_plan(model, rules) if isinstance(rules, Plan) else apply_rules(model, rules)
    prune_at_once(held_layers(pruned))
    return strip_model(pruned)


def _carry_out(
    model: Any, live: LiveModel, plan: Plan, before: LayerGraph, after: LayerGraph
) -> Any:
    """Return a clone of `model`, whose graph is `before`, with the layers pruned as in `after`."""
    first = {id(layer): address for address, layer in reversed(list(addressed_layers(model)))}
    changes = {first[id(live.layers[change.address])]: change for change in plan.changes}

    def hold(address: str, layer: Any, old: HeldLayer | None) -> HeldLayer | None:
        change = changes.get(address)
        if (
            change is None
            or after.layers[change.address].wrap is before.layers[change.address].wrap
        ):
            return None if old is None else hold_like(old, layer)
        wrap = after.layers[change.address].wrap
        if wrap is None or wrap.pruning is None:
            return None
        places = _places(live, change)
        held = HeldLayer(layer, wrap.pruning, provenance=wrap.provenance, places=places)
        if old is not None and "wrap" not in change.actions:
            _copy_state(old, held)
        return held

    return pruned_clone(model, hold)


def _places(live: LiveModel, change: LayerChange) -> dict[str, str]:
    """Return where a custom layer saves the weights that a plan names, by the plan's name."""
    places = {
        tensor.name: live.place_of(change.address, tensor.stored_as or tensor.name)
        for tensor in change.tensors
    }
    return {name: place for name, place in places.items() if place is not None}
