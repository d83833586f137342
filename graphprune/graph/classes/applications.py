"""Layers that models of `keras.applications` define for themselves.

Keras does not export them, and a user's own class may have the same name, so a layer is one of
them only if its file names the module that defines it. Files without modules (`.h5`) do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from graphprune.archive.allowed.keras_names import APPLICATION_LAYERS
from graphprune.archive.entries import Entry, below_keras
from graphprune.graph.classes.channel_rules import merging
from graphprune.graph.classes.channels import ChannelCall, Channels
from graphprune.graph.classes.layer_class import LayerClass, merged
from graphprune.graph.classes.lengths import Config
from graphprune.graph.classes.steps import AFFINE, Branch, StepCall, Steps
from graphprune.graph.shapes.axis_lengths import Shape, broadcast

_REGISTERED = "Custom>"
"""The package under which tf_keras registers these layers."""


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


CLASSES: Mapping[str, LayerClass] = {
    "CustomScaleLayer": LayerClass(
        "merge",
        output_shapes=merged(_scaled_sum),
        is_pure=True,
        keras3_class="CustomScaleLayer",
        channels=_scaled_sum_channels,
        steps=_scaled_sum_steps,
    )
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
    return f"{_REGISTERED}{name}" if keras == 2 else name


def without_package(name: str) -> str:
    """Return the name of a class of an application without the package that tf_keras adds.

    Example:
        >>> without_package("Custom>CustomScaleLayer"), without_package("Custom>Own")
        ('CustomScaleLayer', 'Custom>Own')
    """
    bare = name.removeprefix(_REGISTERED)
    return bare if bare in CLASSES else name
