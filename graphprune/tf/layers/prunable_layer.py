"""What a custom layer says so that it can be pruned, and how its weights are named: by the
attribute that holds them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer


def find_path(layer: Layer, weight: tf.Variable) -> str | None:
    """Return the attributes that lead from `layer` to `weight`, as in `kernel` or
    `blocks.0.kernel`; the shortest way, public attributes first.
    """
    waiting: deque[tuple[str, Any]] = deque([("", layer)])
    seen: set[int] = set()
    while waiting:
        path, owner = waiting.popleft()
        if owner is weight:
            return path
        if id(owner) not in seen:
            seen.add(id(owner))
            waiting.extend(
                (f"{path}.{name}" if path else name, part) for name, part in _parts(owner)
            )
    return None


def parts_of_builtin(layer: Layer) -> tuple[tuple[str, Layer], ...]:
    """Return the layers that a wrapper or a recurrent layer of Keras calls, by attribute."""
    if isinstance(layer, tf_keras.layers.Bidirectional):
        return ("forward_layer", layer.forward_layer), ("backward_layer", layer.backward_layer)
    if isinstance(layer, tf_keras.layers.Wrapper):
        return (("layer", layer.layer),)
    if isinstance(layer, tf_keras.layers.StackedRNNCells):
        return tuple((f"cells.{index}", cell) for index, cell in enumerate(layer.cells))
    return (("cell", layer.cell),) if isinstance(layer, tf_keras.layers.RNN) else ()


def _parts(owner: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(owner, list | tuple):
        yield from ((str(index), part) for index, part in enumerate(owner))
    elif isinstance(owner, dict):
        yield from ((str(key), part) for key, part in owner.items())
    elif isinstance(owner, Layer):
        attributes = (
            (name, part)
            for name, part in vars(owner).items()
            if isinstance(part, Layer | tf.Variable | list | tuple | dict)
        )
        yield from sorted(attributes, key=lambda item: item[0].startswith("_"))
