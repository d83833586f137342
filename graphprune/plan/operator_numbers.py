"""Constants that are one number in a TensorFlow Lite file, and how exactly it stores them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from graphprune.archive.operators import FileTensor, OperatorFile

_MOST_INEXACT = 0.03
"""The relative error up to which a number is compared; that of 1e-6 in 16 bits is 0.03."""


_LARGEST = 4096
"""Values of a constant that is read to see whether they are all the same."""


@dataclass(frozen=True, slots=True)
class Number:
    """A constant that is one number.

    Attributes:
        value: The value.
        error: How much of it storing it in fewer bits may have changed.
        is_limit: Whether it is the largest that can be stored, so that it may have been larger.
    """

    value: float
    error: float = 0.0
    is_limit: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether it is stored exactly enough to be compared."""
        return self.error <= _MOST_INEXACT

    def at_most_one(self) -> float:
        """Return the limit of a minimum: 1 where it is stored as a bit less or more.

        In 8 bits a limit that no value reaches is the largest value that can be stored.
        """
        is_one = math.isclose(self.value, 1, rel_tol=max(2 * self.error, 1e-3))
        return 1.0 if is_one or (self.is_limit and self.value < 1) else self.value


def read_number(file: OperatorFile, tensor: FileTensor) -> Number | None:
    """Return the value of a constant that is the same everywhere; None for other tensors.

    Raises:
        ArchiveError: the file is damaged.
    """
    if not 0 < tensor.size <= _LARGEST or not tensor.stored or not tensor.dtype:
        return None
    values = np.ravel(file.read_stored(tensor))
    if np.any(values != values[0]):
        return None
    stored, value = values[0], float(np.ravel(file.read(tensor))[0])
    if not value:
        return Number(0.0, 0.0 if tensor.quantization is None else 1.0)
    if tensor.quantization is not None:
        step = float(tensor.quantization.scales[0])
        is_limit = bool(stored == np.iinfo(stored.dtype).max)
        return Number(value, step / 2 / abs(value), is_limit)
    if stored.dtype.kind != "f":
        return Number(value)
    if not math.isfinite(value):
        return Number(value, 1.0)
    bits = np.finfo(stored.dtype)
    spacing = max(float(bits.eps) * abs(value), float(bits.smallest_subnormal))
    return Number(value, spacing / 2 / abs(value))
