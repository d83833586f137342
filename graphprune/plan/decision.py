"""What a plan does to each layer, and why; the checks that ask about the finished plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphprune.graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.plan.budgets import Allocated
from graphprune.plan.changes import Action, LayerChange, RuleRef, TensorChange
from graphprune.plan.channels import LayerChannels
from graphprune.plan.fitting import Fitted, unknown_zeros
from graphprune.plan.timing import known_steps, unknown_steps
from graphprune.rules.matchers.matches import Matches, Zeros
from graphprune.rules.resolving.run_checks import check_result
from graphprune.rules.values.checks import Check, CheckOutcome, ResultIs
from graphprune.rules.values.rule_set import Claim, Rule
from graphprune.sparsity.counts import zero_count
from graphprune.sparsity.patterns import UNSTRUCTURED
from graphprune.sparsity.positions import Run
from graphprune.sparsity.pruning import Pruning

_FIELDS = (
    *("pattern", "pads", "group", "couplings", "weights", "method"),
    *("sparsity", "shares", "schedule"),
)
_MASK_FIELDS = frozenset({"pattern", "pads", "group", "couplings", "weights", "method"})


def pruning_for(
    fitted: Fitted | None,
    shares: Mapping[tuple[str, str], float],
    channels: LayerChannels | None = None,
    groups: Mapping[str, float] | None = None,
) -> Pruning | None:
    """Return how a claimed layer is pruned, or None if it stays dense.

    Its weights are in the layer's order.

    Args:
        fitted: The tensors that the rule prunes; None where no rule prunes the layer.
        shares: The share of zeros of each tensor of a budget, by (address, tensor name); 0 leaves
            it dense.
        channels: How its tensors take part in groups of channels; None where they do not.
        groups: The share of each group of channels of a budget, by its name.
    """
    pruning = None if fitted is None else _pruning_alone(fitted, shares)
    return pruning if channels is None else channels.complete(pruning, shares, groups or {})


def _pruning_alone(fitted: Fitted, shares: Mapping[tuple[str, str], float]) -> Pruning | None:
    action = fitted.action
    share_of = {
        tensor.name: shares.get((fitted.layer.address, tensor.name), action.sparsity)
        for tensor in fitted.tensors
    }
    tensors = [
        tensor for tensor in fitted.tensors if share_of[tensor.name] > 0 or action.budget is None
    ]
    if not tensors:
        return None
    return Pruning(
        sparsity=(
            action.sparsity
            if action.budget is None or action.budget.threshold is None
            else _share_of_all(tensors, share_of)
        ),
        schedule=action.schedule,
        weights=tuple(tensor.name for tensor in tensors),
        pattern=action.pattern,
        pads=fitted.pads,
        shares=(
            None if action.budget is None else tuple(share_of[tensor.name] for tensor in tensors)
        ),
        axes=None if action.pattern == UNSTRUCTURED else tuple(tensor.axes for tensor in tensors),
        group=action.group,
        method=action.method,
    )


def _share_of_all(tensors: Sequence[Tensor], share_of: Mapping[str, float]) -> float:
    """Return the share of zeros over all `tensors` of a layer, from that of each."""
    return sum(zero_count(tensor.size, share_of[tensor.name]) for tensor in tensors) / sum(
        tensor.size for tensor in tensors
    )


def changed_fields(before: Pruning, after: Pruning) -> tuple[str, ...]:
    """Return the fields in which two prunings differ, those that rebuild the mask first.

    Another pattern than that of channels changes the tensors that lose them too, which is not told.
    """
    fields = [field for field in _FIELDS if getattr(before, field) != getattr(after, field)]
    if "pattern" in fields and (before.couplings or after.couplings):
        fields = [field for field in fields if field not in ("group", "couplings", "weights")]
    return tuple(fields)


def rebuilds_mask(fields: tuple[str, ...]) -> bool:
    """Return whether a change of these fields makes the old mask useless."""
    return bool(_MASK_FIELDS & set(fields))


def decide(
    layer: Layer, rule: Rule | None, fitted: Fitted | None, after: Pruning | None
) -> tuple[tuple[Action, ...], str]:
    """Return the actions that make `layer` pruned as `after` says, and the reason as a word.

    `fitted` is None for a layer that follows the channels of others.
    """
    if after is None:
        reason = _reason_for_dense(rule, fitted)
        if layer.wrap is not None:
            return ("unwrap",), reason
        return ("unclaimed" if rule is None else "keep",), reason
    if layer.wrap is None:
        return ("wrap",), "follows_channels" if fitted is None else "claimed_by_rule"
    if layer.wrap.pruning is None:
        return ("unwrap", "wrap"), "foreign_wrapper"
    fields = changed_fields(layer.wrap.pruning, after)
    if not fields:
        return ("noop",), "already_as_planned"
    reason = "_and_".join(fields) + "_changed"
    return (("unwrap", "wrap") if rebuilds_mask(fields) else ("retarget",)), reason


def _reason_for_dense(rule: Rule | None, fitted: Fitted | None) -> str:
    if fitted is not None:
        return "dense_by_budget" if fitted.tensors else "misfit_skipped"
    return "no_rule" if rule is None else "keep_rule"


def change_layer(
    layer: Layer,
    claim: Claim,
    fitted: Fitted | None,
    channels: LayerChannels | None,
    allocated: Allocated,
    zeros: Mapping[tuple[str, str], int],
    run: Run,
) -> LayerChange:
    """Return what happens to one layer, and why."""
    after = pruning_for(fitted, allocated.shares, channels, allocated.groups)
    rule = claim.rule
    if channels is not None and after is not None and fitted is None:
        rule = channels.rule
    actions, reason = decide(layer, rule, fitted, after)
    before = None if layer.wrap is None else layer.wrap.pruning
    followers = {name for state in (before, after) if state is not None for name in state.weights}
    unknown: tuple[str, ...] = ()
    if after is not None and actions != ("noop",):
        unknown = (
            (("mask",) if "wrap" in actions else ())
            + unknown_steps(after.schedule, run)
            + unknown_zeros(layer, after)
        )
    return LayerChange(
        address=layer.address,
        type=layer.type,
        calls=layer.calls,
        actions=actions,
        action_reason=reason,
        rule=None if rule is None else RuleRef(rule.id, rule.where),
        also_matched=claim.lost,
        before=before,
        after=after,
        after_unknown=unknown,
        tensors=tuple(
            _tensor_change(tensor, after, zeros.get((layer.address, tensor.name)))
            for tensor in layer.tensors
            if tensor.prunable or tensor.name in followers
        ),
        known_steps=() if after is None else known_steps(after.schedule, run),
        skipped=() if fitted is None else fitted.skipped,
        budget="" if fitted is None or fitted.action.budget is None else str(fitted.action.budget),
    )


def _tensor_change(tensor: Tensor, after: Pruning | None, zeros_before: int | None) -> TensorChange:
    pruned = after is not None and tensor.name in after.weights
    return TensorChange(
        name=tensor.name,
        axes=tensor.axes,
        shape=tensor.shape,
        size=tensor.size,
        zeros_before=zeros_before,
        zeros_after=(
            after.target_zeros(tensor.name, tensor.shape) if pruned and after is not None else None
        ),
        stored_as=tensor.stored_as,
        follows=not tensor.prunable,
    )


def check_finished(
    graph: LayerGraph, checks: Sequence[Check], changes: Sequence[LayerChange], zeros: Zeros | None
) -> tuple[CheckOutcome, ...]:
    """Return the outcomes of the checks that ask about the finished plan.

    A tensor that the plan leaves alone keeps its measured zeros; if none were measured, it has
    none.
    """
    if not any(isinstance(check.condition, ResultIs) for check in checks):
        return ()
    sizes = {
        change.address: (
            sum(map(_zeros_when_finished, tensors)),
            sum(tensor.size for tensor in tensors),
        )
        for change in changes
        if (tensors := [tensor for tensor in change.tensors if not tensor.follows])
    }
    return check_result(Matches(graph, zeros), checks, sizes)


def _zeros_when_finished(tensor: TensorChange) -> int:
    return tensor.zeros_after if tensor.zeros_after is not None else tensor.zeros_before or 0
