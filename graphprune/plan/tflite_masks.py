"""Masks of attention that a TensorFlow Lite file has as constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGE = 1e3
"""What is added to a score that is masked is below -1e9; in 16 bits it is minus infinity."""


def is_added(values: NDArray[Any]) -> bool:
    """Return whether a constant that is added to scores is a causal mask.

    Example:
        >>> is_added(-1e9 * np.triu(np.ones((3, 3)), 1)), is_added(np.zeros((3, 3)))
        (True, False)
    """
    if values.dtype == np.bool_:
        return False
    masked = np.abs(values) >= _LARGE
    return bool(np.all(np.abs(values[~masked]) < 1)) and is_causal(masked)


def is_causal(masked: NDArray[np.bool_]) -> bool:
    """Return whether a constant masks what is behind each place of a sequence, and nothing else.

    The converter may have transposed it, and repeated it for each head.

    Example:
        >>> is_causal(np.triu(np.ones((2, 3, 3), bool), 1)), is_causal(np.ones((3, 3), bool))
        (True, False)
    """
    if masked.dtype != np.bool_ or masked.ndim < 2:
        return False
    tables = masked.reshape(-1, *masked.shape[-2:])
    behind = np.triu(np.ones(tables.shape[1:], bool), 1)
    before = np.tril(np.ones(tables.shape[1:], bool), -1)
    is_such = np.array_equal(tables[0], behind) or np.array_equal(tables[0], before)
    return is_such and bool(np.all(tables == tables[:1])) and bool(masked.any())
