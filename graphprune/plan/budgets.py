"""Distribute budgets over tensors, and report budgets that cannot be met."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer, Tensor
from graphprune.plan.changes import BudgetChange, DenseTensor
from graphprune.plan.fitting import Fitted
from graphprune.plan.weight_hashes import ReadWeight, hash_each
from graphprune.rules.values.rule_set import Budget
from graphprune.sparsity.budgets import (
    Allocation,
    InfeasibleBudgetError,
    Member,
    allocate_by_magnitude,
    allocate_by_size,
    allocate_by_threshold,
    allocate_by_zeros,
    allocate_erk,
    allocate_fewest,
)
from graphprune.sparsity.counts import kept_count, zero_count
from graphprune.sparsity.patterns import target_zeros

TensorKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Allocated:
    """All budgets of a plan.

    Attributes:
        shares: The share of zeros of each tensor of a budget, by (address, tensor name); 0 leaves
            it dense.
        groups: The share of each group of channels of a budget, by its name.
        budgets: The result of each budget, by name.
        weight_hashes: (address, sha256) of the layers whose weights were read, in graph order.
        faults: What cannot be met.
    """

    shares: Mapping[TensorKey, float] = field(default_factory=dict)
    budgets: tuple[BudgetChange, ...] = ()
    weight_hashes: tuple[tuple[str, str], ...] = ()
    faults: tuple[Diagnostic, ...] = ()
    groups: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Part:
    """One tensor of a budget."""

    layer: Layer
    tensor: Tensor
    fitted: Fitted

    @property
    def key(self) -> TensorKey:
        return self.layer.address, self.tensor.name

    def zeros_at(self, share: float) -> int:
        """Return the number of zeros for a share in the layer's pattern."""
        return target_zeros(
            self.fitted.action.pattern,
            self.tensor.shape,
            self.tensor.axes,
            share,
            pads=self.fitted.pads,
        )


def allocate_budgets(
    graph: LayerGraph, fitted: Mapping[str, Fitted], read_weight: ReadWeight | None
) -> Allocated:
    """Return the share of each tensor of each budget.

    A budget over `prunable` counts the zeros of all other rules, so it is allocated last.

    Args:
        graph: The model.
        fitted: What rules prune, by address, in graph order.
        read_weight: Returns a tensor; budgets by magnitude need it, unless the model is wrapped by
            the same budget already.
    """
    parts: dict[Budget, list[_Part]] = {}
    for found in fitted.values():
        if found.action.budget is not None and found.action.group == "none":
            parts.setdefault(found.action.budget, []).extend(
                _Part(found.layer, tensor, found) for tensor in found.tensors
            )
    if not parts:
        return Allocated()
    order = sorted(parts, key=lambda budget: (budget.over == "prunable", budget.name))
    shared = [budget for budget in order if budget.over == "prunable"]
    if len(shared) > 1:
        return Allocated(
            faults=tuple(_second_over_prunable(shared[0], budget) for budget in shared[1:])
        )
    return _allocate(graph, parts, order, _fixed_zeros(fitted.values()), read_weight)


def _allocate(
    graph: LayerGraph,
    parts: Mapping[Budget, Sequence[_Part]],
    order: Iterable[Budget],
    zeros: dict[TensorKey, int],
    read_weight: ReadWeight | None,
) -> Allocated:
    """Return the shares of all budgets, one after the other; `zeros` are those of other rules."""
    shares: dict[TensorKey, float] = {}
    changes: list[BudgetChange] = []
    faults: list[Diagnostic] = []
    hashes: dict[str, str] = {}
    for budget in order:
        elsewhere = _counted_zeros(graph, budget, zeros) if budget.over == "prunable" else 0
        solved = _solve(graph, budget, parts[budget], elsewhere, read_weight)
        if isinstance(solved, Diagnostic):
            faults.append(solved)
            continue
        shares |= solved.shares
        hashes |= solved.hashes
        zeros |= {
            part.key: part.zeros_at(solved.shares[part.key])
            for part in parts[budget]
            if solved.shares[part.key]
        }
        changes.append(_change(graph, budget, parts[budget], solved, zeros))
    listed = tuple((address, hashes[address]) for address in graph.layers if address in hashes)
    return Allocated(
        shares, tuple(sorted(changes, key=lambda change: change.name)), listed, tuple(faults)
    )


@dataclass(frozen=True, slots=True)
class _Weights:
    """The tensors of a budget, read again in each iteration; one is in memory at a time."""

    keys: tuple[TensorKey, ...]
    read_weight: ReadWeight

    def __iter__(self) -> Iterator[Any]:
        return (self.read_weight(*key) for key in self.keys)


@dataclass(frozen=True, slots=True)
class _Solved:
    shares: Mapping[TensorKey, float]
    allocation: Allocation | None
    hashes: Mapping[str, str] = field(default_factory=dict)


def _solve(
    graph: LayerGraph,
    budget: Budget,
    parts: Sequence[_Part],
    elsewhere: int,
    read_weight: ReadWeight | None,
) -> _Solved | Diagnostic:
    """Return the shares of one budget; `elsewhere` is what it counts of other rules' zeros."""
    whole = _whole(graph, budget, parts)
    wanted = zero_count(whole, budget.sparsity) - elsewhere if whole else 0
    members = [_member(part.tensor.size, budget) for part in parts]
    units = [_unit(budget, part.tensor) for part in parts]
    try:
        if budget.allocate in ("uniform", "erk"):
            shapes = [part.tensor.shape for part in parts]

            def allocate(kept: int) -> Allocation:
                if budget.allocate == "erk":
                    return allocate_erk(members, shapes, kept)
                return allocate_by_size(members, kept)

            allocation = allocate_fewest(members, units, wanted, allocate)
            return _Solved(_shares(parts, allocation), allocation)
        stored = _stored_shares(budget, parts, wanted)
        if stored is not None:
            return _Solved(stored, None)
        if read_weight is None:
            return no_weights(budget)
        weights = _Weights(tuple(part.key for part in parts), read_weight)
        if budget.allocate == "keep":
            empty = [
                key for key, values in zip(weights.keys, weights, strict=True) if not values.any()
            ]
            if empty:
                return _all_zeros(budget, *empty[0])
            allocation = allocate_by_zeros(weights)
        elif budget.threshold is not None:
            allocation = allocate_by_threshold(weights, budget.threshold)
        else:
            allocation = allocate_fewest(
                members, units, wanted, partial(allocate_by_magnitude, members, weights)
            )
    except InfeasibleBudgetError:
        pairs = [*zip(members, units, strict=True)]
        least = elsewhere + sum((one.size - one.most) * unit for one, unit in pairs)
        most = elsewhere + sum((one.size - one.least) * unit for one, unit in pairs)
        return _infeasible(budget, whole, least, most)
    layers = {part.layer.address: part.layer for part in parts}.values()
    return _Solved(_shares(parts, allocation), allocation, dict(hash_each(layers, read_weight)))


def _unit(budget: Budget, tensor: Tensor) -> int:
    """Return what one weight of a tensor counts in a budget."""
    return tensor.bytes // max(1, tensor.size) if budget.of == "bytes" else 1


def _whole(graph: LayerGraph, budget: Budget, parts: Iterable[_Part]) -> int:
    """Return what the share of a budget refers to."""
    tensors = (part.tensor for part in parts)
    if budget.over == "prunable":
        tensors = (tensor for layer in graph.candidates() for tensor in layer.prunable)
    return sum(tensor.size * _unit(budget, tensor) for tensor in tensors)


def _counted_zeros(graph: LayerGraph, budget: Budget, zeros: Mapping[TensorKey, int]) -> int:
    """Return what zeros count in a budget."""
    return sum(
        count * _unit(budget, tensor)
        for (address, name), count in zeros.items()
        for tensor in graph.layers[address].tensors
        if tensor.name == name
    )


def no_weights(budget: Budget) -> Diagnostic:
    """Return the error for a budget that needs weights where there are none."""
    needs = f"budget {budget.name!r} is allocated by magnitude"
    if budget.threshold is not None:
        needs = "a threshold compares magnitudes"
    if budget.allocate == "keep":
        needs = "method: keep counts zeros"
    message = f"{needs}, but the weights of the model are not available"
    return Diagnostic(
        "budget/no-weights",
        message,
        budget.where,
        "plan from the saved model, or give make_plan 'read_weight'",
    )


def _all_zeros(budget: Budget, address: str, tensor: str) -> Diagnostic:
    return Diagnostic(
        "budget/infeasible",
        f"{address} {tensor} holds zeros alone, so with 'method: keep' nothing of it is trained",
        budget.where,
        "leave the layer out of the rule, or freeze it",
    )


def _member(size: int, budget: Budget) -> Member:
    least = 1 if budget.maximum is None else kept_count(size, budget.maximum)
    return Member(size, least, size if budget.minimum is None else kept_count(size, budget.minimum))


def _shares(parts: Sequence[_Part], allocation: Allocation) -> dict[TensorKey, float]:
    """Return the share of zeros of each tensor.

    It is 0 also where the share is so small that the pattern makes no zeros.
    """
    shares = {
        part.key: (part.tensor.size - kept) / part.tensor.size
        for part, kept in zip(parts, allocation.kept, strict=True)
    }
    return {
        part.key: shares[part.key] if part.zeros_at(shares[part.key]) else 0.0 for part in parts
    }


def _stored_shares(
    budget: Budget, parts: Sequence[_Part], wanted: int
) -> dict[TensorKey, float] | None:
    """Return the shares in the model's wrappers if this budget set them and they still meet it.

    Magnitudes change during training, so allocating again would move the targets of a model that
    followed its plan.
    """
    shares: dict[TensorKey, float] = {}
    for part in parts:
        wrap = part.layer.wrap
        pruning = None if wrap is None else wrap.pruning
        if wrap is not None and (
            pruning is None or pruning.shares is None or wrap.provenance.budget != str(budget)
        ):
            return None
        shares[part.key] = (
            pruning.share_of(part.tensor.name)
            if pruning is not None and part.tensor.name in pruning.weights
            else 0.0
        )
    asked = sum(
        zero_count(part.tensor.size, shares[part.key]) * _unit(budget, part.tensor)
        for part in parts
    )
    is_met = asked == wanted if budget.of == "weights" else asked >= wanted
    is_same = is_met or budget.threshold is not None
    return shares if is_same and any(shares.values()) else None


def _fixed_zeros(fitted: Iterable[Fitted]) -> dict[TensorKey, int]:
    """Return the zeros of each tensor that is pruned without a budget."""
    parts = [
        _Part(found.layer, tensor, found)
        for found in fitted
        if found.action.budget is None
        for tensor in found.tensors
    ]
    return {part.key: part.zeros_at(part.fitted.action.sparsity) for part in parts}


def _change(
    graph: LayerGraph,
    budget: Budget,
    parts: Sequence[_Part],
    solved: _Solved,
    zeros: Mapping[TensorKey, int],
) -> BudgetChange:
    wanted = solved.allocation.wanted if solved.allocation is not None else ()
    wishes = dict(zip((part.key for part in parts), wanted or (None,) * len(parts), strict=True))
    weights = _whole(graph, budget, parts)
    own = {part.key: zeros.get(part.key, 0) for part in parts}
    reached = _counted_zeros(graph, budget, zeros if budget.over == "prunable" else own)
    return BudgetChange(
        name=budget.name,
        allocate=budget.allocate,
        over=budget.over,
        sparsity=(
            budget.sparsity if budget.threshold is None else round(reached / max(1, weights), 6)
        ),
        minimum=budget.minimum,
        maximum=budget.maximum,
        weights=weights,
        zeros=reached,
        scale=None if solved.allocation is None else solved.allocation.scale,
        dense=tuple(
            DenseTensor(*part.key, part.tensor.size, wishes[part.key])
            for part in parts
            if not solved.shares[part.key]
        ),
        counts="bytes" if budget.of == "bytes" else "weights",
    )


def _infeasible(budget: Budget, whole: int, least: int, most: int) -> Diagnostic:
    """Return the error for a budget that can reach only `least` to `most` of `whole` zeros."""
    low, high = math.ceil(1e4 * max(0, least) / whole) / 100, math.floor(1e4 * most / whole) / 100
    message = (
        f"budget {budget.name!r} ({budget}) cannot be met: its tensors can reach {low:g}% to"
        f" {high:g}% of {whole:,} {budget.of}"
    )
    return Diagnostic(
        "budget/infeasible",
        message,
        budget.where,
        "change its sparsity, 'min' or 'max', or use it in more rules",
    )


def _second_over_prunable(first: Budget, second: Budget) -> Diagnostic:
    message = (
        f"budgets {first.name!r} and {second.name!r} are both over prunable, so each counts the"
        " zeros of the other"
    )
    return Diagnostic(
        "budget/infeasible", message, second.where, "write 'over: claimed' in one of them"
    )
