"""Layers that prepare data: normalization, vocabularies, categories, images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from graphprune.graph.classes.channel_rules import over_space
from graphprune.graph.classes.channels import ChannelCall, Channels
from graphprune.graph.classes.composite_steps import resized
from graphprune.graph.classes.layer_class import SAME, Difference, Expected, LayerClass, Weight, one
from graphprune.graph.classes.lengths import Config
from graphprune.graph.classes.normalization import along_axes
from graphprune.graph.classes.recurrent import listed_parts
from graphprune.graph.classes.steps import (
    AFFINE,
    LEARNED,
    StepCall,
    Steps,
    fixed,
    only_last_axis,
    rescaled,
)
from graphprune.graph.shapes.axis_lengths import Shape

BASES = ("PreprocessingLayer",)
RANDOM = ("BaseRandomLayer",)
IMAGE = ("BaseImagePreprocessingLayer", "DataLayer")
"""Of layers that only Keras 3 has."""
CHANGED_IMAGES = (
    "AugMix",
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
    "RandAugment",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "Solarization",
)
"""Layers that give images of the same shape."""


def _normalization_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return what a Normalization learned from data; nothing where mean and variance are given."""
    if config.get("mean") is not None:
        return ()
    return tuple(Weight(name, trainable=False) for name in ("mean", "variance", "count"))


def _normalization_shapes(config: Config) -> Expected:
    return {**along_axes("mean", "variance")(config), "count": ()}


def _discretization_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return what a Discretization learned from data; nothing where its bins are given."""
    return () if config.get("bin_boundaries") is not None else (Weight("summary", trainable=False),)


def _lookup_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a lookup layer; its vocabulary is not a tensor."""
    if config.get("output_mode") != "tf_idf":
        return ()
    return (Weight("idf_weights", trainable=False),)


def _vectorization_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a TextVectorization.

    `.keras` files hold them for the layer and for the lookup layer inside it.
    """
    weights = _lookup_weights(config)
    copies = (
        Weight(weight.name, trainable=False, path="_lookup_layer", is_copy=True)
        for weight in weights
    )
    return *weights, *copies


def _no_weights_known(config: Mapping[str, Any]) -> None:
    """Return None: the weights of a DenseFeatures are those of its feature columns."""


def _looked_up(config: Config, shape: Shape) -> Shape:
    if config.get("output_mode", "int") != "int":
        raise ValueError("only numbers keep the shape of what was looked up")
    return shape


def _encoded(config: Config, shape: Shape) -> Shape:
    """Return the output shape of CategoryEncoding.

    One-hot codes get an axis of their own unless there is one of length 1.
    """
    if len(shape) > 2:
        raise ValueError("categories of more than two axes")
    given = shape if config["output_mode"] == "one_hot" and shape[-1] != 1 else shape[:-1]
    return (*given, config["num_tokens"])


def _vectorized(config: Config, shape: Shape) -> Shape:
    """Return the output shape of TextVectorization for one text per example.

    That is as many words as it was told, or as the longest text has.
    """
    if (
        config["output_mode"] != "int"
        or config["split"] is None
        or config.get("ragged")
        or shape[1:] not in ((), (1,))
    ):
        raise ValueError("only numbers of words have a length that the config tells")
    return shape[0], config["output_sequence_length"]


def _resized(config: Config, shape: Shape) -> Shape:
    """Return the shape of images that all get one height and width."""
    return (*shape[:-3], config["height"], config["width"], shape[-1])


def _random_size(place: int, _config: Config, shape: Shape) -> Shape:
    axis = range(len(shape))[place]
    return (*shape[:axis], None, *shape[axis + 1 :])


def _spectrogram_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the kernels of an STFTSpectrogram: `mode` says which parts it computes."""
    names = {"real": ("real_kernel",), "imag": ("imag_kernel",)}
    both = ("real_kernel", "imag_kernel")
    return tuple(Weight(name) for name in names.get(str(config.get("mode")), both))


def _lookup(*bases: str) -> LayerClass:
    return LayerClass(
        "embedding",
        bases,
        _lookup_weights,
        output_shapes=one(_looked_up),
        normalize=_without_dtype,
        learned="vocabulary",
    )


_OUTPUTS = frozenset({"float32", "int64", "string"})


def _without_dtype(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config without a dtype that the layer has by default.

    tf_keras writes that of what is looked up, and Keras 3 writes float32 beside integer outputs.
    """
    if config.get("dtype") not in _OUTPUTS:
        return config
    return {key: value for key, value in config.items() if key != "dtype"}


def _with_both_bounds(below: int, config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with two bounds for a factor that is one number.

    `below` is the sign of the lower one.
    """
    factor = config.get("factor")
    if not isinstance(factor, int | float):
        return config
    return config | {"factor": [below * factor, factor]}


_CROPS = Difference(
    "at inference, resizes as image.smart_resize does",
    "at inference, crops to whole pixels and resizes",
)


def _normalized(call: StepCall) -> Steps | None:
    """Return the steps of a Normalization; one that is told to change nothing has none."""
    mean: Any = call.config.get("mean")
    variance: Any = call.config.get("variance")
    is_told = mean is not None and not np.any(mean) and np.all(np.equal(variance, 1))
    if is_told:
        return ()
    return only_last_axis(LEARNED if mean is None else AFFINE)(call)


def _rescaled(call: ChannelCall) -> Sequence[Channels | None]:
    scale, offset = call.config.get("scale"), call.config.get("offset", 0)
    if isinstance(scale, list | tuple) or isinstance(offset, list | tuple):
        return call.keep_all("has a number for each of them in its config")
    channels = call.first
    return [None if channels is None else call.applied(channels, None, keeps_zero=offset == 0)]


def _sized(call: ChannelCall) -> Sequence[Channels | None]:
    """Apply the rule of a Resizing, which can put a number around images of another shape."""
    channels, config = over_space(2)(call)[0], call.config
    is_filled = config.get("pad_to_aspect_ratio") and config.get("fill_value")
    return [call.filled(channels) if channels is not None and is_filled else channels]


_TO_SIZE = LayerClass("shape", output_shapes=one(_resized), channels=over_space(2))
CLASSES: Mapping[str, LayerClass] = {
    "Normalization": LayerClass(
        "normalization",
        BASES,
        _normalization_weights,
        _normalization_shapes,
        SAME,
        steps=_normalized,
    ),
    "Discretization": LayerClass(
        "operation",
        BASES,
        _discretization_weights,
        lambda _config: {"summary": (2, None)},
        one(_looked_up),
        normalize=_without_dtype,
        learned="bin_boundaries",
    ),
    "IntegerLookup": _lookup("IndexLookup", *BASES),
    "StringLookup": _lookup("IndexLookup", *BASES),
    "TextVectorization": LayerClass(
        "embedding",
        BASES,
        _vectorization_weights,
        output_shapes=one(_vectorized),
        normalize=_without_dtype,
        learned="vocabulary",
    ),
    "DenseFeatures": LayerClass(
        "operation", ("DenseFeatures", "_BaseFeaturesLayer"), _no_weights_known, versions=(2,)
    ),
    "CategoryEncoding": LayerClass("embedding", output_shapes=one(_encoded)),
    "Hashing": LayerClass("embedding", output_shapes=one(_looked_up)),
    "HashedCrossing": LayerClass(),
    "Rescaling": LayerClass(
        "shape",
        output_shapes=SAME,
        is_pure=True,
        channels=_rescaled,
        steps=rescaled,
        numbers=("scale", "offset"),
    ),
    "CenterCrop": _TO_SIZE,
    "Resizing": replace(_TO_SIZE, channels=_sized, steps=resized),
    "RandomCrop": LayerClass("operation", RANDOM, output_shapes=one(_resized), difference=_CROPS),
    **{
        f"Random{change}": LayerClass("operation", RANDOM, output_shapes=SAME, steps=fixed())
        for change in ("Brightness", "Flip", "Translation", "Zoom")
    },
    **{
        f"Random{change}": LayerClass(
            "operation",
            RANDOM,
            output_shapes=SAME,
            normalize=partial(_with_both_bounds, below),
            steps=fixed(),
        )
        for change, below in (("Contrast", 1), ("Rotation", -1))
    },
    **dict.fromkeys(
        CHANGED_IMAGES, LayerClass("operation", IMAGE, output_shapes=SAME, versions=(3,))
    ),
    **dict.fromkeys(
        ("CutMix", "MaxNumBoundingBoxes", "MixUp"), LayerClass("operation", IMAGE, versions=(3,))
    ),
    "MelSpectrogram": LayerClass("operation", ("DataLayer",), versions=(3,)),
    "STFTSpectrogram": LayerClass("operation", (), _spectrogram_weights, versions=(3,)),
    "Pipeline": LayerClass(parts=lambda config: listed_parts(config, "layers"), versions=(3,)),
    **{
        f"Random{side}": LayerClass(
            "operation", RANDOM, output_shapes=one(partial(_random_size, place)), versions=(2,)
        )
        for side, place in (("Height", -3), ("Width", -2))
    },
}
