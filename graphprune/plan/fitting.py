"""Which tensors of claimed layers their rules prune, and where a pattern does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graphprune.errors import Diagnostic
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.rules.rule_set import Claim, Prune, Rule
from graphprune.rules.weight_names import is_named
from graphprune.sparsity.fit import Misfit, find_misfit, group_lengths, is_exact
from graphprune.sparsity.patterns import Pattern
from graphprune.sparsity.pruning import Pruning


@dataclass(frozen=True, slots=True)
class Fitted:
    """A layer that a rule prunes.

    Attributes:
        layer: The layer.
        action: What the rule asks for.
        tensors: The tensors that are pruned, in the layer's order.
        skipped: (tensor name, reason) of those that the pattern does not fit and the rule skips.
        pads: Whether a short last group or block is pruned like a whole one; False where there is none.
    """

    layer: Layer
    action: Prune
    tensors: tuple[Tensor, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    pads: bool = False


def fit_claims(graph: LayerGraph, claims: Iterable[Claim]) -> tuple[dict[str, Fitted], list[Diagnostic]]:
    """Return what is pruned of each layer that a rule prunes, by address, and an error for each tensor that a pattern does not fit."""
    fitted: dict[str, Fitted] = {}
    faults: list[Diagnostic] = []
    for claim in claims:
        if claim.rule is not None and isinstance(claim.rule.action, Prune):
            layer = graph.layers[claim.address]
            fitted[claim.address] = _fit(layer, claim.rule.action)
            faults += _faults(layer, claim.rule, claim.rule.action)
    return fitted, faults


def unknown_zeros(layer: Layer, pruning: Pruning) -> tuple[str, ...]:
    """Return the dotted fields of a plan whose zeros are only the fewest: of blocks that are short at an edge, the weights decide which are zeroed."""
    pruned = [tensor for tensor in layer.prunable if tensor.name in pruning.weights]
    return tuple(f"tensors.{tensor.name}.zeros_after" for tensor in pruned if not is_exact(pruning.pattern, tensor.shape, tensor.axes))


def _fit(layer: Layer, action: Prune) -> Fitted:
    pads = action.misfit == "pad"
    misfits = {tensor.name: find_misfit(action.pattern, tensor.shape, tensor.axes, pads=pads) for tensor in _chosen(layer, action)}
    return Fitted(
        layer,
        action,
        tuple(tensor for tensor in _chosen(layer, action) if misfits[tensor.name] is None),
        tuple((name, misfit.reason) for name, misfit in misfits.items() if misfit is not None),
        pads and any(find_misfit(action.pattern, tensor.shape, tensor.axes) is not None for tensor in _chosen(layer, action)),
    )


def _chosen(layer: Layer, action: Prune) -> list[Tensor]:
    return [tensor for tensor in layer.prunable if action.weights is None or is_named(tensor.name, action.weights)]


def _faults(layer: Layer, rule: Rule, action: Prune) -> Iterator[Diagnostic]:
    if action.misfit == "skip":
        return
    for tensor in _chosen(layer, action):
        misfit = find_misfit(action.pattern, tensor.shape, tensor.axes, pads=action.misfit == "pad")
        if misfit is not None:
            message = f"{_short(action.pattern)!r} does not fit {tensor.label()} of {layer.address!r} ({misfit.reason})"
            yield Diagnostic(misfit.slug, message, action.pattern_where or rule.where, _help(misfit, action.pattern, tensor))


def _short(pattern: Pattern) -> str:
    """Return the pattern without the remark in brackets."""
    return str(pattern).partition(" (")[0]


def _help(misfit: Misfit, pattern: Pattern, tensor: Tensor) -> str:
    if misfit.slug == "pattern/rank":
        return "narrow the match to layers that have the axis, or 'misfit: skip'"
    lengths = dict(zip(tensor.axes, tensor.shape, strict=True))
    uneven = {axis: length for axis, length in group_lengths(pattern).items() if lengths[axis] % length}
    tests = ", ".join(f"{axis}: {{multiple_of: {length}}}" for axis, length in uneven.items())
    narrower = f"add 'weight: {{{tests}}}' to the match" if uneven.keys() <= {"in", "out"} else "narrow the match"
    return f"{narrower}, or 'misfit: skip' / 'misfit: pad'"
