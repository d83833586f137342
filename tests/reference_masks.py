"""Reference masks in NumPy, short and slow: every faster implementation must equal them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from graphprune.sparsity.counts import kept_count, kept_in_group
from graphprune.sparsity.patterns import Block, Channel, KeepOf, Pattern, check_fit

Weights = NDArray[np.floating]
Mask = NDArray[np.bool_]
_Place = tuple[slice, ...]


def magnitude_mask(weights: Weights, sparsity: float) -> Mask:
    """Return the mask (same shape, True keeps) that zeroes the share `sparsity` of smallest |w|.

    The count is exact; where magnitudes tie, the lower flat index is kept. A NaN counts as larger
    than every number.

    Example:
        >>> magnitude_mask(np.array([[3.0, -1.0], [0.5, -2.0]]), 0.5)
        array([[ True, False],
               [False,  True]])
    """
    score = np.abs(np.asarray(weights))
    return _largest(score.ravel(), kept_count(score.size, sparsity)).reshape(score.shape)


def pattern_mask(
    weights: Weights,
    pattern: Pattern,
    share: float,
    axes: Sequence[str] = (),
    *,
    pads: bool = False,
) -> Mask:
    """Return the mask (same shape, True keeps) that zeroes the share `share` as `pattern` says.

    Blocks and channels are scored by the mean |w| (in float64) or the largest of the weights that
    they have; where scores tie, the lower index in storage order is kept. NaN counts as larger than
    every number.

    Raises:
        ValueError: `share` is outside [0, 1), or the pattern does not fit.

    Example:
        >>> pattern_mask(np.array([[3.0, 1.0], [0.5, 2.0]]), Channel("out"), 0.5, ("in", "out"))
        array([[ True, False],
               [ True, False]])
    """
    check_fit(pattern, weights.shape, axes, pads=pads)
    match pattern:
        case KeepOf():
            return _keep_of_mask(weights, pattern, share, axes)
        case Block():
            pool = np.max if pattern.pool == "max" else _mean
            return _whole_mask(
                weights, list(_places(weights.shape, axes, pattern.lengths())), pool, share
            )
        case Channel():
            lengths = {axis: weights.shape[axes.index(axis)] for axis in axes} | {pattern.axis: 1}
            return _whole_mask(weights, list(_places(weights.shape, axes, lengths)), _mean, share)
    return magnitude_mask(weights, share)


def _keep_of_mask(weights: Weights, pattern: KeepOf, share: float, axes: Sequence[str]) -> Mask:
    kept = kept_in_group(pattern.keep, pattern.of, share)
    mask = np.zeros(weights.shape, dtype=np.bool_)
    for place in _places(weights.shape, axes, pattern.lengths()):
        group = np.abs(weights[place])
        mask[place] = _largest(group.ravel(), min(kept, group.size)).reshape(group.shape)
    return mask


def _whole_mask(
    weights: Weights, places: list[_Place], pool: Callable[[Weights], np.floating], share: float
) -> Mask:
    """Return the mask that keeps the places of largest score as a whole."""
    with np.errstate(over="ignore", invalid="ignore"):
        scores = np.array([pool(np.abs(weights[place])) for place in places])
    mask = np.zeros(weights.shape, dtype=np.bool_)
    for index in np.flatnonzero(_largest(scores, kept_count(scores.size, share))):
        mask[places[index]] = True
    return mask


def _places(shape: Sequence[int], axes: Sequence[str], lengths: dict[str, int]) -> Iterator[_Place]:
    """Yield the groups of a tensor in storage order: `lengths` along the axes that it names, 1
    along the others.
    """
    steps = [lengths.get(axis, 1) for axis in axes]
    starts = (range(0, length, step) for length, step in zip(shape, steps, strict=True))
    for start in itertools.product(*starts):
        yield tuple(slice(begin, begin + step) for begin, step in zip(start, steps, strict=True))


def _largest(scores: Weights, kept: int) -> Mask:
    """Return where the `kept` largest of flat `scores` are."""
    mask = np.zeros(scores.size, dtype=np.bool_)
    mask[np.lexsort((-scores, ~np.isnan(scores)))[:kept]] = True
    return mask


def _mean(magnitudes: Weights) -> np.floating:
    return np.sum(magnitudes, dtype=np.float64) / magnitudes.size
