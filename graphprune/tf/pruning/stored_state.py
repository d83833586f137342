"""What a pruning wrapper writes into a `.keras` file: masks as bits, thresholds and counters."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.engine.base_layer import Layer

from graphprune.archive.pruning_state import is_packed, pack_mask, unpack_mask


def write_state(wrapper: Layer, store: MutableMapping[str, Any]) -> None:
    """Write the wrapper's own variables by number, as Keras does, but masks as bits."""
    for index, variable in enumerate(_own(wrapper)):
        value = np.asarray(tf.convert_to_tensor(variable))  # `variable.numpy()` would copy it
        store[str(index)] = pack_mask(value) if variable.dtype == tf.bool else value


def readable_state(wrapper: Layer, store: Mapping[str, Any], *, repeated: int) -> dict[str, Any]:
    """Return what a file holds of the wrapper's variables, as Keras reads it.

    Earlier files have masks of one byte a weight.

    Args:
        wrapper: The built wrapper.
        store: The variables in the file by number.
        repeated: How many pruned weights the file repeats at the start, as files of the TensorFlow
            toolkit do, whose masks are floats; 0 in other files.
    """
    values = [np.asarray(store[str(index)]) for index in range(repeated, len(store))]
    own = _own(wrapper)
    if repeated:
        pairs = zip(values, own, strict=True)
        values = [value.astype(variable.dtype.as_numpy_dtype) for value, variable in pairs]
    return {
        str(index): _unpacked(value, own[index]) if index < len(own) else value
        for index, value in enumerate(values)
    }


def _own(wrapper: Layer) -> list[tf.Variable]:
    return [*wrapper._trainable_weights, *wrapper._non_trainable_weights]


def _unpacked(value: Any, variable: tf.Variable) -> Any:
    shape = tuple(variable.shape)
    is_mask = variable.dtype == tf.bool and is_packed(value.dtype, value.shape, shape)
    return unpack_mask(value, shape) if is_mask else value
