"""Reference masks in NumPy: what every faster implementation must equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphprune.sparsity.counts import kept_count


def magnitude_mask(weights: NDArray[np.floating], sparsity: float) -> NDArray[np.bool_]:
    """Return the mask (same shape, True keeps) that zeroes the share `sparsity` of smallest |w|.

    The count is exact; where magnitudes tie, the lower flat index is kept. A NaN counts as larger than every number.

    Example:
        >>> magnitude_mask(np.array([[3.0, -1.0], [0.5, -2.0]]), 0.5)
        array([[ True, False],
               [False,  True]])
    """
    score = np.abs(np.asarray(weights)).ravel()
    kept = kept_count(score.size, sparsity)
    order = np.lexsort((-score, ~np.isnan(score)))
    mask = np.zeros(score.size, dtype=np.bool_)
    mask[order[:kept]] = True
    return mask.reshape(np.shape(weights))
