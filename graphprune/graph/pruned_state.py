"""What a Keras 3 file says of its pruned layers: how each is pruned, its masks and its steps."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive import Archive, StoredTensor
from graphprune.archive.pruning_state import (
    GROUP,
    SETTINGS,
    is_state_group,
    mask_key,
    packed_bytes,
    settings_from_bytes,
)
from graphprune.errors import ArchiveError
from graphprune.graph.keras_weights import layer_addresses
from graphprune.graph.layer_graph import LayerGraph
from graphprune.graph.layers import SEPARATOR
from graphprune.graph.weight_faults import DAMAGED, Named
from graphprune.graph.weights import ModelWeights, StoredMask, TensorKey
from graphprune.graph.wrappers import attach_pruning
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.wrapper_names import LAST_UPDATE, STEP, mask_name, threshold_name


@dataclass(frozen=True, slots=True)
class StoredNumber:
    """A step or a threshold among the settings."""

    value: float

    def read(self) -> NDArray[Any]:
        """Return the number."""
        return np.asarray(self.value)


def with_pruned_state(weights: ModelWeights) -> ModelWeights:
    """Return the weights with the pruned layers that the file's groups `graphprune` name.

    Weights of custom layers get the names that the group has for them.

    Raises:
        ArchiveError: a group is damaged or does not fit the model.
    """
    archive, graph = weights.archive, weights.graph
    reading = _Reading(archive, graph, dict(weights.tensors), {}, {})
    for prefix, group in _groups(archive, graph):
        reading.add(prefix, group)
    if not reading.pruned:
        return weights
    return replace(
        weights,
        graph=attach_pruning(graph, reading.pruned),
        tensors=MappingProxyType(reading.tensors),
        state=MappingProxyType(reading.state),
    )


def _groups(archive: Archive, graph: LayerGraph) -> Iterator[tuple[str, str]]:
    """Yield (address of the model or layer, group), the model's first."""
    groups = sorted(group for group in archive.stored if is_state_group(group))
    addresses = layer_addresses(archive, graph) if groups and groups != [GROUP] else {}
    for group in sorted(groups, key=len):
        owner = group.removesuffix(GROUP).rstrip("/")
        if not owner or owner in addresses:
            yield addresses.get(owner, ""), group


@dataclass(frozen=True, slots=True)
class _Reading:
    archive: Archive
    graph: LayerGraph
    tensors: dict[str, Named]
    pruned: dict[str, tuple[Pruning, Provenance]]
    state: dict[TensorKey, StoredMask | StoredNumber]

    def add(self, prefix: str, group: str) -> None:
        """Add the layers that a group names; `prefix` is the address of what it belongs to."""
        stored = {tensor.name: tensor for tensor in self.archive.stored[group]}
        if SETTINGS not in stored:
            raise self._damaged(f"it has no {SETTINGS!r}")
        numbers = itertools.count()
        settings = settings_from_bytes(self.archive.read(stored[SETTINGS]), self.archive.path)
        for address, entry in settings.items():
            try:
                pruning = Pruning.from_config(entry["pruning"])
                provenance = Provenance.from_config(entry["provenance"])
                counted = int(entry["step"]), int(entry["last_update"])
                thresholds = list(map(float, entry["thresholds"]))
                places = dict(entry.get("places") or {})
            except (AttributeError, KeyError, TypeError, ValueError) as err:
                raise self._damaged(f"layer {address!r}: {type(err).__name__}: {err}") from err
            masks = [stored.get(mask_key(next(numbers))) for _ in pruning.weights]
            whole = SEPARATOR.join(part for part in (prefix, address) if part)
            if whole not in self.graph.layers or whole in self.pruned:
                continue
            self._rename(whole, places)
            self.pruned[whole] = pruning, provenance
            for name, number in zip((STEP, LAST_UPDATE), counted, strict=True):
                self.state[whole, name] = StoredNumber(number)
            if not len(masks) == len(thresholds) == len(pruning.weights):
                raise self._damaged(f"layer {address!r} has {len(thresholds)} thresholds")
            for weight, mask, threshold in zip(pruning.weights, masks, thresholds, strict=True):
                self.state[whole, threshold_name(weight)] = StoredNumber(threshold)
                self.state[whole, mask_name(weight)] = self._mask(whole, weight, mask)

    def _rename(self, address: str, places: Mapping[str, str]) -> None:
        """Give weights of a custom layer the names that the group has for their places."""
        if not places:
            return
        groups = layer_addresses(self.archive, self.graph).items()
        below = next((group for group, owner in groups if owner == address), "")
        names = {f"{below}/{place}": name for name, place in places.items()}
        for inner, layer in self.graph.layers.items():
            if layer.holder == address:  # the layer says itself what to prune, also inside it
                self._move(inner, address, names)
        named = self.tensors.get(address, {})
        self.tensors[address] = {
            names.get(tensor.path, name): tensor for name, tensor in named.items()
        }

    def _move(self, inner: str, address: str, places: Collection[str]) -> None:
        """Give a layer the weights at these places that another inside it has."""
        named = self.tensors.get(inner, {})
        moved = {tensor.path: tensor for tensor in named.values() if tensor.path in places}
        self.tensors[inner] = {
            name: tensor for name, tensor in named.items() if tensor.path not in moved
        }
        self.tensors[address] = {**self.tensors.get(address, {}), **moved}

    def _mask(self, address: str, weight: str, mask: StoredTensor | None) -> StoredMask:
        tensor = self.tensors.get(address, {}).get(weight)
        if tensor is None:
            raise self._damaged(f"layer {address!r} has no weight {weight!r}")
        if mask is None or mask.shape != (packed_bytes(tensor.shape),):
            raise self._damaged(
                f"the mask of {weight!r} in layer {address!r} does not fit the weight"
            )
        return StoredMask(self.archive, mask, tensor.shape)

    def _damaged(self, fault: str) -> ArchiveError:
        return ArchiveError(
            f"the group {GROUP!r} of the weights does not fit the model ({fault}); {DAMAGED}",
            place=self.archive.path,
        )
