"""Whether samples fit the inputs of a Keras 3 model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from graphprune.engine.data_fit import ONE_EACH, TEXT, BatchPart, check_inputs


def check_inputs_fit(model: Any, place: str, x: Any, remedy: str = ONE_EACH) -> None:
    """Refuse x of other shapes than the inputs; a subclassed model takes what it takes.

    Args:
        model: The model.
        place: The start of the error's text.
        x: The arrays or tensors of a batch.
        remedy: What to do about a wrong number of inputs.

    Raises:
        DataError: the number, a shape or a dtype does not fit.
    """
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or ())
    if not inputs:
        return
    parts = parts_of(inputs)
    wanted = {str(tensor.name): part for tensor, part in zip(inputs, parts, strict=True)}
    given: Any = parts_of(x, is_data=True)
    if isinstance(x, Mapping):
        given = {name: _part(array, is_data=True) for name, array in x.items()}
    check_inputs(place, given, wanted, remedy=remedy)


def parts_of(tensors: Any, *, is_data: bool = False) -> list[BatchPart]:
    """Return shape and dtype of each array or tensor of a structure.

    The number of samples is that of one batch, so for data it counts as unknown.
    """
    return [_part(one, is_data=is_data) for one in keras.tree.flatten(tensors)]


def _part(tensor: Any, *, is_data: bool) -> BatchPart:
    shape = getattr(tensor, "shape", None)
    known = None if shape is None or getattr(shape, "rank", 0) is None else tuple(shape)
    if is_data and known:
        known = (None, *known[1:])
    dtype = getattr(tensor, "dtype", None)
    name = getattr(dtype, "name", str(dtype))
    is_text = getattr(dtype, "kind", "") in ("S", "U", "O")
    return BatchPart(known, TEXT if is_text else name)
