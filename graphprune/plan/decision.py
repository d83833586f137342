"""What has to be done to one layer to make it what the rules ask for."""

from __future__ import annotations

from graphprune.graph.layers import Layer
from graphprune.plan.changes import Action
from graphprune.rules.rule_set import Prune, Rule
from graphprune.sparsity.patterns import UNSTRUCTURED
from graphprune.sparsity.pruning import Pruning

_FIELDS = ("pattern", "pads", "weights", "sparsity", "shares", "schedule")
_MASK_FIELDS = frozenset({"pattern", "pads", "weights"})


def pruning_for(layer: Layer, rule: Rule | None) -> Pruning | None:
    """Return how `rule` wants `layer` pruned, with its weights in the layer's order; None where it wants it dense."""
    if rule is None or not isinstance(rule.action, Prune):
        return None
    action = rule.action
    tensors = [tensor for tensor in layer.prunable if action.weights is None or tensor.name in action.weights]
    axes = None if action.pattern == UNSTRUCTURED else tuple(tensor.axes for tensor in tensors)
    weights = tuple(tensor.name for tensor in tensors)
    return Pruning(sparsity=action.sparsity, schedule=action.schedule, weights=weights, pattern=action.pattern, axes=axes)


def changed_fields(before: Pruning, after: Pruning) -> tuple[str, ...]:
    """Return the fields in which two prunings differ, those that rebuild the mask first."""
    return tuple(field for field in _FIELDS if getattr(before, field) != getattr(after, field))


def rebuilds_mask(fields: tuple[str, ...]) -> bool:
    """Return whether a change of these fields makes the old mask useless."""
    return bool(_MASK_FIELDS & set(fields))


def decide(layer: Layer, rule: Rule | None, after: Pruning | None) -> tuple[tuple[Action, ...], str]:
    """Return the actions that make `layer` pruned as `after` says, and the reason as a word."""
    if after is None:
        reason = "no_rule" if rule is None else "keep_rule"
        if layer.wrap is not None:
            return ("unwrap",), reason
        return ("unclaimed" if rule is None else "keep",), reason
    if layer.wrap is None:
        return ("wrap",), "claimed_by_rule"
    if layer.wrap.pruning is None:
        return ("unwrap", "wrap"), "foreign_wrapper"
    fields = changed_fields(layer.wrap.pruning, after)
    if not fields:
        return ("noop",), "already_as_planned"
    reason = "_and_".join(fields) + "_changed"
    return (("unwrap", "wrap") if rebuilds_mask(fields) else ("retarget",)), reason
