"""Which tensors of claimed layers their rules prune, and where a pattern does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphprune.diagnostics.diagnostic import Diagnostic, Where
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.rules.values.rule_set import Claim, Prune, Rule
from graphprune.sparsity.patterns import Misfit, Pattern, find_misfit
from graphprune.sparsity.pruning import Pruning
from graphprune.suggestions import closest

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Fitted:
    """A layer that a rule prunes.

    Attributes:
        layer: The layer.
        action: What the rule asks for.
        tensors: The tensors that are pruned, in the layer's order.
        skipped: (tensor name, reason) of those that the pattern does not fit and the rule skips.
        pads: Whether a short last group or block is pruned like a whole one; False where there is
            none.
    """

    layer: Layer
    action: Prune
    tensors: tuple[Tensor, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    pads: bool = False


def fit_claims(
    graph: LayerGraph, claims: Iterable[Claim]
) -> tuple[dict[str, Fitted], list[Diagnostic]]:
    """Return what each claimed layer prunes, by address, and errors for patterns that do not fit.

    There is one error for each tensor, or one for many tensors.
    """
    fitted: dict[str, Fitted] = {}
    misfits: dict[tuple[str, str], list[_Misfitting]] = {}
    for claim in claims:
        rule = claim.rule
        if rule is not None and isinstance(rule.action, Prune):
            layer = graph.layers[claim.address]
            unfit = _find_misfits(layer, rule.action)
            fitted[claim.address] = _fit(layer, rule.action, unfit)
            if rule.action.misfit != "skip":
                for found in _misfitting(layer, rule, rule.action, unfit):
                    misfits.setdefault((rule.id, found.misfit.slug), []).append(found)
    axes = frozenset(
        axis for layer in graph.candidates() for tensor in layer.prunable for axis in tensor.axes
    )
    return fitted, [fault for found in misfits.values() for fault in _faults(found, axes)]


@dataclass(frozen=True, slots=True)
class _Misfitting:
    """A tensor that the pattern of its layer's rule does not fit."""

    address: str
    tensor: Tensor
    misfit: Misfit
    rule: Rule
    pattern: Pattern
    where: Where

    def __str__(self) -> str:
        return f"{self.tensor.label()} of {self.address!r} ({self.misfit.reason})"


def unknown_zeros(layer: Layer, pruning: Pruning) -> tuple[str, ...]:
    """Return the dotted fields of a plan whose zeros are only a lower bound.

    Where blocks are short at an edge, or a tensor has only some channels of a group, the weights
    decide.
    """
    pruned = [tensor for tensor in layer.tensors if tensor.name in pruning.weights]
    return tuple(
        f"tensors.{tensor.name}.zeros_after"
        for tensor in pruned
        if not pruning.is_exact(tensor.name, tensor.shape)
    )


def _find_misfits(layer: Layer, action: Prune) -> dict[str, Misfit | None]:
    """Return, for each tensor that the rule asks for, why its pattern does not fit, or None."""
    return {
        tensor.name: find_misfit(
            action.pattern, tensor.shape, tensor.axes, pads=action.misfit == "pad"
        )
        for tensor in action.tensors_of(layer)
    }


def _fit(layer: Layer, action: Prune, unfit: Mapping[str, Misfit | None]) -> Fitted:
    chosen = [tensor for tensor in layer.prunable if tensor.name in unfit]
    return Fitted(
        layer,
        action,
        tuple(tensor for tensor in chosen if unfit[tensor.name] is None),
        tuple((name, misfit.reason) for name, misfit in unfit.items() if misfit is not None),
        action.misfit == "pad"
        and any(
            find_misfit(action.pattern, tensor.shape, tensor.axes) is not None for tensor in chosen
        ),
    )


def _misfitting(
    layer: Layer, rule: Rule, action: Prune, unfit: Mapping[str, Misfit | None]
) -> Iterator[_Misfitting]:
    for tensor in layer.prunable:
        misfit = unfit.get(tensor.name)
        if misfit is not None:
            yield _Misfitting(
                layer.address,
                tensor,
                misfit,
                rule,
                action.pattern,
                action.pattern_where or rule.where,
            )


def _faults(found: Sequence[_Misfitting], axes: frozenset[str]) -> Iterator[Diagnostic]:
    """Yield the errors of one rule with one slug; `axes` are those of all prunable tensors."""
    is_slip = any(axis not in axes for axis in found[0].pattern.lengths())
    groups = [found] if is_slip or len(found) > SHOWN else [[one] for one in found]
    for group in groups:
        names = ", ".join(map(str, group[:SHOWN]))
        more = f" and {len(group) - SHOWN} more" if len(group) > SHOWN else ""
        which = f"{len(group)} tensors: {names}{more}" if len(group) > 1 else names
        first = group[0]
        yield Diagnostic(
            first.misfit.slug,
            f"{first.pattern.short!r} does not fit {which}",
            first.where,
            _help(group, axes),
        )


def _help(group: Sequence[_Misfitting], axes: frozenset[str]) -> str:
    lengths = group[0].pattern.lengths()
    if group[0].misfit.slug == "pattern/rank":
        unknown = next((axis for axis in lengths if axis not in axes), None)
        near = "" if unknown is None else closest(unknown, axes)
        return near or "narrow the match to layers that have the axis, or 'misfit: skip'"
    uneven = {
        axis: length
        for axis, length in lengths.items()
        if any(_length(one.tensor, axis) % length for one in group)
    }
    tests = ", ".join(f"{axis}: {{multiple_of: {length}}}" for axis, length in uneven.items())
    narrower = (
        f"add 'weight: {{{tests}}}' to the match"
        if uneven.keys() <= {"in", "out"}
        else "narrow the match"
    )
    return f"{narrower}, or 'misfit: skip' / 'misfit: pad'"


def _length(tensor: Tensor, axis: str) -> int:
    return tensor.shape[tensor.axes.index(axis)]
