"""Weights that are no numbers: such a model must neither be trained nor be called a success."""

from __future__ import annotations

import numpy as np
import tf_keras

from graphprune.errors import TrainingError

_SHOWN = 3


def find_nonfinite(model: tf_keras.Model) -> tuple[str, ...]:
    """Return the names of the weights that hold NaN or infinity."""
    floating = (variable for variable in model.weights if variable.dtype.is_floating)
    return tuple(
        variable.name.removesuffix(":0")
        for variable in floating
        if not np.isfinite(variable.numpy().astype(np.float64)).all()
    )


def check_finite(model: tf_keras.Model, place: str, way_out: str) -> None:
    """Refuse a model with weights that are not finite.

    Raises:
        TrainingError: some weights hold NaN or infinity.
    """
    found = find_nonfinite(model)
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise TrainingError(
            f"NaN or infinity in {', '.join(found[:_SHOWN])}{more}; {way_out}", place=place
        )
