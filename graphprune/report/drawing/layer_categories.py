"""What kind of work a layer does, for the colour of its box."""

from __future__ import annotations

from collections.abc import Mapping

from graphprune.graph.classes.builtin_layers import is_custom, layer_class
from graphprune.graph.layers import Layer

COLOURS: Mapping[str, str] = {
    "convolution": "#35639c",
    "dense": "#66539a",
    "sequence": "#8a4a72",
    "embedding": "#4f6d2f",
    "normalization": "#41704c",
    "activation": "#94522f",
    "pooling": "#26727a",
    "shape": "#5d6673",
    "merge": "#766423",
    "regularization": "#7b5468",
    "operation": "#4c5a6b",
    "custom": "#7a4a4a",
    "model": "#3b4453",
    "input": "#2d5d4f",
    "output": "#2d5d4f",
}
"""Dark enough for white text on each (contrast of 4.5 to 1 at least)."""


def category_of(layer: Layer) -> str:
    """Return the layer's category, one of the keys of `COLOURS`; custom layers are `custom`
    whatever their name.
    """
    if layer.kind != "layer":
        return layer.kind
    if is_custom(layer.entry):
        return "custom"
    return layer_class(layer.type).category
