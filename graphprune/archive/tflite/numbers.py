"""The stored values of tensors in a TensorFlow Lite file, from their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.archive.archive import widen_bfloat16

_SMALL = {"INT4": 4, "INT2": 2}
"""Bits of the types of which a byte holds several; the first is in the lowest bits."""


def to_numbers(data: memoryview, kind: str, size: int | None) -> NDArray[Any]:
    """Return the stored values of a tensor in their order in the file.

    Args:
        data: Their bytes.
        kind: Their type as the schema names it.
        size: How many there are, where the last byte may have more; None where that is not known.
    """
    if kind in _SMALL:
        values = _unpack(data, _SMALL[kind])
        return values[:size]
    if kind == "BFLOAT16":
        return widen_bfloat16(np.frombuffer(data, "<u2"))
    return np.frombuffer(data, np.dtype(kind.lower()).newbyteorder("<"))


def _unpack(data: memoryview, bits: int) -> NDArray[np.int8]:
    """Return signed integers of fewer than 8 bits, the first of a byte in its lowest bits.

    Example:
        >>> _unpack(memoryview(bytes([0xF1])), 4).tolist()
        [1, -1]
    """
    packed = np.frombuffer(data, np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[:, None] >> shifts).astype(np.uint8) << np.uint8(8 - bits)
    return (parts.reshape(-1).view(np.int8) >> np.int8(8 - bits)).astype(np.int8)
