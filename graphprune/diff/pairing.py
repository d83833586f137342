"""Match the layers of two models."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from graphprune.diff.alignment import Places, align, fill_gaps, is_default_name
from graphprune.diff.changes import Evidence
from graphprune.diff.structure import (
    Neighbours,
    collect_neighbours,
    hash_layers,
    hash_positions,
    refine_labels,
)
from graphprune.diff.weights import Weights, hash_weights
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import Layer

_Member = TypeVar("_Member")

ROUNDS = 3
"""The radius of a layer's neighbourhood if the two models do not have the same structure."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The addresses of one layer on both sides, and the evidence that it is the same layer."""

    left: str
    right: str
    paired_by: Evidence


def pair_layers(
    left: LayerGraph,
    right: LayerGraph,
    *,
    left_weights: Weights | None = None,
    right_weights: Weights | None = None,
) -> tuple[Pair, ...]:
    """Return which layers of two models correspond, in the order of `right`; each is in one pair.

    First by address, where the type is the same too. Default names (`dense_7`) are numbered, so one
    layer more shifts those behind it: where they do not name the same layers on both sides, they
    are paired by their order. What is left over is paired where type,
    settings, shapes and weights are equal and no other layer is like it; then where type, settings
    and shapes are equal and the neighbourhood is, in topological order where several are alike.

    Where two models are alike as a whole but for their names, a default name pairs only layers that
    stand in the same position, or have weights that no other layer has: default names are numbered
    through a process, so `dense_3` may be the third layer here and the first one there. Swapping
    the two models gives the same pairs.
    """
    if left.sha256 == right.sha256:
        return tuple(Pair(address, address, "address") for address in right.layers)
    if left.sha256 > right.sha256:
        swapped = pair_layers(right, left, left_weights=right_weights, right_weights=left_weights)
        found = {pair.left: Pair(pair.right, pair.left, pair.paired_by) for pair in swapped}
        return tuple(found[address] for address in right.layers if address in found)
    matching = _Matching(left, right)
    matching.pair_default_names(left_weights, right_weights)
    matching.pair_addresses(left_weights, right_weights)
    if left_weights is not None and right_weights is not None:
        matching.pair_weights(left_weights, right_weights)
    matching.pair_structure()
    return matching.pairs()


class _Matching:
    """Pairs found so far, and the facts that later ones are found with."""

    def __init__(self, left: LayerGraph, right: LayerGraph) -> None:
        self._left, self._right = left, right
        self._found: dict[str, Pair] = {}
        """By right address."""
        self._taken: dict[str, str] = {}
        """Right address by left address."""
        self._left_kinds = hash_layers(left)
        self._right_kinds = hash_layers(right)
        self._left_places = hash_positions(left, self._left_kinds)
        self._right_places = hash_positions(right, self._right_kinds)
        self._alike = sorted(self._left_places.values()) == sorted(self._right_places.values())

    def pairs(self) -> tuple[Pair, ...]:
        """Return what was found, in the order of the right side."""
        return tuple(
            self._found[address] for address in self._right.layers if address in self._found
        )

    def pair_default_names(
        self, left_weights: Weights | None, right_weights: Weights | None
    ) -> None:
        """Pair layers with default names by their order, where one side has other numbers.

        Equal weights tell the same layer; without them, or where they were trained, equal settings
        and shapes do.
        """
        if self._alike or not self._has_other_numbers():
            return
        left, right = list(self._left.layers.values()), list(self._right.layers.values())
        one, other = _order_keys(left, self._left_kinds), _order_keys(right, self._right_kinds)
        exact: Places = {}
        if left_weights is not None and right_weights is not None:
            exact = align(
                _exact_keys(left, one, left_weights), _exact_keys(right, other, right_weights)
            )
        places = fill_gaps(exact, _named_keys(left, one), _named_keys(right, other))
        places = fill_gaps(fill_gaps(places, one, other), _type_keys(left), _type_keys(right))
        for at, to in places.items():
            if is_default_name(left[at]):
                self._add(
                    left[at].address, right[to].address, _evidence(left[at], right[to], at in exact)
                )

    def _has_other_numbers(self) -> bool:
        """Return whether the sides share some default names, and one has more of them."""
        left, right = (
            {address for address, layer in graph.layers.items() if is_default_name(layer)}
            for graph in (self._left, self._right)
        )
        return left != right and bool(left & right)

    def pair_addresses(self, left_weights: Weights | None, right_weights: Weights | None) -> None:
        """Pair what has the same address and type on both sides."""
        same = [
            address
            for address, layer in self._left.layers.items()
            if address not in self._taken
            and address not in self._found
            and address in self._right.layers
            and self._right.layers[address].type == layer.type
        ]
        moved = {address for address in same if self._is_moved_default_name(address)}
        if moved and left_weights is not None and right_weights is not None:
            moved -= self._find_own_weights(moved, left_weights, right_weights)
        for address in same:
            if address not in moved:
                self._add(address, address, "address")

    def _is_moved_default_name(self, address: str) -> bool:
        """Return whether a default name is at other places of two models that are alike."""
        return (
            self._alike
            and self._left_places[address] != self._right_places[address]
            and is_default_name(self._left.layers[address])
        )

    def _find_own_weights(
        self, addresses: Iterable[str], left_weights: Weights, right_weights: Weights
    ) -> set[str]:
        """Return the addresses of layers that have weights of their own, equal on both sides."""
        left, right = (
            {
                address: hash_weights(graph.layers[address], weights)
                for address in addresses
                if graph.layers[address].tensors
            }
            for graph, weights in ((self._left, left_weights), (self._right, right_weights))
        )
        counts = Counter(left.values())
        return {
            address
            for address, digest in left.items()
            if right.get(address) == digest and counts[digest] == 1
        }

    def pair_weights(self, left_weights: Weights, right_weights: Weights) -> None:
        """Pair the rest where exactly one on each side has these settings, shapes and weights."""
        wanted = {self._left_kinds[address] for address in self._left_rest()} & {
            self._right_kinds[address] for address in self._right_rest()
        }

        def digest(
            graph: LayerGraph, kinds: Mapping[str, str], weights: Weights
        ) -> Callable[[str], str | None]:
            return lambda address: (
                kinds[address] + hash_weights(graph.layers[address], weights)
                if kinds[address] in wanted and graph.layers[address].tensors
                else None
            )

        left_classes = _classes(
            self._left_rest(), digest(self._left, self._left_kinds, left_weights)
        )
        right_classes = _classes(
            self._right_rest(), digest(self._right, self._right_kinds, right_weights)
        )
        for key, members in left_classes.items():
            others = right_classes.get(key, [])
            if len(members) == len(others) == 1 and not (
                self._alike and self._left_places[members[0]] != self._right_places[others[0]]
            ):
                self._add(members[0], others[0], "weights")

    def pair_structure(self) -> None:
        """Pair the rest from the strictest evidence to the loosest, then neighbours of pairs."""
        self._pair_classes(self._left_places, self._right_places)
        if len(self._taken) == len(self._left.layers) or len(self._found) == len(
            self._right.layers
        ):
            return
        left_around, right_around = collect_neighbours(self._left), collect_neighbours(self._right)
        left_levels = refine_labels(
            self._anchor(self._left_kinds, self._taken), left_around, ROUNDS
        )
        right_levels = refine_labels(
            self._anchor(
                self._right_kinds, {pair.right: pair.right for pair in self._found.values()}
            ),
            right_around,
            ROUNDS,
        )
        for level in range(ROUNDS, 0, -1):
            self._pair_classes(left_levels[level], right_levels[level])
        self._spread(left_around, right_around)
        self._pair_classes(self._left_kinds, self._right_kinds)

    def _spread(self, left_around: Neighbours, right_around: Neighbours) -> None:
        """Pair layers that are alone in their kind and role next to a pair, and so on."""
        waiting = list(self.pairs())[::-1]
        while waiting:
            pair = waiting.pop()
            left_near = _classes(
                self._rest_near(left_around[pair.left], self._taken),
                lambda near: f"{near[0]} {self._left_kinds[near[1]]}",
            )
            right_near = _classes(
                self._rest_near(right_around[pair.right], self._found),
                lambda near: f"{near[0]} {self._right_kinds[near[1]]}",
            )
            for key, members in left_near.items():
                others = right_near.get(key, [])
                free = (
                    members
                    and others
                    and members[0][1] not in self._taken
                    and others[0][1] not in self._found
                )
                if len(members) == len(others) == 1 and free:
                    waiting.append(self._add(members[0][1], others[0][1], "structure"))

    def _pair_classes(self, left_keys: Mapping[str, str], right_keys: Mapping[str, str]) -> None:
        """Pair the rest by class, in topological order, if both sides hold the same number."""
        right_classes = _classes(self._right_rest(), right_keys.__getitem__)
        for key, members in _classes(self._left_rest(), left_keys.__getitem__).items():
            others = right_classes.get(key, [])
            if len(members) == len(others):
                for member, other in zip(members, others, strict=True):
                    self._add(member, other, "structure")

    def _add(self, left: str, right: str, evidence: Evidence) -> Pair:
        pair = Pair(left, right, evidence)
        self._taken[left] = right
        self._found[right] = pair
        return pair

    def _left_rest(self) -> list[str]:
        return [address for address in self._left.layers if address not in self._taken]

    def _right_rest(self) -> list[str]:
        return [address for address in self._right.layers if address not in self._found]

    @staticmethod
    def _anchor(kinds: Mapping[str, str], paired: Mapping[str, str]) -> dict[str, str]:
        """Return the labels to refine: a unique one for each pair, the kind for other layers."""
        return {
            address: f"paired {paired[address]}" if address in paired else kind
            for address, kind in kinds.items()
        }

    @staticmethod
    def _rest_near(
        near: Iterable[tuple[str, str]], paired: Mapping[str, object]
    ) -> Iterator[tuple[str, str]]:
        return ((role, address) for role, address in near if address not in paired)


def _order_keys(layers: Iterable[Layer], kinds: Mapping[str, str]) -> list[str]:
    """Return what layers have in common if they are the same: kind, and a name of their own."""
    return [
        kinds[layer.address] + ("" if is_default_name(layer) else f" {layer.address}")
        for layer in layers
    ]


def _exact_keys(layers: Iterable[Layer], keys: Iterable[str], weights: Weights) -> list[str]:
    return [
        key + (hash_weights(layer, weights) if layer.tensors else "")
        for layer, key in zip(layers, keys, strict=True)
    ]


def _named_keys(layers: Iterable[Layer], keys: Iterable[str]) -> list[str]:
    return [f"{key} {layer.address}" for layer, key in zip(layers, keys, strict=True)]


def _type_keys(layers: Iterable[Layer]) -> list[str]:
    return [layer.type if is_default_name(layer) else f" {layer.address}" for layer in layers]


def _evidence(left: Layer, right: Layer, is_exact: bool) -> Evidence:
    if left.address == right.address:
        return "address"
    return "weights" if is_exact and left.tensors else "structure"


def _classes(
    members: Iterable[_Member], key_of: Callable[[_Member], str | None]
) -> dict[str, list[_Member]]:
    """Return `members` by key, in their order; those without a key are left out."""
    classes: dict[str, list[_Member]] = defaultdict(list)
    for member in members:
        key = key_of(member)
        if key is not None:
            classes[key].append(member)
    return dict(classes)
