"""What layers over signals, images and volumes make of a shape: convolutions, pooling, padding,
cropping, resizing.

Lengths are those of `conv_output_length` and `deconv_output_length`
(tf_keras/src/utils/conv_utils.py).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphprune.graph.shapes.axis_lengths import Shape

Config = Mapping[str, Any]
Length = int | None


def convolution_shape(kind: str, config: Config, shape: Shape) -> Shape:
    """Return the output of a convolution of class `kind` (`SeparableConv2D`, `Conv3DTranspose`)."""
    rank, channels = rank_of(kind), _channels(config, shape)
    # a depthwise convolution keeps its channels apart
    made = (
        config["filters"] if "filters" in config else channels * config.get("depth_multiplier", 1)
    )
    return _over_space(
        config, shape, rank, made, _transposed if kind.endswith("Transpose") else convolved_length
    )


def pooling_shape(kind: str, config: Config, shape: Shape) -> Shape:
    """Return what a MaxPooling or AveragePooling layer gives."""
    settings = {
        "kernel_size": config["pool_size"],
        "strides": config.get("strides") or config["pool_size"],
        "padding": config.get("padding", "valid"),
    }
    settings["data_format"] = config.get("data_format", "channels_last")
    return _over_space(settings, shape, rank_of(kind), _channels(config, shape), convolved_length)


def global_pooling_shape(kind: str, config: Config, shape: Shape) -> Shape:
    """Return what a GlobalMaxPooling or GlobalAveragePooling layer gives."""
    ones = (1,) * rank_of(kind) if config.get("keepdims") else ()
    return _joined(config, (shape[0],), ones, _channels(config, shape))


def border_shape(kind: str, config: Config, shape: Shape) -> Shape:
    """Return what a ZeroPadding or Cropping layer gives."""
    sign, borders = (
        (1, config["padding"]) if kind.startswith("ZeroPadding") else (-1, config["cropping"])
    )
    pairs = [borders] if rank_of(kind) == 1 else borders
    widths = [sum(pair) if isinstance(pair, list | tuple) else 2 * pair for pair in pairs]
    return _each_space(config, shape, operator.add, [sign * width for width in widths])


def up_sampling_shape(kind: str, config: Config, shape: Shape) -> Shape:
    """Return what an UpSampling layer gives."""
    return _each_space(config, shape, operator.mul, per_axis(config["size"], rank_of(kind)))


def resized_shape(_kind: str, config: Config, shape: Shape) -> Shape:
    """Return what a layer gives that makes images of one height and width."""
    return (*shape[:-3], config["height"], config["width"], shape[-1])


def rank_of(kind: str) -> int:
    """Return the number of spatial axes that the class name tells.

    Example:
        >>> rank_of("SeparableConv1D"), rank_of("Conv2DTranspose")
        (1, 2)
    """
    found = re.search(r"([123])D", kind)
    if found is None:
        raise ValueError(f"class {kind!r} has no rank in its name")
    return int(found[1])


def per_axis(value: Any, rank: int) -> Sequence[int]:
    """Return a setting that may be one number for all axes as one number an axis."""
    return value if isinstance(value, list | tuple) else (value,) * rank


def convolved_length(length: int, kernel: int, stride: int, dilation: int, config: Config) -> int:
    """Return how many places a kernel takes along one axis."""
    reach = kernel + (kernel - 1) * (dilation - 1)
    places = length if config["padding"] in ("same", "causal") else length - reach + 1
    if config["padding"] not in ("same", "causal", "valid"):
        raise ValueError(f"padding {config['padding']!r} is not known")
    return (places + stride - 1) // stride


def _transposed(length: int, kernel: int, stride: int, dilation: int, config: Config) -> int:
    reach = kernel + (kernel - 1) * (dilation - 1)
    if config["padding"] not in ("same", "valid") or config.get("output_padding") is not None:
        raise ValueError("a transposed convolution with its own output padding")
    return length * stride + (0 if config["padding"] == "same" else max(reach - stride, 0))


def _over_space(
    config: Config,
    shape: Shape,
    rank: int,
    channels: Length,
    length_of: Callable[[int, int, int, int, Config], int],
) -> Shape:
    """Return the shape after a kernel has gone over the spatial axes."""
    settings = zip(
        *(
            per_axis(config.get(key, 1), rank)
            for key in ("kernel_size", "strides", "dilation_rate")
        ),
        strict=True,
    )
    batch, space, _ = _split(config, shape, rank)
    lengths = (
        None if length is None else length_of(length, k, s, d, config)
        for length, (k, s, d) in zip(space, settings, strict=True)
    )
    return _joined(config, batch, tuple(lengths), channels)


def _each_space(
    config: Config, shape: Shape, change: Callable[[int, int], int], values: Sequence[int]
) -> Shape:
    """Return the shape with each spatial length changed by its value."""
    batch, space, channels = _split(config, shape, len(values))
    return _joined(
        config,
        batch,
        tuple(
            None if length is None else change(length, value)
            for length, value in zip(space, values, strict=True)
        ),
        channels,
    )


def _is_first(config: Config) -> bool:
    return bool(config.get("data_format") == "channels_first")


def _channels(config: Config, shape: Shape) -> Any:
    return shape[1] if _is_first(config) else shape[-1]


def _split(config: Config, shape: Shape, rank: int) -> tuple[Shape, Shape, Length]:
    """Return batch axes, spatial axes and channels."""
    if len(shape) < rank + 2:
        raise ValueError(f"shape {shape} has no {rank} spatial axes")
    return (
        (shape[: -rank - 1], shape[-rank:], shape[-rank - 1])
        if _is_first(config)
        else (shape[: -rank - 1], shape[-rank - 1 : -1], shape[-1])
    )


def _joined(config: Config, batch: Shape, space: Shape, channels: Length) -> Shape:
    if _is_first(config):
        return (*(batch if len(batch) == 1 else batch[:-1]), channels, *space)
    return (*batch, *space, channels)
