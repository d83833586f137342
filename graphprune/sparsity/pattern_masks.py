"""Masks of groups, blocks and channels, exact and fast, on the host."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.sparsity.counts import kept_count
from graphprune.sparsity.mask_kernels import magnitude_bits, select_mask

Weights = NDArray[np.floating]
Mask = NDArray[np.bool_]

_COMPARED = 16
"""Groups up to this length are ranked by comparing each pair, which beats sorting them."""
_ADDED = 64
"""Blocks up to this many weights are pooled place by place, over all blocks at once."""


def keep_of_mask(weights: Weights, kept: int, of: int, axis: int) -> tuple[Mask, float]:
    """Return the mask that keeps the `kept` largest of each `of` neighbours along an axis.

    Also returned is the smallest magnitude kept.
    """
    scores = magnitude_bits(weights).reshape(weights.shape)
    blocks = _split(scores, [of if index == axis else 1 for index in range(weights.ndim)])
    groups = np.moveaxis(blocks, 2 * axis + 1, 0)
    mask = np.empty(blocks.shape, dtype=np.bool_)
    np.moveaxis(mask, 2 * axis + 1, 0)[...] = (
        _rank_by_pairs(groups) < kept if of <= _COMPARED else _rank_by_sorting(groups) < kept
    )
    mask = _join(mask, weights.shape)
    smallest = np.asarray(
        [scores.min(where=mask, initial=np.iinfo(scores.dtype).max)], dtype=scores.dtype
    ).view(weights.dtype)[0]
    return mask, math.inf if np.isnan(smallest) else float(smallest)


def _rank_by_pairs(groups: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    """Return how many of its group (axis 0) rank before each score: larger, or equal earlier."""
    ranks = np.zeros(groups.shape, dtype=np.uint8)
    for first, second in itertools.combinations(range(len(groups)), 2):
        wins = groups[first] >= groups[second]
        ranks[second] += wins
        ranks[first] += ~wins
    return ranks


def _rank_by_sorting(groups: NDArray[np.unsignedinteger]) -> NDArray[np.intp]:
    order = np.argsort(~groups, axis=0, kind="stable")
    ranks = np.empty(groups.shape, dtype=np.intp)
    places = np.arange(len(groups)).reshape(-1, *[1] * (groups.ndim - 1))
    np.put_along_axis(ranks, order, np.broadcast_to(places, groups.shape), axis=0)
    return ranks


def block_mask(
    weights: Weights, lengths: Sequence[int], pool: str, share: float
) -> tuple[Mask, float]:
    """Return the mask that zeroes the share `share` of the blocks, and the smallest score kept.

    `lengths` are those of a block along each axis, `pool` is `max` or `mean`.
    """
    blocks = _split(np.abs(weights), lengths)
    scores = (
        _largest(blocks)
        if pool == "max"
        else _sum(blocks) / _weights_in_blocks(weights.shape, lengths)
    )
    chosen, smallest = select_mask(scores, kept_count(scores.size, share))
    mask = np.empty(blocks.shape, dtype=np.bool_)
    mask[...] = np.expand_dims(chosen, tuple(range(1, blocks.ndim, 2)))
    return _join(mask, weights.shape), smallest


def _largest(blocks: Weights) -> Weights:
    if math.prod(blocks.shape[1::2]) > _ADDED:
        found: Weights = blocks.max(axis=tuple(range(1, blocks.ndim, 2)))
        return found
    first, *others = _places(blocks)
    largest = first.copy()
    for place in others:
        np.maximum(largest, place, out=largest)
    return largest


def _sum(blocks: Weights) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        if math.prod(blocks.shape[1::2]) > _ADDED:
            axes = tuple(range(1, blocks.ndim, 2))
            return np.asarray(blocks.sum(axis=axes, dtype=np.float64), np.float64)
        total = np.zeros(blocks.shape[::2])
        for place in _places(blocks):
            total += place
        return total


def _places(blocks: Weights) -> Iterator[Weights]:
    """Yield, for each place in a block, the weights that all blocks have there."""
    for place in itertools.product(*map(range, blocks.shape[1::2])):
        yield blocks[tuple(part for index in place for part in (slice(None), index))]


def _weights_in_blocks(shape: Sequence[int], lengths: Sequence[int]) -> NDArray[np.float64]:
    """Return how many weights each block has, in a shape that broadcasts over the blocks.

    Only the last block along an axis may be short.
    """
    counts = np.ones([1] * len(shape))
    for axis, (size, length) in enumerate(zip(shape, lengths, strict=True)):
        line = np.minimum(length, size - np.arange(0, size, length, dtype=np.float64))
        counts = counts * line.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    return counts


def channel_mask(weights: Weights, axis: int, share: float) -> tuple[Mask, float]:
    """Return the mask that zeroes `share` of an axis's slices, and the smallest mean kept."""
    others = tuple(index for index in range(weights.ndim) if index != axis)
    with np.errstate(over="ignore"):
        scores = np.abs(weights).sum(axis=others, dtype=np.float64) / (
            weights.size // weights.shape[axis]
        )
    chosen, smallest = select_mask(scores, kept_count(scores.size, share))
    return np.array(np.broadcast_to(np.expand_dims(chosen, others), weights.shape)), smallest


def _split(values: NDArray[Any], lengths: Sequence[int]) -> NDArray[Any]:
    """Return `values` with each axis split into (blocks, length), filled up with zeros."""
    short = [-size % length for size, length in zip(values.shape, lengths, strict=True)]
    padded = np.pad(values, [(0, count) for count in short]) if any(short) else values
    return padded.reshape(
        [
            part
            for size, length in zip(padded.shape, lengths, strict=True)
            for part in (size // length, length)
        ]
    )


def _join(blocks: Mask, shape: Sequence[int]) -> Mask:
    """Return the inverse of `_split`, without what was filled up."""
    whole = blocks.reshape(
        [
            count * length
            for count, length in zip(blocks.shape[::2], blocks.shape[1::2], strict=True)
        ]
    )
    return np.ascontiguousarray(whole[tuple(slice(size) for size in shape)])
