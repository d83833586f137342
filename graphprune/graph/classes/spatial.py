"""Output shapes of layers over signals, images and volumes.

Lengths are those of `conv_output_length` and `deconv_output_length`
(tf_keras/src/utils/conv_utils.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphprune.graph.shapes.axis_lengths import Shape

Config = Mapping[str, Any]
Length = int | None
LengthOf = Callable[[int, int, int, int, Config], int]
"""From an axis, the kernel's length on it, stride, dilation and config to the new length."""


def per_axis(value: Any, rank: int) -> Sequence[int]:
    """Return a setting that may be one number for all axes as one number an axis."""
    return value if isinstance(value, list | tuple) else (value,) * rank


def convolved_length(length: int, kernel: int, stride: int, dilation: int, config: Config) -> int:
    """Return the output length of a convolution along one axis."""
    reach = kernel + (kernel - 1) * (dilation - 1)
    places = length if config["padding"] in ("same", "causal") else length - reach + 1
    if config["padding"] not in ("same", "causal", "valid"):
        raise ValueError(f"padding {config['padding']!r} is not known")
    return (places + stride - 1) // stride


def transposed_length(length: int, kernel: int, stride: int, dilation: int, config: Config) -> int:
    """Return the output length of a transposed convolution along one axis."""
    reach = kernel + (kernel - 1) * (dilation - 1)
    if config["padding"] not in ("same", "valid") or config.get("output_padding") is not None:
        raise ValueError("a transposed convolution with its own output padding")
    return length * stride + (0 if config["padding"] == "same" else max(reach - stride, 0))


def over_space(
    config: Config,
    shape: Shape,
    rank: int,
    channels: Length,
    length_of: LengthOf = convolved_length,
) -> Shape:
    """Return the output shape of a kernel that moves over the spatial axes."""
    settings = zip(
        *(
            per_axis(config.get(key, 1), rank)
            for key in ("kernel_size", "strides", "dilation_rate")
        ),
        strict=True,
    )
    batch, space, _ = split_axes(config, shape, rank)
    lengths = (
        None if length is None else length_of(length, k, s, d, config)
        for length, (k, s, d) in zip(space, settings, strict=True)
    )
    return join_axes(config, batch, tuple(lengths), channels)


def each_space(
    config: Config, shape: Shape, change: Callable[[int, int], int], values: Sequence[int]
) -> Shape:
    """Return the shape with each spatial length changed by its value."""
    batch, space, channels = split_axes(config, shape, len(values))
    lengths = (
        None if length is None else change(length, value)
        for length, value in zip(space, values, strict=True)
    )
    return join_axes(config, batch, tuple(lengths), channels)


def channels_of(config: Config, shape: Shape) -> Any:
    """Return the length of the channel axis."""
    return shape[1] if _is_first(config) else shape[-1]


def split_axes(config: Config, shape: Shape, rank: int) -> tuple[Shape, Shape, Length]:
    """Return batch axes, spatial axes and channels."""
    if len(shape) < rank + 2:
        raise ValueError(f"shape {shape} has no {rank} spatial axes")
    if _is_first(config):
        return shape[: -rank - 1], shape[-rank:], shape[-rank - 1]
    return shape[: -rank - 1], shape[-rank - 1 : -1], shape[-1]


def join_axes(config: Config, batch: Shape, space: Shape, channels: Length) -> Shape:
    """Return the shape with these axes, channels where the config puts them."""
    if _is_first(config):
        return (*(batch if len(batch) == 1 else batch[:-1]), channels, *space)
    return (*batch, *space, channels)


def _is_first(config: Config) -> bool:
    return bool(config.get("data_format") == "channels_first")
