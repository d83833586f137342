"""What losses take as labels, and the first label that one does not take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from graphprune.errors import DataError

_BLOCK = 2**20
_FEW = 1000


def find_first(array: np.ndarray[Any, Any], is_wrong: Any) -> tuple[int, ...] | None:
    """Return the index of the first value for which `is_wrong` is true, in file order, or None.

    The array is read in blocks, so that a memory-mapped file is never loaded as a whole.

    Example:
        >>> find_first(np.array([[1.0, 2.0], [np.nan, 4.0]]), np.isnan)
        (1, 0)
    """
    order: Literal["C", "F"] = (
        "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    )
    flat = array.reshape(-1, order=order)
    for start in range(0, flat.size, _BLOCK):
        found = np.flatnonzero(is_wrong(flat[start : start + _BLOCK]))
        if found.size:
            place = np.unravel_index(start + int(found[0]), array.shape, order=order)
            return tuple(int(index) for index in place)
    return None


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What a loss takes as labels.

    Attributes:
        kind: `class` for whole numbers from 0 to below `classes`, `share` for numbers from 0 to 1,
            `one-hot` for a share of each class.
        loss, output: Names, for messages.
        classes: The number of classes; None where it is not known.
        ignored: A label that the loss leaves out, whatever its value.
        exact: The largest whole number up to which the output's type holds all, for labels that are
            floats.
        rank: The number of axes of the output; None where it is not known.
    """

    kind: Literal["class", "share", "one-hot"]
    loss: str
    output: str
    classes: int | None = None
    ignored: int | None = None
    exact: int = 2**24
    rank: int | None = None


def check_labels(place: str, labels: np.ndarray[Any, Any], rule: LabelRule) -> None:
    """Refuse labels that the loss does not take; `place` names them.

    Floats are taken as class numbers where they are whole: Keras turns them into the same integers.

    Raises:
        DataError: one is of the wrong kind, or out of range.

    Example:
        >>> try:
        ...     check_labels("y", np.array([0, 3]), LabelRule("class", "ce", "f", 3))
        ... except DataError as fault:
        ...     print(fault)
        y holds 3 at (1,), but output 'f' has 3 classes; labels for ce are integers from 0 to 2
    """
    if labels.dtype.kind not in "biuf":
        return  # text, which the model itself cannot take
    if rule.kind == "one-hot":
        _check_one_hot(place, labels, rule)
        return
    if rule.kind == "share":
        _refuse_first(
            place,
            labels,
            labels_outside(labels, 1),
            f"labels for {rule.loss} are numbers from 0 to 1",
        )
        return
    if _is_one_hot(labels, rule):
        raise DataError(
            f"{place} is one-hot, but {rule.loss} takes class numbers; use the loss"
            f" {rule.loss.removeprefix('sparse_')}, or labels.argmax(axis=-1)"
        )
    if labels.dtype.kind == "f":
        whole = find_first(labels, lambda block: block != np.floor(block))
        _refuse_first(
            place,
            labels,
            whole,
            f"labels for {rule.loss} are class numbers; store them as integers",
        )
        if rule.classes is not None and rule.classes > rule.exact + 1:
            raise DataError(
                f"{place} is {labels.dtype}, but output {rule.output!r} is exact only up to"
                f" {rule.exact}; store labels as integers"
            )
    last = None if rule.classes is None else rule.classes - 1
    wanted = f"labels for {rule.loss} are integers from 0" + ("" if last is None else f" to {last}")
    has = ""
    if last is not None:
        noun = "class" if rule.classes == 1 else "classes"
        has = f", but output {rule.output!r} has {rule.classes} {noun}"
    _refuse_first(place, labels, labels_outside(labels, last, rule.ignored), wanted, has)


def _is_one_hot(labels: np.ndarray[Any, Any], rule: LabelRule) -> bool:
    """Return whether labels have an axis of classes, as far as the first thousand samples tell."""
    if labels.ndim != rule.rank or labels.shape[-1] != rule.classes or labels.shape[-1] < 2:
        return False
    few = labels[:_FEW]
    return bool(((few == 0) | (few == 1)).all() and (few.sum(axis=-1) == 1).all())


def _check_one_hot(place: str, labels: np.ndarray[Any, Any], rule: LabelRule) -> None:
    """Refuse class numbers where a loss takes one-hot labels."""
    if rule.classes is None or rule.classes < 2 or rule.rank is None:
        return
    shape = (
        labels.shape[:-1] if labels.ndim == rule.rank and labels.shape[-1] == 1 else labels.shape
    )
    few = labels[:_FEW]
    if len(shape) == rule.rank - 1 and bool((few == np.floor(few)).all()):
        raise DataError(
            f"{place} holds class numbers, but {rule.loss} takes one-hot labels of"
            f" {rule.classes} classes; use the loss sparse_categorical_crossentropy, or one-hot"
            " labels (keras.utils.to_categorical)"
        )


def labels_outside(
    labels: np.ndarray[Any, Any], last: int | None, ignored: int | None = None
) -> tuple[int, ...] | None:
    """Return the index of the first label below 0 or above `last`, except `ignored`, or None."""

    def is_outside(block: np.ndarray[Any, Any]) -> Any:
        outside = block < 0
        if last is not None:
            outside |= block > last
        return outside if ignored is None else outside & (block != ignored)

    return find_first(labels, is_outside)


def _refuse_first(
    place: str, labels: np.ndarray[Any, Any], at: tuple[int, ...] | None, wanted: str, has: str = ""
) -> None:
    if at is not None:
        raise DataError(f"{place} holds {labels[at]} at {at}{has}; {wanted}")
