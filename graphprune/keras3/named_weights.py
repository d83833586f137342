"""Weights of samples by output, as Keras 3 takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def arrange(batch: Any, outputs: Sequence[str]) -> Any:
    """Return a batch with labels and weights in the order of `outputs`, if weights have names.

    Keras takes weights by name only for models whose outputs are a dict.
    """
    if not outputs or len(batch) < 3 or not isinstance(batch[2], dict):
        return batch
    x, *named = batch
    return x, *(tuple(one[name] for name in outputs) for one in named)


def listed_outputs(model: Any) -> tuple[str, ...]:
    """Return the names of the outputs, if the model returns them as a list."""
    is_list = isinstance(getattr(model, "_outputs_struct", None), list | tuple)
    return tuple(model.output_names) if is_list else ()
