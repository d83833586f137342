"""Layers that work on each number by itself: activations, dropout, noise, masking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphprune.graph.classes.layer_class import SAME, LayerClass, Weight

RANDOM = ("BaseRandomLayer",)
ACTIVATION = LayerClass("activation", output_shapes=SAME, is_pure=True)
DROPOUT = LayerClass("regularization", RANDOM, output_shapes=SAME)
SPATIAL_DROPOUT = LayerClass("regularization", ("Dropout", *RANDOM), output_shapes=SAME)

CLASSES: Mapping[str, LayerClass] = {
    **dict.fromkeys(("Activation", "ELU", "LeakyReLU", "ReLU", "Softmax"), ACTIVATION),
    "ThresholdedReLU": replace(ACTIVATION, versions=(2,)),
    "PReLU": LayerClass("activation", (), (Weight("alpha"),), output_shapes=SAME, is_pure=True),
    **dict.fromkeys(("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"), DROPOUT),
    **{f"SpatialDropout{rank}D": SPATIAL_DROPOUT for rank in (1, 2, 3)},
    "ActivityRegularization": LayerClass("regularization", output_shapes=SAME),
    **dict.fromkeys(("Identity", "Masking"), LayerClass(output_shapes=SAME)),
}
