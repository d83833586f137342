"""The weights of one layer before and after, read one pair at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from graphprune.diff.changes import MaskOverlap, TensorDiff
from graphprune.diff.weights import Weights, count_zeros, has_same_bits
from graphprune.graph.layers import Layer, Tensor
from graphprune.sparsity.pruning import Pruning
from graphprune.wrapper_names import mask_name


def compare_tensors(
    left: Layer | None,
    right: Layer | None,
    left_weights: Weights | None,
    right_weights: Weights | None,
) -> Iterator[TensorDiff]:
    """Yield the tensors of a layer: the right side's in storage order, then those of the left side
    alone.
    """
    left_tensors = {} if left is None else {tensor.name: tensor for tensor in left.tensors}
    right_tensors = {} if right is None else {tensor.name: tensor for tensor in right.tensors}
    for name in [*right_tensors, *(name for name in left_tensors if name not in right_tensors)]:
        before, after = left_tensors.get(name), right_tensors.get(name)
        zeros_before, zeros_after, values = _measure(
            _place(left, before), _place(right, after), left_weights, right_weights
        )
        pruning = _pruning(right, name) or _pruning(left, name)
        yield TensorDiff(
            name=name,
            shape_before=None if before is None else before.shape,
            shape_after=None if after is None else after.shape,
            size_before=0 if before is None else before.size,
            size_after=0 if after is None else after.size,
            zeros_before=zeros_before,
            zeros_after=zeros_after,
            target=None if pruning is None else pruning.share_of(name),
            target_met=(
                None
                if pruning is None or after is None or zeros_after is None
                else zeros_after >= pruning.target_zeros(name, after.shape)
            ),
            values=values,
            mask=(
                _compare_masks(left, right, name, left_weights, right_weights)
                if before is not None and after is not None
                else None
            ),
        )


def _measure(
    left: tuple[str, str] | None,
    right: tuple[str, str] | None,
    left_weights: Weights | None,
    right_weights: Weights | None,
) -> tuple[int | None, int | None, Literal["same", "changed"] | None]:
    """Return the zeros on both sides and whether the two are the same; both tensors are in memory
    only until then.
    """
    before = None if left is None or left_weights is None else left_weights.read(*left)
    after = None if right is None or right_weights is None else right_weights.read(*right)
    zeros_before = None if before is None else count_zeros(before)
    zeros_after = None if after is None else count_zeros(after)
    if before is None or after is None:
        return zeros_before, zeros_after, None
    return zeros_before, zeros_after, "same" if has_same_bits(before, after) else "changed"


def _compare_masks(
    left: Layer | None,
    right: Layer | None,
    name: str,
    left_weights: Weights | None,
    right_weights: Weights | None,
) -> MaskOverlap | None:
    if (
        left is None
        or right is None
        or left.wrap is None
        or right.wrap is None
        or left_weights is None
        or right_weights is None
    ):
        return None
    before = left_weights.read_state(left.address, mask_name(name))
    after = right_weights.read_state(right.address, mask_name(name))
    if before is None or after is None or before.shape != after.shape:
        return None
    kept_before, kept_after = before != 0, after != 0
    kept, shared = (
        int(np.count_nonzero(kept_before)),
        int(np.count_nonzero(kept_before & kept_after)),
    )
    return MaskOverlap(
        shared=shared / max(kept, 1),
        dropped=kept - shared,
        regrown=int(np.count_nonzero(kept_after)) - shared,
    )


def _pruning(layer: Layer | None, name: str) -> Pruning | None:
    """Return how the wrapper around `layer` prunes the tensor `name`."""
    if (
        layer is None
        or layer.wrap is None
        or layer.wrap.pruning is None
        or name not in layer.wrap.pruning.weights
    ):
        return None
    return layer.wrap.pruning


def _place(layer: Layer | None, tensor: Tensor | None) -> tuple[str, str] | None:
    return None if layer is None or tensor is None else (layer.address, tensor.name)
