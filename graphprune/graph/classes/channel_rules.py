"""Channel rules that several families of layer classes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from graphprune.graph.classes.channels import (
    ChannelCall,
    ChannelRule,
    Channels,
    along_last,
    channel_axis,
)
from graphprune.graph.classes.constants import Function, Values, effect_of
from graphprune.graph.classes.lengths import Config
from graphprune.graph.shapes.axis_lengths import Shape, size_of

MAX_REARRANGED = 1 << 24
"""Elements of a tensor that is reshaped."""

Result = Sequence[Channels | None]


def passing(call: ChannelCall) -> Result:
    """Return the channels as they are: each value is zero where it was."""
    return [call.first]


def over_space(rank: int, keeps: Callable[[Config], bool] = lambda _config: False) -> ChannelRule:
    """Return the rule of a layer that works on each channel alone, over its spatial axes.

    Args:
        rank: The number of these axes.
        keeps: Whether a layer of this config leaves constant channels as they are; zeros stay.
    """

    def rule(call: ChannelCall) -> Result:
        channels = call.along(0, channel_axis(call.config, rank))
        is_kept = channels is None or keeps(call.config)
        return [channels if is_kept else without_constants(channels)]

    return rule


def without_constants(channels: Channels | None) -> Channels | None:
    """Return channels of which only the zeros are known."""
    return None if channels is None else replace(channels, value=None)


def globally(rank: int) -> ChannelRule:
    """Return the rule of a layer that makes one number of each channel."""

    def rule(call: ChannelCall) -> Result:
        channels = call.along(0, channel_axis(call.config, rank))
        if channels is None or call.config.get("keepdims"):
            return [channels]
        return [replace(channels, axis=-1)]

    return rule


def activation(call: ChannelCall) -> Result:
    """Apply the rule of an Activation layer."""
    channels = call.first
    effect = effect_of(call.config.get("activation"))
    if channels is None or effect != "mixes":
        return [None if channels is None else call.activated(channels)]
    call.keep(channels, "is an activation that is not known to treat each value alone")
    return [channels]


def elementwise(
    keeps_zero: Callable[[Config], bool],
    function: Callable[[Config], Function | None] = lambda _config: None,
) -> ChannelRule:
    """Return the rule of a function of each value.

    Args:
        keeps_zero: Whether it is zero at zero, by the config.
        function: The function, by the config; None where it is not known.
    """

    def rule(call: ChannelCall) -> Result:
        channels, config = call.first, call.config
        if channels is None:
            return [None]
        return [call.applied(channels, function(config), keeps_zero=keeps_zero(config))]

    return rule


def softmax(call: ChannelCall) -> Result:
    """Apply the rule of a Softmax layer: sums along its axis are 1."""
    channels = call.first
    if channels is None:
        return [None]
    if along_last(call.config.get("axis", -1), call.shapes[0]) in (None, channels.axis):
        call.keep(channels, "divides them by their sum")
    return [call.filled(channels)]


def normalizing(call: ChannelCall) -> Result:
    """Keep channels in whose statistics the others count."""
    call.keep(call.first, "normalizes over its channels, whose statistics would change")
    return [None if call.first is None else call.filled(call.first)]


def slopes(call: ChannelCall) -> Result:
    """Apply the rule of a PReLU, whose slopes are along all axes but the batch."""
    channels = call.first
    if channels is None:
        return [None]
    shape = call.shapes[0]
    if shape is None:
        call.keep(channels, "has slopes along axes that are not known")
        return [channels]
    place = len(shape) + channels.axis - 1
    if place + 1 not in (call.config.get("shared_axes") or ()):
        call.bind("alpha", place, channels.labels, "statistics")
    return [without_constants(channels)]


Combined = Callable[[Sequence[Values]], Values]
"""What a layer makes of one value of each of its tensors."""


def merging(
    combined: Combined, *, absorbs_zero: bool = False, replaces_masked: bool = False
) -> ChannelRule:
    """Return the rule of a sum or product of tensors, value by value.

    Args:
        combined: What it makes of the values.
        absorbs_zero: Whether one zero makes the result zero, as in a product.
        replaces_masked: Whether Keras 3 leaves masked values out, such as by a factor of 1
            (keras/src/layers/merging/multiply.py and base_merge.py).
    """

    def rule(call: ChannelCall) -> Result:
        if len({None if shape is None else len(shape) for shape in call.shapes}) > 1:
            return call.keep_all("merges tensors of several ranks")
        if replaces_masked and call.book.replaces_masked:
            return [without_constants(merge(call, combined, absorbs_zero=False))]
        return [merge(call, combined, absorbs_zero=absorbs_zero)]

    return rule


def merge(call: ChannelCall, combined: Combined, *, absorbs_zero: bool) -> Channels | None:
    """Return the channels of tensors that are broadcast to each other and merged, see `merging`."""
    made = _merge(call, absorbs_zero=absorbs_zero)
    known = [channels.constants for channels in call.taken if channels is not None]
    if (
        made is None
        or len(known) < len(call.taken)
        or {len(each) for each in known} != {made.count}
    ):
        return made
    with np.errstate(all="ignore"):
        value = combined(known)
    return replace(made, value=np.where(np.isfinite(value), value, np.nan))


def _merge(call: ChannelCall, *, absorbs_zero: bool) -> Channels | None:
    known = [channels for channels in call.taken if channels is not None]
    if not known:
        return None
    axis, count = known[0].axis, max(channels.count for channels in known)
    others = [
        shape
        for channels, shape in zip(call.taken, call.shapes, strict=True)
        if channels is None and not _is_single(shape, axis)
    ]
    if others:
        call.keep_all("merges them with a tensor whose channels are not known to be alike")
    if any(channels.axis != axis for channels in known):
        call.keep_all("merges tensors whose channels are along different axes")
        return None
    if any(shape is None or shape[axis] != count for shape in others):
        return None
    made = next(channels for channels in known if channels.count == count)
    masks = [np.zeros(count, bool) for _ in range(len(call.taken) - len(known))]
    for channels in known:
        if channels.count == count:
            call.book.couple(made.labels, channels.labels)
            masks.append(channels.zero)
        else:
            call.keep(channels, "repeats them along an axis")
            masks.append(np.zeros(count, bool))
    zero = np.any(masks, axis=0) if absorbs_zero else np.all(masks, axis=0)
    filled_by = next((channels.filled_by for channels in known if channels.filled_by), "")
    return Channels(axis, made.labels, zero, filled_by)


def _is_single(shape: Shape | None, axis: int) -> bool:
    """Return whether a tensor has one value along the axis, which is repeated for all channels."""
    return shape is not None and (len(shape) < -axis or shape[axis] == 1)


def joining(call: ChannelCall) -> Result:
    """Apply the rule of a Concatenate layer."""
    return [join(call, call.config.get("axis", -1))]


def join(call: ChannelCall, axis: object) -> Channels | None:
    """Return the channels of tensors that are joined along an axis of the call's tensors."""
    known = [channels for channels in call.taken if channels is not None]
    shape = next((shape for shape in call.shapes if shape is not None), None)
    along = along_last(axis, shape)
    if not known:
        return None
    if along is None or any(channels.axis != known[0].axis for channels in known):
        call.keep_all("joins tensors whose channels are along different axes")
        return None
    if known[0].axis != along:
        return _joined_elsewhere(call, known)
    parts: list[Channels] = []
    for channels, shape in zip(call.taken, call.shapes, strict=True):
        if channels is not None:
            parts.append(channels)
            continue
        length = None if shape is None else shape[along]
        if length is None:
            call.keep_all("joins them with a tensor of unknown length")
            return None
        labels = call.book.fresh(length)
        call.book.keep(labels, "joins a tensor whose channels are not known")
        parts.append(Channels(along, labels, np.zeros(length, bool)))
    filled_by = next((part.filled_by for part in parts if part.filled_by), "")
    return Channels(
        along,
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.zero for part in parts]),
        filled_by,
        np.concatenate([part.constants for part in parts]),
    )


def _joined_elsewhere(call: ChannelCall, known: Sequence[Channels]) -> Channels:
    """Return the channels of tensors that are joined along another axis, such as steps."""
    made = known[0]
    if len(known) < len(call.taken) or any(channels.count != made.count for channels in known):
        call.keep_all("joins them with a tensor whose channels are not known to be alike")
        return replace(made, zero=np.zeros(made.count, bool), value=None)
    zero, value = made.zero, made.constants
    for channels in known[1:]:
        call.book.couple(made.labels, channels.labels)
        zero = zero & channels.zero
        value = np.where(channels.constants == value, value, np.nan)
    filled_by = next((channels.filled_by for channels in known if channels.filled_by), "")
    return Channels(made.axis, made.labels, zero, filled_by, value)


def flattening(call: ChannelCall) -> Result:
    """Apply the rule of a Flatten layer, which moves channels to the end before."""
    channels, shape = call.first, call.shapes[0] if call.shapes else None
    if channels is None:
        return [None]
    if shape is None or len(shape) < 2:
        call.keep(channels, "flattens a tensor of unknown shape")
        return [None]
    if call.config.get("data_format") == "channels_first" and len(shape) > 2:
        shape = (shape[0], *shape[2:], shape[1])
        first = channels.axis + len(shape) == 1
        channels = replace(channels, axis=-1 if first else channels.axis - 1)
    return [rearrange(call, channels, shape, (shape[0], size_of(shape[1:])))]


def reshaping(call: ChannelCall) -> Result:
    """Apply the rule of a Reshape layer."""
    channels, shape = call.first, call.shapes[0] if call.shapes else None
    if channels is None:
        return [None]
    if shape is None or call.made is None:
        call.keep(channels, "reshapes a tensor of unknown shape")
        return [None]
    return [rearrange(call, channels, shape, call.made)]


def rearrange(
    call: ChannelCall, channels: Channels, shape: Shape, target: Shape
) -> Channels | None:
    """Return the channels of a tensor that is reshaped.

    Each place of the result has the channel of the value that it gets. The channels of the result
    are along the last axis on which they alone depend; if there is none, those that share a place
    of the last axis are coupled.
    """
    if channels.axis == -1 and target and target[-1] == shape[-1]:
        return channels
    sizes, places = size_of(shape[1:]), size_of(target[1:])
    if sizes is None or sizes != places or sizes > MAX_REARRANGED or len(target) < 2:
        call.keep(channels, "reshapes a tensor whose size is not known")
        return None
    own = [1] * (len(shape) - 1)
    own[channels.axis] = channels.count
    index = np.broadcast_to(np.arange(channels.count).reshape(own), [n or 0 for n in shape[1:]])
    index = index.reshape([length or 0 for length in target[1:]])
    for axis in range(-1, -len(target), -1):
        rows = np.moveaxis(index, axis, 0).reshape(index.shape[axis], -1)
        if (rows == rows[:, :1]).all():
            chosen = rows[:, 0]
            return replace(
                channels,
                axis=axis,
                labels=channels.labels[chosen],
                zero=channels.zero[chosen],
                value=channels.constants[chosen],
            )
    rows = np.moveaxis(index, -1, 0).reshape(index.shape[-1], -1)
    labels = channels.labels[rows]
    call.book.couple(np.broadcast_to(labels[:, :1], labels.shape).ravel(), labels.ravel())
    zero = np.asarray(channels.zero[rows].all(1))
    return replace(channels, axis=-1, labels=labels[:, 0], zero=zero, value=None)


def permuting(call: ChannelCall) -> Result:
    """Apply the rule of a Permute layer; its axes count from 1."""
    return [permute(call, [0, *call.config["dims"]])]


def permute(call: ChannelCall, order: Sequence[int]) -> Channels | None:
    """Return the channels of a tensor whose axes are put in the order `order`."""
    channels = call.first
    if channels is None:
        return None
    axis = len(order) + channels.axis
    if sorted(order) != list(range(len(order))):
        call.keep(channels, "puts axes in an order that is not known")
        return None
    return replace(channels, axis=list(order).index(axis) - len(order))


def stepwise(call: ChannelCall) -> Result:
    """Apply the rule of a TimeDistributed layer: its layer for each step."""
    channels, shape = call.first, call.shapes[0] if call.shapes else None
    inner: Shape | None = None if shape is None else (shape[0], *shape[2:])
    if channels is not None and (inner is None or -channels.axis >= len(inner)):
        return call.keep_all("has them along its axis of steps")
    return call.book.inside(call.config["layer"], "layer", [channels], [inner])
