"""What a diff needs to know about weights, whatever file they come from."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graphprune.graph.layers import Layer


class Weights(Protocol):
    """The weights of one model, read one tensor at a time."""

    def read(self, address: str, name: str, /) -> NDArray[Any]:
        """Return a weight tensor of the layer at `address`."""
        ...

    def read_state(self, address: str, name: str, /) -> NDArray[Any] | None:
        """Return a tensor that the pruning wrapper around the layer owns (`mask_kernel`,
        `pruning_step`), or None where it has none of that name.
        """
        ...


def count_zeros(values: NDArray[Any]) -> int:
    """Return how many entries are zero, -0.0 included.

    Example:
        >>> count_zeros(np.array([0.0, -0.0, 1.0]))
        2
    """
    return int(values.size - np.count_nonzero(values))


def has_same_bits(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Return whether two tensors are the same bit for bit, so that NaN equals itself and -0.0 is
    not 0.0.

    Example:
        >>> (
        ...     has_same_bits(np.array([np.nan, 0.0]), np.array([np.nan, 0.0])),
        ...     has_same_bits(np.array([0.0]), np.array([-0.0])),
        ... )
        (True, False)
    """
    return (
        left.shape == right.shape
        and left.dtype == right.dtype
        and bool(np.array_equal(_to_bytes(left), _to_bytes(right)))
    )


def hash_weights(layer: Layer, weights: Weights) -> str:
    """Return a digest of all weights of a layer, one tensor in memory at a time."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in layer.tensors:
        values = weights.read(layer.address, tensor.name)
        digest.update(f"{tensor.name} {values.dtype} {values.shape}\n".encode())
        digest.update(_to_bytes(values).data)
    return digest.hexdigest()


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
