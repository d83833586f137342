"""Convolutions and locally connected layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from graphprune.graph.classes.activation_steps import activated
from graphprune.graph.classes.channels import (
    ChannelCall,
    ChannelRule,
    Channels,
    Role,
    Weights,
    channel_axis,
    from_axis,
    linear,
)
from graphprune.graph.classes.layer_class import (
    SPATIAL,
    Axes,
    Expected,
    LayerClass,
    OutputShapes,
    Weight,
    one,
)
from graphprune.graph.classes.lengths import (
    Config,
    Lengths,
    Open,
    SettingError,
    read_setting,
    read_window,
)
from graphprune.graph.classes.multiply_adds import at_each_place
from graphprune.graph.classes.spatial import (
    LengthOf,
    channels_of,
    convolved_length,
    over_space,
    per_axis,
    transposed_length,
)
from graphprune.graph.classes.steps import (
    StepCall,
    Steps,
    StepsRule,
    along_lengths,
    convolution,
    padded,
)
from graphprune.graph.shapes.axis_lengths import Shape

IN = Open("in")
OUT_BIAS = Weight("bias", ("out",), needs="use_bias")
BIAS = Weight("bias", needs="use_bias")


_UNUSED_KERNEL = frozenset({"kernel_initializer", "kernel_regularizer", "kernel_constraint"})
"""Settings of a kernel that depthwise and separable convolutions inherit and do not have."""


def _convolution(rank: int) -> LayerClass:
    def shapes(config: Config) -> Expected:
        filters, groups = read_setting(config, "filters"), read_setting(config, "groups", 1)
        if filters % groups:
            raise SettingError(f"filters must be a multiple of groups, got {filters} and {groups}")
        return {"kernel": (*read_window(rank, config), IN, filters), "bias": (filters,)}

    return LayerClass(
        "convolution",
        ("Conv",),
        (Weight("kernel", (*SPATIAL[rank], "in", "out"), prunable=True), OUT_BIAS),
        shapes,
        _convolved(rank),
        output_weight="kernel",
        is_pure=True,
        channels=_channels(rank),
        resized=_resized,
        multiply_adds=at_each_place("kernel"),
        steps=_steps(rank, "convolution", "kernel"),
    )


def _transposed(rank: int) -> LayerClass:
    def shapes(config: Config) -> Expected:
        filters = read_setting(config, "filters")
        return {"kernel": (*read_window(rank, config), filters, IN), "bias": (filters,)}

    return LayerClass(
        "convolution",
        (f"Conv{rank}D", "Conv"),
        (Weight("kernel", (*SPATIAL[rank], "out", "in"), prunable=True), OUT_BIAS),
        shapes,
        _convolved(rank, transposed_length),
        is_pure=True,
        channels=_channels(rank, is_transposed=True),
        resized=from_axis("filters", "kernel", -2),
        multiply_adds=at_each_place("kernel", of_input=True),
        steps=_steps(rank, "transposed convolution", "kernel"),
    )


def _depthwise_kernel(rank: int) -> Weight:
    return Weight("depthwise_kernel", (*SPATIAL[rank], "in", "multiplier"), prunable=True)


def _depthwise_shapes(rank: int) -> Callable[[Config], Expected]:
    def shapes(config: Config) -> Expected:
        multiplier = read_setting(config, "depth_multiplier", 1)
        return {
            "depthwise_kernel": (*read_window(rank, config), IN, multiplier),
            "bias": (Open("in", multiplier),),
        }

    return shapes


def _depthwise(rank: int) -> LayerClass:
    return LayerClass(
        "convolution",
        ("DepthwiseConv", "Conv"),
        (_depthwise_kernel(rank), BIAS),
        _depthwise_shapes(rank),
        _convolved(rank),
        is_pure=True,
        tfmot_prunes=() if rank == 2 else None,
        unused=_UNUSED_KERNEL | {"filters"},
        channels=_depthwise_channels(rank),
        multiply_adds=at_each_place("depthwise_kernel"),
        steps=_steps(rank, "depthwise convolution", "depthwise_kernel"),
    )


def _separable(rank: int) -> LayerClass:
    def shapes(config: Config) -> Expected:
        filters, depthwise = read_setting(config, "filters"), _depthwise_shapes(rank)(config)
        pointwise = (*(1,) * rank, *depthwise["bias"], filters)
        return {**depthwise, "pointwise_kernel": pointwise, "bias": (filters,)}

    pointwise = Weight("pointwise_kernel", (*SPATIAL[rank], "in", "out"), prunable=True)
    return LayerClass(
        "convolution",
        ("SeparableConv", "Conv"),
        (_depthwise_kernel(rank), pointwise, OUT_BIAS),
        shapes,
        _convolved(rank),
        is_pure=True,
        tfmot_prunes=("pointwise_kernel",),
        unused=_UNUSED_KERNEL,
        channels=_separable_channels(rank),
        resized=from_axis("filters", "pointwise_kernel", -1),
        multiply_adds=at_each_place("depthwise_kernel", "pointwise_kernel"),
        steps=_separable_steps(rank),
    )


def _steps(rank: int, kind: str, weight: str) -> StepsRule:
    return activated(lambda call: _convolution_steps(rank, kind, weight, call))


def _convolution_steps(rank: int, kind: str, weight: str, call: StepCall) -> Steps | None:
    """Return the steps of a convolution; along one axis it is one of two, the first of length 1.

    Causal padding is a step of its own. Depthwise and dilated ones of volumes are not known.
    """
    config, kernel = call.config, call.weights[weight]
    is_plain = "depthwise" not in kind and {*per_axis(config.get("dilation_rate", 1), rank)} == {1}
    if config.get("data_format") == "channels_first" or (rank > 2 and not is_plain):
        return None
    strides, dilation = (
        (*(1,) * (2 - rank), *per_axis(config.get(key, 1), rank))
        for key in ("strides", "dilation_rate")
    )
    padding, lengths = config["padding"], (*(1,) * (2 - rank), *kernel[:rank])
    shape = call.taken[0]
    read = (*(1,) * (2 - rank), *shape[1:-1]) if shape is not None else (None, None)
    if kind != "transposed convolution":
        strides, dilation = along_lengths(read, lengths, strides, dilation)
    channels = kernel[rank:]
    if kind == "depthwise convolution":
        channels = (channels[0] * channels[1],)
    before: Steps = ()
    if padding == "causal":
        reach = (lengths[-1] - 1) * dilation[-1]
        before, padding = ((padded([(reach, 0), (0, 0)]),) if reach else ()), "valid"
    return *before, convolution(kind, (*lengths, *channels), strides, dilation, padding)


def _separable_steps(rank: int) -> StepsRule:
    def rule(call: StepCall) -> Steps | None:
        first = _convolution_steps(rank, "depthwise convolution", "depthwise_kernel", call)
        pointwise = call.weights["pointwise_kernel"]
        lengths = (*(1,) * (2 - rank), *pointwise)
        if first is None:
            return None
        return *first, convolution("convolution", lengths, (1, 1), (1, 1), "valid")

    return activated(rule)


def _channels(rank: int, *, is_transposed: bool = False) -> ChannelRule:
    """Return the channel rule of a convolution."""
    axes = (rank + 1, rank) if is_transposed else (rank, rank + 1)

    def rule(call: ChannelCall) -> Sequence[Channels | None]:
        axis, filters = channel_axis(call.config, rank), call.config["filters"]
        read = call.along(0, axis)
        groups = call.config.get("groups", 1)
        if groups > 1:
            return [call.activated(_grouped(call, read, rank, axis))]
        uneven = _why_uneven(call, rank, is_transposed=is_transposed)
        return [call.activated(linear(call, read, "kernel", axes, filters, axis, uneven))]

    return rule


def _why_uneven(call: ChannelCall, rank: int, *, is_transposed: bool = False) -> str:
    """Return why sums over constant channels differ from place to place; empty if they do not."""
    if is_transposed:
        return "adds them up in other ways at its borders, so that no bias can take their constant"
    is_padded = call.config.get("padding", "valid") != "valid"
    if is_padded and any(length != 1 for length in per_axis(call.config["kernel_size"], rank)):
        return "pads its input with zeros, so that no bias can take their constant"
    return ""


def _resized(config: Config, weights: Weights, _made: Shape | None) -> Mapping[str, Any]:
    filters = weights["kernel"][-1]
    if config.get("groups", 1) == 1:
        return {"filters": filters}
    return {"filters": filters, "groups": filters * config["groups"] // config["filters"]}


def _grouped(call: ChannelCall, read: Channels | None, rank: int, axis: int) -> Channels:
    """Return what a grouped convolution makes; each group is removed as a whole."""
    filters, groups = call.config["filters"], call.config["groups"]
    made = call.book.own("kernel", rank + 1, filters, "produces")
    rows = made.reshape(groups, -1)
    first = rows[:, :1]
    call.book.couple(np.broadcast_to(first, rows.shape).ravel(), rows.ravel())
    zero = call.zeros("kernel", rank + 1, filters)
    if read is None or read.count % groups:
        call.book.keep(made, "reads tensors in groups of channels that stay")
        call.keep(read, "has another number of channels than its groups need")
    else:
        inner = read.labels.reshape(groups, -1)
        call.book.couple(np.broadcast_to(first, inner.shape).ravel(), inner.ravel())
        call.book.use(read, read.zero)
        zero = zero | np.repeat(read.zero.reshape(groups, -1).all(1), filters // groups)
    call.bind("bias", 0, made, "scales")
    return Channels(axis, made, zero & call.zeros("bias", 0, filters))


def _depthwise_channels(rank: int) -> ChannelRule:
    """Return the channel rule of a depthwise convolution: each channel goes to its own ones."""

    def rule(call: ChannelCall) -> Sequence[Channels | None]:
        read = call.along(0, channel_axis(call.config, rank))
        if read is None:
            return [None]
        made = _each_alone(call, read, rank, "scales")
        call.bind("bias", 0, made.labels, "scales")
        zero = made.zero & call.zeros("bias", 0, made.count)
        value = made.constants + call.values("bias", made.count)
        return [call.activated(replace(made, zero=zero, value=value))]

    return rule


def _each_alone(call: ChannelCall, read: Channels, rank: int, role: Role) -> Channels:
    """Return what a depthwise kernel makes of channels, before a bias."""
    times = call.config.get("depth_multiplier", 1)
    call.bind("depthwise_kernel", rank, read.labels, role)
    empty = call.zeros("depthwise_kernel", rank, read.count)
    value = np.full(read.count * times, np.nan)
    kernel = call.book.values("depthwise_kernel")
    if kernel is not None and not _why_uneven(call, rank):
        sums = kernel.sum(tuple(range(rank)))
        value = (read.constants[:, None] * sums).ravel()
    zero = np.repeat(read.zero | empty, times)
    return replace(read, labels=np.repeat(read.labels, times), zero=zero, value=value)


def _separable_channels(rank: int) -> ChannelRule:
    def rule(call: ChannelCall) -> Sequence[Channels | None]:
        axis, filters = channel_axis(call.config, rank), call.config["filters"]
        read = call.along(0, axis)
        if read is not None:
            read = _each_alone(call, read, rank, "consumes")
        made = linear(call, read, "pointwise_kernel", (rank, rank + 1), filters, axis)
        return [call.activated(made)]

    return rule


def _locally_connected(rank: int) -> LayerClass:
    return LayerClass(
        "convolution",
        (),
        partial(_local_weights, rank),
        partial(_local_shapes, rank),
        _convolved(rank),
        versions=(2,),
    )


def _local_weights(rank: int, config: Mapping[str, Any]) -> tuple[Weight, ...]:
    """Return the weights of a LocallyConnected layer; `implementation` decides how it stores them.

    1: one small dense kernel a position; 2: one kernel from every input to every output, of which
    only those in reach ever act, so it is not prunable; 3: the list of the weights in reach.
    """
    spatial = SPATIAL[rank]
    before, after = (tuple(f"{side}_{axis}" for axis in spatial) for side in ("in", "out"))
    first = config.get("data_format") == "channels_first"
    full = ("in", *before, "out", *after) if first else (*before, "in", *after, "out")
    kinds: Mapping[Any, Axes] = {1: ("position", "in", "out"), 2: full, 3: ("weight",)}
    implementation = config.get("implementation", 1)
    kernel = Weight("kernel", kinds.get(implementation, ()), prunable=implementation in (1, 3))
    return kernel, Weight("bias", (*spatial, "out"), needs="use_bias")


def _local_shapes(rank: int, config: Config) -> Expected:
    filters, window = read_setting(config, "filters"), math.prod(read_window(rank, config))
    last: Lengths = (*(None,) * (2 * rank + 1), filters)
    if config.get("data_format") == "channels_first":
        last = (*(None,) * (rank + 1), filters, *(None,) * rank)
    kernels: Mapping[Any, Lengths] = {1: (None, Open("in", window), filters), 2: last, 3: (None,)}
    implementation = config.get("implementation", 1)
    known = {"kernel": kernels[implementation]} if implementation in (1, 2, 3) else {}
    return {**known, "bias": (*(None,) * rank, filters)}


def _convolved(rank: int, length_of: LengthOf = convolved_length) -> OutputShapes:
    def shape_of(config: Config, shape: Shape) -> Shape:
        if "filters" in config:
            return over_space(config, shape, rank, config["filters"], length_of)
        # a depthwise convolution keeps its channels apart
        channels = channels_of(config, shape) * config.get("depth_multiplier", 1)
        return over_space(config, shape, rank, channels, length_of)

    return one(shape_of)


CLASSES: Mapping[str, LayerClass] = {
    **{f"Conv{rank}D": _convolution(rank) for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": _transposed(rank) for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": _depthwise(rank) for rank in (1, 2)},
    **{f"SeparableConv{rank}D": _separable(rank) for rank in (1, 2)},
    **{f"LocallyConnected{rank}D": _locally_connected(rank) for rank in (1, 2)},
}
