"""Google's 16-bit floats, which NumPy does not know: the upper half of a float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IN_HDF5 = np.dtype("V2")
"""HDF5 does not know them either; h5py keeps them as two bytes without a meaning."""


def widen_bfloat16(bits: NDArray[Any]) -> NDArray[np.float32]:
    """Return the floats whose 16 bits are given as integers, exactly.

    Example:
        >>> widen_bfloat16(np.array([0x3F80, 0xC020], "uint16")).tolist()
        [1.0, -2.5]
    """
    return (bits.astype("uint32") << 16).view("float32")
