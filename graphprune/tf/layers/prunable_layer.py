"""Prunable weights of custom layers, named by the attributes that hold them; live layer classes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tf_keras.src.engine.base_layer import Layer

from graphprune.archive.entries import Entry
from graphprune.graph.classes.builtin_layers import NO_CLASS, known_class
from graphprune.graph.classes.layer_class import LayerClass


def find_path(layer: Layer, weight: tf.Variable) -> str | None:
    """Return the shortest attribute path from `layer` to `weight`, such as `blocks.0.kernel`.

    Public attributes come first.
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
    found: list[tuple[str, Layer]] = []
    for name in live_class(layer).calls:
        held = getattr(layer, name)
        several = isinstance(held, list | tuple)
        found += (
            [(f"{name}.{index}", part) for index, part in enumerate(held)]
            if several
            else [(name, held)]
        )
    return tuple(found)


def live_class(layer: Layer) -> LayerClass:
    """Return the record of the layer's class, or of the nearest class of Keras that it extends."""
    records = (known_class(class_entry(kind)) for kind in type(layer).__mro__)
    return next((record for record in records if record is not None), NO_CLASS)


def class_entry(kind: type) -> Entry:
    """Return the name and module of a class as a file stores them."""
    return {"class_name": kind.__name__, "module": kind.__module__}


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
