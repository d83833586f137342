"""Weights of two models, read one pair of tensors at a time, whatever file they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from graphprune.diff.changes import MaskOverlap, TensorDiff
from graphprune.graph.layers import Layer, Tensor
from graphprune.sparsity.pruning import Pruning
from graphprune.wrapper_names import mask_name


class Weights(Protocol):
    """The weights of one model, read one tensor at a time."""

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        """Return a weight tensor of the layer at `address`."""
        ...

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        """Return a tensor of the pruning wrapper around the layer (`mask_kernel`), or None."""
        ...


def count_zeros(values: NDArray[Any]) -> int:
    """Return how many entries are zero, -0.0 included.

    Example:
        >>> count_zeros(np.array([0.0, -0.0, 1.0]))
        2
    """
    return int(values.size - np.count_nonzero(values))


_BLOCK = 1 << 18
"""Values that are compared at once; the first block that differs ends a comparison."""


def has_same_values(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Return whether two tensors have the same type and values: NaN equals itself, -0.0 is 0.0.

    Example:
        >>> (
        ...     has_same_values(np.array([np.nan, 0.0]), np.array([np.nan, -0.0])),
        ...     has_same_values(np.array([0.0]), np.array([1e-9])),
        ... )
        (True, False)
    """
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    one, other = left.reshape(-1), right.reshape(-1)
    return all(
        _is_same_block(one[start : start + _BLOCK], other[start : start + _BLOCK])
        for start in range(0, one.size, _BLOCK)
    )


def _is_same_block(left: NDArray[Any], right: NDArray[Any]) -> bool:
    same = left == right
    if same.all():
        return True
    if left.dtype.kind not in "fcV":
        return False
    return bool((same | ((left != left) & (right != right))).all())


def hash_weights(layer: Layer, weights: Weights) -> str:
    """Return a digest of all weights of a layer, one tensor in memory at a time."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in layer.tensors:
        values = weights.read(layer.address, tensor.name)
        digest.update(f"{tensor.name} {values.dtype} {values.shape}\n".encode())
        if values.dtype.kind in "fc":
            values = values + 0  # -0.0 becomes 0.0
        digest.update(_to_bytes(values).data)
    return digest.hexdigest()


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)


def compare_tensors(
    left: Layer | None,
    right: Layer | None,
    left_weights: Weights | None,
    right_weights: Weights | None,
) -> Iterator[TensorDiff]:
    """Yield the tensors of a layer: the right side's in storage order, then the left's only."""
    left_tensors = {} if left is None else {tensor.name: tensor for tensor in left.tensors}
    right_tensors = {} if right is None else {tensor.name: tensor for tensor in right.tensors}
    for name in [*right_tensors, *(name for name in left_tensors if name not in right_tensors)]:
        before, after = left_tensors.get(name), right_tensors.get(name)
        zeros_before, zeros_after, values = _measure(
            _place(left, before), _place(right, after), left_weights, right_weights
        )
        pruning = _pruning(right, name) or _pruning(left, name)
        missing = (
            None
            if pruning is None or after is None or zeros_after is None
            else max(0, pruning.target_zeros(name, after.shape) - zeros_after)
        )
        yield TensorDiff(
            name=name,
            shape_before=None if before is None else before.shape,
            shape_after=None if after is None else after.shape,
            size_before=0 if before is None else before.size,
            size_after=0 if after is None else after.size,
            zeros_before=zeros_before,
            zeros_after=zeros_after,
            target=None if pruning is None else pruning.share_of(name),
            target_met=None if missing is None else not missing,
            zeros_missing=missing or 0,
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
    """Return the zeros on both sides and whether the values are the same.

    Both tensors are in memory only until then.
    """
    before = None if left is None or left_weights is None else left_weights.read(*left)
    after = None if right is None or right_weights is None else right_weights.read(*right)
    zeros_before = None if before is None else count_zeros(before)
    if before is not None and after is not None and has_same_values(before, after):
        return zeros_before, zeros_before, "same"
    zeros_after = None if after is None else count_zeros(after)
    return zeros_before, zeros_after, None if before is None or after is None else "changed"


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
