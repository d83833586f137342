"""Weights that are NaN or infinite: magnitudes of such a model are meaningless."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import TrainingError

_SHOWN = 3


def find_nonfinite(weights: Iterable[tuple[str, NDArray[np.floating]]]) -> tuple[str, ...]:
    """Return the names of the weights that hold NaN or infinity.

    Example:
        >>> find_nonfinite([("a", np.array([0.0, np.nan])), ("b", np.array([1.0]))])
        ('a',)
    """
    return tuple(name for name, values in weights if not np.isfinite(_native(values)).all())


def _native(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the values in a dtype of NumPy; its check of other ones, as bfloat16, is slow."""
    return values if values.dtype.isbuiltin == 1 else values.astype(np.float32)


def refuse_nonfinite(found: tuple[str, ...], place: str, way_out: str) -> None:
    """Refuse a model in which weights of these names are not finite.

    Raises:
        TrainingError: there is such a weight.
    """
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise TrainingError(
            f"NaN or infinity in {', '.join(found[:_SHOWN])}{more}; {way_out}", place=place
        )
