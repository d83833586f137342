"""Errors for models in which the loss trains nothing."""

from __future__ import annotations

from collections.abc import Iterable

from graphprune.errors import TrainingError


def nothing_trainable(place: str) -> TrainingError:
    """Return the error for a model without trainable weights."""
    return TrainingError(
        "no weight is trainable, so nothing can be trained; set trainable = True on layers and save"
        " the model again",
        place=place,
    )


def nothing_gets_a_gradient(place: str, reasons: Iterable[str] = ()) -> TrainingError:
    """Return the error for a loss that gives no weight a gradient, with the reasons if known."""
    known = "; ".join(reasons)
    return TrainingError(
        "no weight gets a gradient from the loss, so nothing can be trained"
        f"{f' ({known})' if known else ''}; change the model or the loss",
        place=place,
    )
