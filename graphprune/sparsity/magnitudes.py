"""Magnitudes as integers, whose 16-bit digits can be counted: what exact selection without sorting
(a radix select) is made of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.unsignedinteger]

BITS = {2: np.uint16, 4: np.uint32, 8: np.uint64}
"""Of each float width in bytes: the unsigned type to read it as."""
DIGIT = 16
_CHUNK = 1 << 18


def magnitude_bits(weights: NDArray[np.floating]) -> Scores:
    """Return |w| as integers in the same order, flat; NaN becomes the integer after infinity."""
    flat = np.ascontiguousarray(weights).ravel()
    bits = flat.view(BITS[flat.dtype.itemsize])
    infinity = np.asarray([np.inf], dtype=flat.dtype).view(bits.dtype)[0]
    sign = bits.dtype.type(1 << (8 * flat.dtype.itemsize - 1))
    scores: Scores = bits & ~sign
    np.minimum(scores, infinity + bits.dtype.type(1), out=scores)
    return scores


def digit_shifts(bits: np.dtype[Any]) -> range:
    """Return by how many bits to shift scores of the type `bits` for each of their digits, the
    highest first.
    """
    return range(8 * bits.itemsize - DIGIT, -1, -DIGIT)


def digits(scores: Scores, shift: int) -> Scores:
    """Return the digit at `shift` of each score."""
    return (scores >> scores.dtype.type(shift)) & scores.dtype.type((1 << DIGIT) - 1)


def count_digits(scores: Scores, shift: int) -> NDArray[np.int64]:
    """Return how often each digit occurs at `shift`; in chunks that fit the cache, which takes half
    the time.
    """
    counts = np.zeros(1 << DIGIT, dtype=np.int64)
    for start in range(0, scores.size, _CHUNK):
        counts += np.bincount(
            digits(scores[start : start + _CHUNK], shift).astype(np.intp), minlength=1 << DIGIT
        )
    return counts
