"""Progress of the pruned tensors of a model: measured sparsity against the targets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphprune.engine.held import PrunedLayer
from graphprune.engine.timetables import Times
from graphprune.sparsity.missed_targets import MissedTarget


@dataclass(frozen=True, slots=True)
class TensorProgress:
    """The progress of one pruned tensor.

    Attributes:
        address: The layer's address.
        name: The tensor's name in the layer.
        size: The number of weights.
        zeros: Weights that are zero now.
        target_zeros: Exact number of zeros when the schedule is finished; a minimum if short
            blocks leave it open.
        target: The share of zeros that the schedule asks for at this step.
        threshold: The smallest score that the last mask update kept: a magnitude, or that of a
            block or channel.
    """

    address: str
    name: str
    size: int
    zeros: int
    target_zeros: int
    target: float
    threshold: float

    @property
    def sparsity(self) -> float:
        """The measured share of zeros."""
        return self.zeros / self.size


def progress_of(
    address: str, layer: PrunedLayer, times: Times, step: int
) -> Iterator[TensorProgress]:
    """Yield the progress of each pruned tensor of the layer at `address` at `step`."""
    pruning = layer.pruning
    for tensor in layer.tensors:
        name, shape = tensor.name, tensor.shape
        size = math.prod(shape)
        yield TensorProgress(
            address,
            name,
            size,
            size - int(np.count_nonzero(tensor.read())),
            pruning.target_zeros(name, shape),
            times.sparsity_at(step, pruning.share_of(name)),
            tensor.read_threshold(),
        )


def overall(tensors: Sequence[TensorProgress]) -> tuple[float, float]:
    """Return (target, measured) sparsity over all weights of the tensors; zeros without tensors."""
    size = max(1, sum(tensor.size for tensor in tensors))
    return (
        sum(tensor.target * tensor.size for tensor in tensors) / size,
        sum(tensor.zeros for tensor in tensors) / size,
    )


def curve_points(tensors: Sequence[TensorProgress]) -> dict[str, float]:
    """Return the TensorBoard values of the tensors by tag."""
    points: dict[str, float] = {}
    for tensor in tensors:
        place = f"{tensor.address}/{tensor.name}"
        points[f"target_sparsity/{place}"] = tensor.target
        points[f"sparsity/{place}"] = tensor.sparsity
        points[f"threshold/{place}"] = tensor.threshold
    return points


def missed_targets(layers: Mapping[str, PrunedLayer]) -> tuple[MissedTarget, ...]:
    """Return the tensors that have fewer zeros than when their schedules are finished, in order."""
    return tuple(
        missed for address, layer in layers.items() for missed in _missed_in(address, layer)
    )


def _missed_in(address: str, layer: PrunedLayer) -> Iterator[MissedTarget]:
    for tensor in layer.tensors:
        size = math.prod(tensor.shape)
        wanted = layer.pruning.target_zeros(tensor.name, tensor.shape)
        # counting a mask takes a tenth of the time of counting weights
        masked = size - int(np.count_nonzero(tensor.read_mask()))
        if masked >= wanted:
            continue
        zeros = size - int(np.count_nonzero(tensor.read()))
        if zeros < wanted:
            was_updated = layer.read_last_update() >= 0 or masked > 0  # tfmot keeps no last step
            yield MissedTarget(address, tensor.name, size, zeros, wanted, was_updated=was_updated)
