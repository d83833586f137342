"""The accuracy of what a served file computes, from its outputs and the labels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphprune.errors import DataError

Array = NDArray[Any]


def count_right(outputs: Array, labels: Array) -> int:
    """Return for how many samples the outputs name the right class.

    The class is the largest of several outputs; a single one is a probability, from 0 to 1.

    Args:
        outputs: One row a sample.
        labels: Class numbers, 0 and 1, or one-hot rows.

    Raises:
        DataError: outputs and labels are not those of a classifier.

    Example:
        >>> count_right(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        1
        >>> count_right(np.array([[0.9], [0.2]]), np.array([1, 0]))
        2
    """
    rows = outputs.reshape(len(outputs), -1)
    if outputs.ndim > 2 or not rows.size:
        raise DataError(f"accuracy needs one class a sample, got outputs of shape {outputs.shape}")
    wanted = labels.reshape(len(labels), -1)
    if rows.shape[1] == 1:
        return int(np.sum((_probabilities(rows[:, 0]) > 0.5) == (_classes(wanted, 2) == 1)))
    return int(np.sum(np.argmax(rows, axis=1) == _classes(wanted, rows.shape[1])))


def _probabilities(values: Array) -> Array:
    if values.min() < 0 or values.max() > 1:
        raise DataError(
            "a single output is a probability from 0 to 1, got"
            f" {values.min():.3g} to {values.max():.3g}"
        )
    return values


def _classes(labels: Array, count: int) -> Array:
    """Return the class numbers of labels, which may be one-hot."""
    if labels.shape[1] == count and count > 1:
        return np.asarray(np.argmax(labels, axis=1))
    classes = labels[:, 0]
    if labels.shape[1] != 1 or np.any(classes != np.floor(classes)):
        raise DataError(f"labels of shape {labels.shape} are not classes of {count}")
    return np.asarray(classes)
