"""Whether labels are of the kind that a loss takes: class numbers, or shares from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from graphprune.errors import DataError
from graphprune.runs.samples import find_first


@dataclass(frozen=True, slots=True)
class LabelRule:
    """What a loss takes as labels.

    Attributes:
        kind: `class` for whole numbers from 0 to below `classes`, `share` for numbers from 0 to 1.
        loss, output: Names, for messages.
        classes: The number of classes; None where it is not known.
        ignored: A label that the loss leaves out, whatever its value.
        exact: The largest whole number up to which the output's type holds all, for labels that are
            floats.
    """

    kind: Literal["class", "share"]
    loss: str
    output: str
    classes: int | None = None
    ignored: int | None = None
    exact: int = 2**24


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
        y holds 3 at (1,), and output 'f' has 3 classes; labels for ce are integers from 0 to 2
    """
    if labels.dtype.kind not in "biuf":
        return  # text, which the model itself cannot take
    if rule.kind == "share":
        _refuse_first(
            place,
            labels,
            labels_outside(labels, 1),
            f"labels for {rule.loss} are numbers from 0 to 1",
        )
        return
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
                f"{place} is {labels.dtype}, and output {rule.output!r} holds whole numbers up to"
                f" {rule.exact} only; store labels as integers"
            )
    last = None if rule.classes is None else rule.classes - 1
    wanted = f"labels for {rule.loss} are integers from 0" + ("" if last is None else f" to {last}")
    has = ""
    if last is not None:
        noun = "class" if rule.classes == 1 else "classes"
        has = f", and output {rule.output!r} has {rule.classes} {noun}"
    _refuse_first(place, labels, labels_outside(labels, last, rule.ignored), wanted, has)


def labels_outside(
    labels: np.ndarray[Any, Any], last: int | None, ignored: int | None = None
) -> tuple[int, ...] | None:
    """Return the place of the first label below 0 or above `last`, other than `ignored`; None where
    there is none.
    """

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
