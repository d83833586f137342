"""Budgets over groups of channels: how many channels each group loses.

Channels are compared over all groups of a budget. A group's scores (DepGraph, see
`graphprune.sparsity.channel_groups.Coupling`) are divided by their mean, as Torch-Pruning does for
pruning over a whole model, because groups of more or larger tensors have larger sums. ERK keeps
of a group's channels the share that it keeps of the weights which make them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from graphprune.diagnostics.diagnostic import Diagnostic
from graphprune.graph.layer_graph import LayerGraph
from graphprune.plan.budgets import Allocated, TensorKey, no_weights
from graphprune.plan.changes import BudgetChange, DenseTensor
from graphprune.plan.channels import Channels
from graphprune.plan.decision import pruning_for
from graphprune.plan.fitting import Fitted
from graphprune.plan.outlook import find_outlook
from graphprune.plan.weight_hashes import ReadWeight, hash_each
from graphprune.rules.values.rule_set import Budget
from graphprune.shrink.summary import ShrinkSummary
from graphprune.sparsity.channel_groups import Coupling
from graphprune.sparsity.counts import kept_count, zero_count

_NO_COUNT = "the multiply-adds of the model are not known"


@dataclass(frozen=True, slots=True)
class _Group:
    """A group of channels of a budget.

    Attributes:
        name: Its name.
        lead: The layer and the tensor that lead it.
        members: The layers and how a tensor of each takes part.
        stays: Whether its channels cannot be removed from the model.
    """

    name: str
    lead: TensorKey
    members: tuple[tuple[str, Coupling], ...]
    stays: bool

    @property
    def channels(self) -> int:
        return self.members[0][1].channels

    def scores(self, read_weight: ReadWeight) -> NDArray[np.float64]:
        """Return the score of each channel, as a multiple of the mean."""
        total = np.zeros(self.channels)
        for address, coupling in self.members:
            if coupling.score != "none":
                total[coupling.own] += coupling.scores(read_weight(address, coupling.weight))
        mean = total.mean()
        return total / mean if mean > 0 else total

    def erk(self, graph: LayerGraph) -> float:
        """Return what the share of channels that stay is proportional to by ERK.

        It is the sum of the axes of a tensor divided by their product, as for single weights (Evci
        et al., 2020, arXiv:1911.11134, section 3); of several tensors the mean by weights.
        """
        wished, whole = 0.0, 0.0
        for address, coupling in self.members:
            tensors = {tensor.name: tensor for tensor in graph.layers[address].prunable}
            tensor = tensors.get(coupling.weight)
            if tensor is not None and coupling.score != "none":
                part = coupling.count * coupling.repeat / tensor.shape[coupling.axis]
                wished, whole = wished + part * sum(tensor.shape), whole + part * tensor.size
        return wished / whole


def allocate_groups(
    graph: LayerGraph,
    fitted: Mapping[str, Fitted],
    channels: Channels,
    read_weight: ReadWeight | None,
) -> Allocated:
    """Return the share of channels that each group of each budget loses.

    Args:
        graph: The model.
        fitted: What rules prune, by address, in graph order.
        channels: Which tensors lose channels together.
        read_weight: Returns a tensor; budgets by magnitude need it, unless the model is wrapped by
            the same budget already.
    """
    budgets: dict[Budget, list[_Group]] = {}
    for found in fitted.values():
        if found.action.budget is not None and found.action.group == "auto":
            budgets.setdefault(found.action.budget, [])
    for group in _list_groups(channels):
        budget = fitted[group.lead[0]].action.budget
        if budget in budgets:
            budgets[budget].append(group)
    whole = Allocated()
    for budget, groups in budgets.items():
        solver = _Solver(graph, fitted, channels, budget, groups, whole.groups)
        whole = merge_allocated(whole, solver.solve(read_weight))
    return whole


def merge_allocated(left: Allocated, right: Allocated) -> Allocated:
    """Return what both allocated, budgets by name."""
    return Allocated(
        {**left.shares, **right.shares},
        tuple(sorted((*left.budgets, *right.budgets), key=lambda change: change.name)),
        tuple(dict((*left.weight_hashes, *right.weight_hashes)).items()),
        (*left.faults, *right.faults),
        {**left.groups, **right.groups},
    )


def _list_groups(channels: Channels) -> Iterator[_Group]:
    """Yield the groups with all their members, in the order of their leaders."""
    members: dict[str, list[tuple[str, Coupling]]] = {}
    leads: dict[str, TensorKey] = {}
    for address, layer in channels.layers.items():
        leads |= layer.leads
        for coupling in layer.couplings:
            members.setdefault(coupling.group, []).append((address, coupling))
    for name, found in members.items():
        yield _Group(name, leads[name], tuple(found), name in channels.staying)


@dataclass(frozen=True)
class _Solver:
    """One budget.

    Attributes:
        graph, fitted, channels: As `allocate_groups` takes them.
        budget: The budget.
        groups: Its groups.
        others: The shares of groups of other budgets.
    """

    graph: LayerGraph
    fitted: Mapping[str, Fitted]
    channels: Channels
    budget: Budget
    groups: Sequence[_Group]
    others: Mapping[str, float] = field(default_factory=dict)

    def solve(self, read_weight: ReadWeight | None) -> Allocated:
        """Return the shares of the groups, or a fault."""
        alone = self._ungrouped()
        if alone:
            return Allocated(faults=(self._fault_of_ungrouped(alone),))
        stored = self._stored()
        if stored is not None:
            return self._allocated(stored, None)
        if self.budget.allocate == "magnitude" and read_weight is None:
            return Allocated(faults=(no_weights(self.budget),))
        order = self._order(read_weight)
        least = sum(1 for first, *_ in order if first == 0)
        count = self._count(order, least)
        if isinstance(count, Diagnostic):
            return Allocated(faults=(count,))
        counts = self._counts(order, count)
        found = self._allocated(counts, self._scale(order, count))
        if self.budget.allocate != "magnitude" or read_weight is None:
            return found
        read = {address for group in self.counted for address, _ in group.members}
        layers = [layer for address, layer in self.graph.layers.items() if address in read]
        hashes = hash_each([layer for layer in layers if layer.prunable], read_weight)
        return replace(found, weight_hashes=tuple(hashes))

    @cached_property
    def counted(self) -> list[_Group]:
        """The groups that lose channels; those that shrink cannot remove count for zeros alone."""
        return [group for group in self.groups if self.budget.of == "weights" or not group.stays]

    def _ungrouped(self) -> list[str]:
        """Return the layers of the budget with tensors in no group."""
        grouped = {(address, one.weight) for group in self.groups for address, one in group.members}
        return [
            address
            for address, found in self.fitted.items()
            if found.action.budget == self.budget
            and any((address, tensor.name) not in grouped for tensor in found.tensors)
        ]

    def _fault_of_ungrouped(self, addresses: Sequence[str]) -> Diagnostic:
        return Diagnostic(
            "budget/infeasible",
            f"budget {self.budget.name!r} is over groups of channels, and those of layer"
            f" {addresses[0]!r} are not known",
            self.budget.where,
            "leave the layer out of the rule, or give it a rule with a 'sparsity'",
        )

    def _order(self, read_weight: ReadWeight | None) -> list[tuple[int, float, int, int]]:
        """Return the channels in the order in which they go.

        Each is (0 if `min` asks for it else 1, what is compared, group, how many went before).
        """
        entries = []
        for place, group in enumerate(self.counted):
            size = group.channels
            least, most = self._bounds(size)
            if self.budget.allocate == "magnitude":
                assert read_weight is not None
                compared = np.sort(group.scores(read_weight), kind="stable")
            elif self.budget.allocate == "erk":  # `eps` at which only so many channels stay
                compared = -np.arange(size - 1, -1, -1) / (size * group.erk(self.graph))
            else:
                compared = np.arange(1, size + 1) / size
            entries += [
                (int(index >= least), float(compared[index]), place, index) for index in range(most)
            ]
        return sorted(entries)

    def _scale(self, order: Sequence[tuple[int, float, int, int]], count: int) -> float | None:
        """Return the threshold of scores, or `eps` of ERK, by which the first `count` go."""
        if self.budget.allocate == "magnitude":
            return order[count][1] if count < len(order) else None
        is_free = self.budget.allocate == "erk" and count > 0 and order[count - 1][0] > 0
        return -order[count - 1][1] if is_free else None

    @cached_property
    def _whole(self) -> int:
        """How many channels the budget is a share of."""
        if self.budget.over == "prunable":
            return self.channels.made
        return sum(group.channels for group in self.groups)

    def _bounds(self, size: int) -> tuple[int, int]:
        """Return how many channels of a group go at least and at most."""
        least, most = (
            default if share is None else size - kept_count(size, share)
            for share, default in ((self.budget.minimum, 0), (self.budget.maximum, size - 1))
        )
        return least, most

    def _count(self, order: Sequence[tuple[int, float, int, int]], least: int) -> int | Diagnostic:
        """Return how many channels go."""
        if self.budget.of == "weights":
            wanted = zero_count(self._whole, self.budget.sparsity) if self._whole else 0
            if least <= wanted <= len(order):
                return wanted
            return self._infeasible(least, len(order), self._whole)
        before, most = self._cost({}), self._cost(self._counts(order, len(order)))
        if before is None or most is None:
            return Diagnostic(
                "budget/infeasible",
                f"budget {self.budget.name!r} ({self.budget}): {_NO_COUNT}",
                self.budget.where,
                "use 'of: params', or 'of: weights'",
            )
        wanted = before - zero_count(before, self.budget.sparsity)
        fewest = self._cost(self._counts(order, least))
        if most > wanted or (least and fewest is not None and fewest < wanted):
            return self._infeasible(before - (fewest or before), before - most, before)
        low, high = least, len(order)
        while low < high:
            middle = (low + high) // 2
            cost = self._cost(self._counts(order, middle))
            low, high = (low, middle) if cost is not None and cost <= wanted else (middle + 1, high)
        return low

    def _infeasible(self, least: int, most: int, whole: int) -> Diagnostic:
        low, high = (
            end(1e4 * count / max(1, whole)) / 100 for end, count in ((ceil, least), (floor, most))
        )
        message = (
            f"budget {self.budget.name!r} ({self.budget}) cannot be met: its groups of channels"
            f" can reach {low:g}% to {high:g}%"
        )
        help = "change its sparsity, 'min' or 'max', or use it in more rules"
        return Diagnostic("budget/infeasible", message, self.budget.where, help)

    def _counts(self, order: Sequence[tuple[int, float, int, int]], count: int) -> dict[str, float]:
        """Return the share of each group when the first `count` channels go."""
        gone = [0] * len(self.counted)
        for _, _, place, _ in order[:count]:
            gone[place] += 1
        return {
            group.name: went / group.channels
            for group, went in zip(self.counted, gone, strict=True)
        }

    def _cost(self, shares: Mapping[str, float]) -> int | None:
        """Return the parameters, bytes or multiply-adds that `shrink` leaves; None if not known."""
        half = {group.name: 0.5 for group in self.groups}
        summary = self._outlook(shares) or self._outlook(half)
        if summary is None:
            return None
        cost = summary.after if any(shares.values()) else summary.before
        found = {"params": cost.parameters, "bytes": cost.bytes, "macs": cost.multiply_adds}
        return found[self.budget.of]

    def _outlook(self, shares: Mapping[str, float]) -> ShrinkSummary | None:
        groups = {**self.others, **{group.name: 0.0 for group in self.groups}, **shares}
        tensors = self._tensor_shares(groups)
        found = {
            address: pruning
            for address in self.graph.layers
            if address in self.fitted or address in self.channels.layers
            for pruning in [
                pruning_for(
                    self.fitted.get(address), tensors, self.channels.layers.get(address), groups
                )
            ]
            if pruning is not None
        }
        return find_outlook(self.graph, found)

    def _tensor_shares(self, groups: Mapping[str, float]) -> dict[TensorKey, float]:
        """Return the smallest share of the groups of each tensor; 0 for one in none that counts."""
        shares: dict[TensorKey, float] = {}
        for group in self.groups:
            for address, coupling in group.members:
                key, share = (address, coupling.weight), groups.get(group.name, 0.0)
                shares[key] = min(shares.get(key, share), share)
        return shares

    def _stored(self) -> dict[str, float] | None:
        """Return the shares in the model's wrappers if this budget set them.

        Magnitudes change during training, so allocating again would move the targets of a model
        that followed its plan.
        """
        shares: dict[str, float] = {}
        for group in self.groups:
            address, weight = group.lead
            wrap = self.graph.layers[address].wrap
            pruning = None if wrap is None else wrap.pruning
            if wrap is None or pruning is None:
                continue
            if wrap.provenance.budget != str(self.budget):
                return None
            for coupling in pruning.couplings_of(weight):
                if coupling.group == group.name and coupling.channels == group.channels:
                    shares[group.name] = pruning.share_in(coupling)
        return (
            {group.name: shares.get(group.name, 0.0) for group in self.groups} if shares else None
        )

    def _allocated(self, shares: Mapping[str, float], scale: float | None) -> Allocated:
        groups = {group.name: shares.get(group.name, 0.0) for group in self.groups}
        tensors = self._tensor_shares(groups)
        return Allocated(tensors, (self._change(groups, scale),), groups=groups)

    def _change(self, groups: Mapping[str, float], scale: float | None) -> BudgetChange:
        budget, counts = self.budget, "channels" if self.budget.of == "weights" else self.budget.of
        whole = self._whole
        gone = sum(zero_count(group.channels, groups[group.name]) for group in self.groups)
        if budget.of != "weights":
            whole, left = self._cost({}) or 0, self._cost(groups) or 0
            gone = whole - left
        return BudgetChange(
            name=budget.name,
            allocate=budget.allocate,
            over=budget.over,
            sparsity=budget.sparsity,
            minimum=budget.minimum,
            maximum=budget.maximum,
            weights=whole,
            zeros=gone,
            scale=scale,
            dense=tuple(self._dense(groups)),
            counts=counts,
        )

    def _dense(self, groups: Mapping[str, float]) -> Iterable[DenseTensor]:
        """Yield the leading tensors of which no group loses channels."""
        shares: dict[TensorKey, float] = {}
        for group in self.groups:
            shares[group.lead] = max(shares.get(group.lead, 0.0), groups[group.name])
        for (address, weight), share in shares.items():
            if not share:
                tensors = self.graph.layers[address].tensors
                size = next(tensor.size for tensor in tensors if tensor.name == weight)
                yield DenseTensor(address, weight, size)
