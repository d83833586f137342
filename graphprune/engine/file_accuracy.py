"""Accuracy of written files: their inputs and outputs by name, and the metric that counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Compute = Callable[[Arrays], Arrays]
"""What a written file computes, by the names of its inputs and outputs."""

CALIBRATION = 200
"""Training samples that quantization is fitted to."""


def find_accuracy(metrics: Mapping[str, Any]) -> float | None:
    """Return the accuracy among the metrics of a model; None if it has none.

    Example:
        >>> find_accuracy({"loss": 0.1, "sparse_categorical_accuracy": 0.75})
        0.75
    """
    return next((float(value) for name, value in metrics.items() if "acc" in name), None)


def name_inputs(x: Any, flat: Sequence[Any], types: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return a batch's inputs by the names of the model's, without special characters.

    Args:
        x: The batch's inputs in the structure of the data.
        flat: The arrays in it; those of a mapping in the order of its sorted keys.
        types: The dtypes of the model's inputs by their names, in the order of `flat`.

    Example:
        >>> name_inputs([1], [np.ones(1, "uint8")], {"my-image": "float32"})
        {'my_image': array([1.], dtype=float32)}
    """
    names = sorted(x) if isinstance(x, Mapping) else list(types)
    return {
        re.sub(r"\W", "_", str(name)): _as_type(np.asarray(values), types.get(name))
        for name, values in zip(names, flat, strict=True)
    }


def _as_type(values: NDArray[Any], dtype: str | None) -> NDArray[Any]:
    """Return numbers in the type that a model takes, as Keras gives them to it."""
    if dtype is None or dtype == "string" or values.dtype.kind not in "biuf":
        return values
    return values.astype(dtype)


def order_outputs(found: Arrays, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return a file's outputs in the order of the model's, whichever names the format has for them.

    Example:
        >>> order_outputs({"output_1": np.ones(1), "output_0": np.zeros(1)}, ["a", "b"])
        [array([0.]), array([1.])]
    """
    if len(names) == 1:
        return list(found.values())
    if all(name in found for name in names):
        return [found[name] for name in names]
    return [found[f"output_{place}"] for place in range(len(names))]
