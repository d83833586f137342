"""Which channels of a saved model are dead, and which of its axes get shorter without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from graphprune.graph.classes.channels import Labels, Mask
from graphprune.graph.classes.constants import Values, sums_over
from graphprune.graph.tensor_shapes import TensorUse, find_tensor_shapes
from graphprune.graph.weights import ReadableWeights
from graphprune.shrink.channels import Reason
from graphprune.shrink.findings import Findings, Place, same_places
from graphprune.shrink.groups import Numbers, components
from graphprune.shrink.walk import walk_channels


@dataclass(frozen=True, slots=True)
class ZerosThatStay:
    """Channels of a weight that are zero and are not removed.

    Attributes:
        address: The layer.
        count: How many channels.
        reason: Why the first of them stays.
    """

    address: str
    count: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Removal:
    """The channels to remove.

    Attributes:
        kept: For each axis of a weight that gets shorter, which of its places stay.
        lengths: For each tensor that gets shorter, its axis, counted from the end, and the length
            without the removed channels.
        removed: How many channels each layer loses along the axis of a weight that makes them.
        staying: The channels that are zero in a weight that makes them, and stay.
        folded: What is added to weights, by address and name, for removed channels that are
            constant and not zero.
    """

    kept: Mapping[Place, Mask]
    lengths: Mapping[TensorUse, tuple[int, int]]
    removed: Mapping[str, int]
    staying: tuple[ZerosThatStay, ...]
    folded: Mapping[tuple[str, str], Values] = field(default_factory=dict)


def find_dead(
    weights: ReadableWeights, stored: Mapping[tuple[str, str], str] | None = None
) -> Removal:
    """Return the channels of a model that can be removed without changing its outputs.

    They are zero or a constant that a bias can take, or nothing reads them, for every input. Each
    axis of a weight keeps at least one channel.

    Args:
        weights: The weights of the model.
        stored: Where the file has each of them, by address and name: two may be stored in one
            place.

    Raises:
        ArchiveError: the weights are damaged.
        GraphError: nested models are called too often.
    """
    graph = weights.graph
    with weights.opened():
        findings = walk_channels(graph, find_tensor_shapes(graph), weights.read)
        findings.pairs += same_places(findings, stored or {})
        findings.used += _unfoldable(findings, stored or {})
        channels = components(findings.count, findings.pairs)
        dead = _dead(findings, channels)
        staying = _staying(weights, findings, channels, dead)
        folded = _folded(weights, findings, channels, dead)
    kept = {
        place: ~dead[channels[labels]]
        for place, (labels, _) in findings.places.items()
        if dead[channels[labels]].any()
    }
    lengths = {
        use: (tensor.axis, int((~dead[channels[tensor.labels]]).sum()))
        for use, tensor in findings.outputs.items()
        if dead[channels[tensor.labels]].any()
    }
    removed = {
        place[0]: len(np.unique(channels[findings.places[place][0][~stays]]))
        for place, stays in kept.items()
        if findings.places[place][1] == "produces"
    }
    return Removal(kept, lengths, removed, tuple(staying), folded)


def _unfoldable(
    findings: Findings, stored: Mapping[tuple[str, str], str]
) -> Iterator[tuple[Labels, Reason]]:
    """Yield channels whose constants a bias cannot take: it is added in each call of its layer."""
    shared = Counter(stored.values())
    for (address, weight, _), fold in findings.folds.items():
        constants = np.array(fold.constants)
        differs = np.fmax.reduce(constants) != np.fmin.reduce(constants)
        differs &= ~np.isnan(constants).all(0)
        if differs.any():
            yield fold.labels[differs], Reason(address, "reads other constants in another call")
        if shared[stored.get((address, weight), "")] > 1:
            is_constant = np.nan_to_num(constants).any(0)
            reason = Reason(address, "shares its weights with a layer that reads other channels")
            yield fold.labels[is_constant], reason


def _folded(
    weights: ReadableWeights, findings: Findings, channels: Numbers, dead: Mask
) -> dict[tuple[str, str], Values]:
    """Return what takes the constants of dead channels."""
    found: dict[tuple[str, str], Values] = {}
    for (address, weight, axis), fold in findings.folds.items():
        constants = np.nan_to_num(np.fmax.reduce(fold.constants))
        constants = np.where(dead[channels[fold.labels]], constants, 0.0)
        if constants.any():
            kernel = np.asarray(weights.read(address, weight), np.float64)
            added = fold.sign * sums_over(kernel, axis, constants, fold.made)
            found[fold.target] = found.get(fold.target, 0.0) + added
    return found


def _dead(findings: Findings, channels: Numbers) -> Mask:
    """Return which channels are dead: none that is kept, used, or the last of an axis."""
    count = int(channels.max()) + 1 if len(channels) else 0
    dead = np.zeros(count, bool)
    for labels, role in findings.places.values():
        if role == "produces":
            dead[channels[labels]] = True
    for labels, _ in (*findings.kept, *findings.used):
        dead[channels[labels]] = False
    for labels, _ in findings.places.values():
        own = channels[labels]
        if dead[own].all():
            dead[own[0]] = False
    return dead


def _staying(
    weights: ReadableWeights, findings: Findings, channels: Numbers, dead: Mask
) -> list[ZerosThatStay]:
    """Return the channels that are zero in the weight that makes them and are not dead."""
    why: dict[int, Reason] = {}
    for labels, reason in (*findings.kept, *findings.used):
        for channel in np.unique(channels[labels]).tolist():
            why.setdefault(channel, reason)
    found = []
    for (address, tensor, axis), (labels, role) in findings.places.items():
        if role != "produces":
            continue
        values = weights.read(address, tensor) != 0
        empty = ~values.any(tuple(index for index in range(values.ndim) if index != axis))
        stay = np.unique(channels[labels[empty & ~dead[channels[labels]]]])
        if len(stay):
            last = Reason(address, "keeps at least one channel")
            found.append(ZerosThatStay(address, len(stay), why.get(int(stay[0]), last)))
    return found
