"""Layers that work on each number by itself: activations, dropout, noise, masking."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graphprune.graph.classes.activation_steps import (
    activation_steps,
    exponential,
    leaking,
    rectified,
    softmax_along,
    thresholded,
)
from graphprune.graph.classes.channel_rules import activation, elementwise, passing, slopes, softmax
from graphprune.graph.classes.constants import SLOPED as KEEP_ZERO
from graphprune.graph.classes.constants import leaky_rectifier, rectifier
from graphprune.graph.classes.layer_class import SAME, LayerClass, Weight, always
from graphprune.graph.classes.steps import fixed, mask_of_values, masking

RANDOM = ("BaseRandomLayer",)
ACTIVATION = LayerClass("activation", output_shapes=SAME, is_pure=True, keeps_mask=always)
DROPOUT = LayerClass("regularization", RANDOM, output_shapes=SAME, channels=passing, steps=fixed())
SPATIAL_DROPOUT = LayerClass(
    "regularization", ("Dropout", *RANDOM), output_shapes=SAME, channels=passing, steps=fixed()
)


def to_float32(value: Any) -> Any:
    """Return a number as float32 holds it; anything else as it is.

    tf_keras keeps the slopes of activations and the factors of regularizers so.
    """
    if type(value) is not float:
        return value
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return value


def _with_float32(config: dict[str, Any]) -> dict[str, Any]:
    return {key: to_float32(value) for key, value in config.items()}


SLOPED = replace(ACTIVATION, normalize=_with_float32)
CLASSES: Mapping[str, LayerClass] = {
    "Activation": replace(ACTIVATION, channels=activation, steps=activation_steps),
    "Softmax": replace(ACTIVATION, channels=softmax, steps=softmax_along),
    "ELU": replace(SLOPED, channels=elementwise(KEEP_ZERO["ELU"]), steps=exponential),
    "ReLU": replace(SLOPED, channels=elementwise(KEEP_ZERO["ReLU"], rectifier), steps=rectified),
    "LeakyReLU": replace(
        SLOPED,
        keras3_names={"alpha": "negative_slope"},
        channels=elementwise(KEEP_ZERO["LeakyReLU"], leaky_rectifier),
        steps=leaking,
    ),
    "ThresholdedReLU": replace(
        ACTIVATION,
        versions=(2,),
        channels=elementwise(KEEP_ZERO["ThresholdedReLU"]),
        steps=thresholded,
    ),
    "PReLU": LayerClass(
        "activation",
        (),
        (Weight("alpha"),),
        output_shapes=SAME,
        is_pure=True,
        channels=slopes,
        steps=fixed("prelu"),
    ),
    **dict.fromkeys(("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise"), DROPOUT),
    **{f"SpatialDropout{rank}D": SPATIAL_DROPOUT for rank in (1, 2, 3)},
    "ActivityRegularization": LayerClass(
        "regularization", output_shapes=SAME, channels=passing, steps=fixed()
    ),
    "Identity": LayerClass(output_shapes=SAME, channels=passing, steps=fixed()),
    "Masking": LayerClass(output_shapes=SAME, steps=masking, mask=mask_of_values),
}
