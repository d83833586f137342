"""Layers without weights that reshape a tensor or merge several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphprune.graph.classes.attention_steps import dotted
from graphprune.graph.classes.channel_rules import (
    Combined,
    flattening,
    joining,
    merging,
    passing,
    permuting,
    reshaping,
)
from graphprune.graph.classes.channels import ChannelCall, Channels, Weights, along_last
from graphprune.graph.classes.composite_steps import repeated
from graphprune.graph.classes.layer_class import LayerClass, always, merged, one
from graphprune.graph.classes.lengths import Config
from graphprune.graph.classes.steps import (
    AFFINE,
    combined,
    concatenation,
    fixed,
    permuted,
    reshaped,
)
from graphprune.graph.shapes.axis_lengths import Shape, broadcast, concatenate, size_of

MERGE = ("_Merge",)


def _flattened(_config: Config, shape: Shape) -> Shape:
    return shape[0], size_of(shape[1:])


def _reshaped(config: Config, shape: Shape) -> Shape:
    target, size = config["target_shape"], size_of(shape[1:])
    rest = size_of([length for length in target if length != -1])
    left = None if size is None or rest is None else size // rest
    return shape[0], *(left if length == -1 else length for length in target)


def _permuted(config: Config, shape: Shape) -> Shape:
    if sorted(config["dims"]) != list(range(1, len(shape))):
        raise ValueError(f"axes {config['dims']} are not those of {shape}")
    return (shape[0], *(shape[axis] for axis in config["dims"]))


def _repeated(config: Config, shape: Shape) -> Shape:
    batch, length = shape
    return batch, config["n"], length


def _added(_config: Config, shapes: Sequence[Shape]) -> Shape:
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError("layers that merge tensors of several ranks move their axes")
    return broadcast(shapes)


def _concatenated(config: Config, shapes: Sequence[Shape]) -> Shape:
    return concatenate(shapes, config.get("axis", -1))


def _dotted(config: Config, shapes: Sequence[Shape]) -> Shape:
    """Return the batch-wise product of two tensors without the axes that are summed.

    Two vectors give one number (`Dot.compute_output_shape`).
    """
    left, right = shapes
    axes = config["axes"]
    axes = axes if isinstance(axes, list | tuple) else (axes, axes)
    first, second = (range(len(shape))[axis] for axis, shape in zip(axes, shapes, strict=True))
    made = (*left[:first], *left[first + 1 :], *right[1:second], *right[second + 1 :])
    return made if len(made) > 1 else (*made, 1)


def _merge(
    values: Combined,
    *computed: str,
    is_symmetric: bool = True,
    is_pure: bool = True,
    absorbs_zero: bool = False,
    replaces_masked: bool = False,
) -> LayerClass:
    return LayerClass(
        "merge",
        MERGE,
        output_shapes=merged(_added),
        is_symmetric=is_symmetric,
        is_pure=is_pure,
        channels=merging(values, absorbs_zero=absorbs_zero, replaces_masked=replaces_masked),
        keeps_mask=always,
        joins_masks=True,
        steps=combined(*computed),
    )


def _resized(config: Config, _weights: Weights, made: Shape | None) -> Mapping[str, Any]:
    """Return the target of a Reshape; a length that it takes from the others stays open."""
    lengths = zip(config["target_shape"], (made or ())[1:], strict=True)
    return {"target_shape": [length if length == -1 else new for length, new in lengths]}


def _dot_channels(call: ChannelCall) -> Sequence[Channels | None]:
    """Apply the rule of a Dot layer: it sums products of two channels, of which one may be zero."""
    axes, (left, right) = call.config["axes"], call.taken
    pair = axes if isinstance(axes, list | tuple) else (axes, axes)
    summed = [along_last(axis, shape) for axis, shape in zip(pair, call.shapes, strict=True)]
    if left is None or right is None or call.config.get("normalize"):
        return call.keep_all("multiplies them with those of another tensor")
    if [left.axis, right.axis] != summed:
        return call.keep_all("does not sum over them")
    call.book.couple(left.labels, right.labels)
    call.book.use(left, left.zero | right.zero)
    return [None]


CLASSES: Mapping[str, LayerClass] = {
    "Flatten": LayerClass(
        "shape", output_shapes=one(_flattened), is_pure=True, channels=flattening, steps=fixed()
    ),
    "Reshape": LayerClass(
        "shape",
        output_shapes=one(_reshaped),
        is_pure=True,
        channels=reshaping,
        resized=_resized,
        steps=reshaped,
    ),
    "Permute": LayerClass(
        "shape", output_shapes=one(_permuted), is_pure=True, channels=permuting, steps=permuted
    ),
    "RepeatVector": LayerClass(
        "shape", output_shapes=one(_repeated), channels=passing, steps=repeated
    ),
    "Add": _merge(lambda values: np.sum(values, axis=0), "add"),
    "Average": _merge(lambda values: np.mean(values, axis=0), "add", AFFINE),
    "Maximum": _merge(np.maximum.reduce, "maximum", replaces_masked=True),
    "Minimum": _merge(np.minimum.reduce, "minimum", replaces_masked=True),
    "Multiply": _merge(np.multiply.reduce, "multiply", absorbs_zero=True, replaces_masked=True),
    "Subtract": _merge(np.subtract.reduce, "subtract", is_symmetric=False),
    "Concatenate": LayerClass(
        "merge",
        MERGE,
        output_shapes=merged(_concatenated),
        is_pure=True,
        channels=joining,
        steps=concatenation,
    ),
    "Dot": LayerClass(
        "merge", MERGE, output_shapes=merged(_dotted), channels=_dot_channels, steps=dotted
    ),
}
