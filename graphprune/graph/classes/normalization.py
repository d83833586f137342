"""Layers that normalize their input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphprune.graph.classes.channel_rules import normalizing
from graphprune.graph.classes.channels import ChannelCall, Channels, along_last
from graphprune.graph.classes.constants import Values
from graphprune.graph.classes.layer_class import SAME, Expected, LayerClass, Weight, always
from graphprune.graph.classes.lengths import Config, Lengths, Open, parse_length
from graphprune.graph.classes.normalization_steps import (
    normalized,
    normalized_by_squares,
    normalized_groups,
    normalized_to_unit_length,
)
from graphprune.graph.classes.steps import AFFINE, only_last_axis

SCALE_AND_CENTER = (Weight("gamma", needs="scale"), Weight("beta", needs="center"))
MOVING = ("moving_mean", "moving_variance")
RENORM = ("moving_stddev", "renorm_mean", "renorm_stddev")


def _batch_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a BatchNormalization, with those of its `renorm` form."""
    moving = (*MOVING, *(RENORM if config.get("renorm") else ()))
    return *SCALE_AND_CENTER, *(Weight(name, trainable=False) for name in moving)


def _layer_weights(config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a LayerNormalization.

    With `rms_scaling`, a setting of Keras 3, it only scales, whatever `scale` and `center` say.
    """
    return (Weight("gamma"),) if config.get("rms_scaling") else SCALE_AND_CENTER


def _batch_shapes(config: Config) -> Expected:
    axis = config.get("axis", -1)
    if isinstance(axis, list | tuple) and len(axis) != 1:
        return {}
    return along_axes("gamma", "beta", *MOVING, *RENORM)(config)


def along_axes(*names: str) -> Callable[[Config], Expected]:
    """Return the weight shapes of a layer that keeps one number for each place along its axes.

    There are as many of them for each of `names`.
    """

    def shapes(config: Config) -> Expected:
        axis = config.get("axis", -1)
        axes = axis if isinstance(axis, list | tuple) else [axis]
        axes = [] if axis is None else axes
        lengths: Lengths = tuple(Open(f"axis {one}") for one in axes)
        return dict.fromkeys(names, lengths)

    return shapes


def _group_shapes(config: Config) -> Expected:
    groups = config.get("groups", 32)
    channels = Open("groups")
    if groups != -1:
        channels = Open("channels in a group", parse_length(groups, "groups"))
    return {"gamma": (channels,), "beta": (channels,)}


def _with_listed_axes(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with a list of axes for one axis, as Keras writes it once it is built."""
    return config | {"axis": [config["axis"]]} if isinstance(config["axis"], int) else config


def _batch_channels(call: ChannelCall) -> Sequence[Channels | None]:
    """Apply the rule of a BatchNormalization: each channel is scaled and shifted alone.

    It is zero where gamma and beta are, and where its input, the moving mean and beta are.
    """
    channels = call.first
    if channels is None:
        return [None]
    if along_last(call.config.get("axis", -1), call.shapes[0]) != channels.axis:
        call.keep(channels, "normalizes along another axis than that of their channels")
        return [call.filled(channels)]
    labels, count = channels.labels, channels.count
    has_scale = call.book.has("gamma")
    call.bind("gamma", 0, labels, "scales")
    call.bind("beta", 0, labels, "scales")
    call.bind("moving_mean", 0, labels, "statistics" if has_scale else "scales")
    for name in ("moving_variance", *RENORM):
        call.bind(name, 0, labels, "statistics")
    unscaled = call.zeros("gamma", 0, count, absent=False)
    zero = unscaled | (channels.zero & call.zeros("moving_mean", 0, count))
    zero = zero & call.zeros("beta", 0, count)
    value = _batch_value(call, channels.constants)
    return [Channels(channels.axis, labels, zero, channels.filled_by, value)]


def _batch_value(call: ChannelCall, constants: Values) -> Values:
    """Return what a BatchNormalization makes of constants; those with a gamma of zero are."""
    count = len(constants)
    gamma, beta = call.values("gamma", count, 1.0), call.values("beta", count)
    mean, variance = call.values("moving_mean", count), call.values("moving_variance", count)
    root = np.sqrt(variance + call.config.get("epsilon", 1e-3))
    return np.where(gamma == 0, beta, gamma * (constants - mean) / root + beta)


BATCH_NORMALIZATION = LayerClass(
    "normalization",
    ("BatchNormalizationBase",),
    _batch_weights,
    _batch_shapes,
    SAME,
    is_pure=True,
    normalize=_with_listed_axes,
    channels=_batch_channels,
    keeps_mask=always,
    takes_mask=True,
    steps=only_last_axis(AFFINE),
    numbers=("epsilon",),
)

CLASSES: Mapping[str, LayerClass] = {
    "BatchNormalization": BATCH_NORMALIZATION,
    "SyncBatchNormalization": replace(
        BATCH_NORMALIZATION,
        is_pure=False,
        versions=(2,),
        keras3_class="BatchNormalization",
        keras3_settings={"synchronized": True},
    ),
    "LayerNormalization": LayerClass(
        "normalization",
        (),
        _layer_weights,
        along_axes("gamma", "beta"),
        SAME,
        is_pure=True,
        normalize=_with_listed_axes,
        channels=normalizing,
        keeps_mask=always,
        steps=normalized,
    ),
    "GroupNormalization": LayerClass(
        "normalization",
        (),
        SCALE_AND_CENTER,
        _group_shapes,
        SAME,
        channels=normalizing,
        steps=normalized_groups,
    ),
    "RMSNormalization": LayerClass(
        "normalization",
        (),
        (Weight("scale"),),
        along_axes("scale"),
        SAME,
        versions=(3,),
        channels=normalizing,
        steps=normalized_by_squares,
    ),
    "UnitNormalization": LayerClass(
        "normalization", output_shapes=SAME, channels=normalizing, steps=normalized_to_unit_length
    ),
}
