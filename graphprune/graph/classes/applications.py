"""Layers that models of `keras.applications` define for themselves.

Keras does not export them, and a user's own class may have the same name, so a layer is one of
them only if its file names the module that defines it. Files without modules (`.h5`) do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from graphprune.archive.allowed.keras_names import APPLICATION_LAYERS
from graphprune.archive.entries import Entry, below_keras
from graphprune.graph.classes.channel_rules import merging, passing
from graphprune.graph.classes.channels import ChannelCall, Channels, along_last, from_axis
from graphprune.graph.classes.layer_class import SAME, LayerClass, Weight, merged
from graphprune.graph.classes.lengths import Config, parse_length
from graphprune.graph.classes.steps import AFFINE, Branch, StepCall, Steps, fixed
from graphprune.graph.shapes.axis_lengths import Shape, broadcast

_PACKAGE = "Custom>"
"""The package under which tf_keras registers the layers that it can load."""
_LOADED_BY_KERAS_3 = (3,)
"""The versions of a layer that tf_keras has, and cannot load from its own files."""


def _scale_of(config: Config) -> float:
    scale = config["scale"]
    if type(scale) not in (int, float) or not math.isfinite(scale):
        raise ValueError(f"the scale must be a finite number, got {scale!r}")
    return float(scale)


def _scaled_sum(config: Config, shapes: Sequence[Shape]) -> Shape:
    first, second = shapes
    if len(first) != len(second):
        raise ValueError("the tensors have several ranks")
    return broadcast([first, second])


def _scaled_sum_channels(call: ChannelCall) -> Sequence[Channels | None]:
    """Apply the rule of `x + scale * y`."""
    scale = _scale_of(call.config)
    if len(call.taken) != 2:
        return call.keep_all("does not take two tensors")
    return merging(lambda values: values[0] + scale * values[1])(call)


def _scaled_sum_steps(call: StepCall) -> Steps | None:
    return (Branch(AFFINE, (-2,)), Branch("add", (-1, 0))) if len(call.taken) == 2 else None


def _layer_scale_channels(call: ChannelCall) -> Sequence[Channels | None]:
    """Apply the rule of a LayerScale: each channel is scaled alone."""
    channels = call.first
    if channels is None:
        return [None]
    if channels.axis != along_last(-1, call.shapes[0]):
        call.keep(channels, "scales along another axis than that of their channels")
        return [call.filled(channels)]
    count = channels.count
    call.bind("gamma", 0, channels.labels, "scales")
    zero = channels.zero | call.zeros("gamma", 0, count, absent=False)
    value = channels.constants * call.values("gamma", count, 1.0)
    return [Channels(channels.axis, channels.labels, zero, channels.filled_by, value)]


CLASSES: Mapping[str, LayerClass] = {
    "CustomScaleLayer": LayerClass(
        "merge",
        output_shapes=merged(_scaled_sum),
        is_pure=True,
        keras3_class="CustomScaleLayer",
        channels=_scaled_sum_channels,
        steps=_scaled_sum_steps,
        numbers=("scale",),
    ),
    "LayerScale": LayerClass(
        "normalization",
        weights=(Weight("gamma"),),
        weight_shapes=lambda config: {
            "gamma": (parse_length(config["projection_dim"], "projection_dim"),)
        },
        output_shapes=SAME,
        is_pure=True,
        versions=_LOADED_BY_KERAS_3,
        keras3_class="LayerScale",
        channels=_layer_scale_channels,
        resized=from_axis("projection_dim", "gamma", 0),
        steps=fixed(AFFINE),
    ),
    "StochasticDepth": LayerClass(
        "regularization",
        output_shapes=SAME,
        versions=_LOADED_BY_KERAS_3,
        keras3_class="StochasticDepth",
        channels=passing,
        steps=fixed(),
    ),
}


def find_application(entry: Entry) -> str:
    """Return the module below `keras.src.` that defines a layer's class; empty for other classes.

    Example:
        >>> module = "tf_keras.src.applications.inception_resnet_v2"
        >>> names = {"class_name": "CustomScaleLayer", "config": {}}
        >>> find_application(names | {"module": module}), find_application(names)
        ('applications.inception_resnet_v2', '')
    """
    module = below_keras(entry.get("module")) or ""
    return module if entry["class_name"] in APPLICATION_LAYERS.get(module, ()) else ""


def registered_name(name: str, keras: int) -> str:
    """Return the name by which a Keras registers the class of an application."""
    return f"{_PACKAGE}{name}" if keras == 2 else name


def without_package(name: str) -> str:
    """Return the name of a class of an application without the package that tf_keras adds.

    Example:
        >>> without_package("Custom>CustomScaleLayer"), without_package("Custom>Own")
        ('CustomScaleLayer', 'Custom>Own')
    """
    bare = name.removeprefix(_PACKAGE)
    return bare if bare in CLASSES else name
