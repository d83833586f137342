"""Checked shapes to custom layers."""

from __future__ import annotations

from graphprune.errors import Diagnostic
from graphprune.graph.classes.builtin_layers import BUILTIN_LAYERS
from graphprune.rules.shapes.layers_shape import CustomLayerShape
from graphprune.rules.text.notes import Notes
from graphprune.rules.values.custom_layers import CustomLayer

SECTION = "layers"


def build_custom_layer(name: str, shape: CustomLayerShape, notes: Notes) -> CustomLayer:
    """Return what the entry `name` of the section says."""
    if name in BUILTIN_LAYERS:
        message = f"layers: {name!r} is a layer of Keras, whose weights are known"
        notes.faults.append(
            Diagnostic(
                "value/range",
                message,
                notes.document.key((SECTION, name)),
                "delete the entry; name custom layers only",
            )
        )
    return CustomLayer(
        type=name,
        where=notes.document.key((SECTION, name)),
        axes={weight: tuple(axes) for weight, axes in shape.prunable.items()},
        weights=tuple(shape.given("weights") or ()),
        places={
            weight: notes.document.key((SECTION, name, "prunable", weight))
            for weight in shape.prunable
        },
    )
