"""Layers without weights over space: pooling, padding, cropping, upsampling."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from graphprune.graph.classes.channel_rules import globally
from graphprune.graph.classes.channel_rules import over_space as each_channel
from graphprune.graph.classes.composite_steps import upsampled
from graphprune.graph.classes.layer_class import LayerClass, one
from graphprune.graph.classes.lengths import Config
from graphprune.graph.classes.spatial import (
    channels_of,
    each_space,
    join_axes,
    over_space,
    per_axis,
)
from graphprune.graph.classes.steps import (
    MASK,
    Branch,
    StepCall,
    Steps,
    StepsRule,
    cropped,
    padded,
    pooling,
    reduced,
)
from graphprune.graph.shapes.axis_lengths import Shape

Rule = Callable[[Config, Shape], Shape]


def _pooled(rank: int) -> Rule:
    def rule(config: Config, shape: Shape) -> Shape:
        settings = {
            "kernel_size": config["pool_size"],
            "strides": config.get("strides") or config["pool_size"],
            "padding": config.get("padding", "valid"),
            "data_format": config.get("data_format", "channels_last"),
        }
        return over_space(settings, shape, rank, channels_of(config, shape))

    return rule


def _globally_pooled(rank: int) -> Rule:
    def rule(config: Config, shape: Shape) -> Shape:
        ones = (1,) * rank if config.get("keepdims") else ()
        return join_axes(config, (shape[0],), ones, channels_of(config, shape))

    return rule


def _adapted(rank: int) -> Rule:
    def rule(config: Config, shape: Shape) -> Shape:
        size = tuple(per_axis(config["output_size"], rank))
        return join_axes(config, (shape[0],), size, channels_of(config, shape))

    return rule


def _bordered(rank: int, sign: int, setting: str) -> Rule:
    def rule(config: Config, shape: Shape) -> Shape:
        pairs = [config[setting]] if rank == 1 else config[setting]
        widths = [sum(pair) if isinstance(pair, list | tuple) else 2 * pair for pair in pairs]
        return each_space(config, shape, operator.add, [sign * width for width in widths])

    return rule


def _upsampled(rank: int) -> Rule:
    def rule(config: Config, shape: Shape) -> Shape:
        return each_space(config, shape, operator.mul, per_axis(config["size"], rank))

    return rule


def _pooling_steps(rank: int, kind: str) -> StepsRule:
    def rule(call: StepCall) -> Steps | None:
        config = call.config
        if rank > 2 or config.get("data_format") == "channels_first":
            return None
        window = per_axis(config["pool_size"], rank)
        strides = per_axis(config.get("strides") or window, rank)
        return (pooling(f"{kind} pooling", window, strides, config.get("padding", "valid")),)

    return rule


def _global_steps(rank: int, kind: str) -> StepsRule:
    def rule(call: StepCall) -> Steps | None:
        is_masked = call.is_masked and rank == 1 and kind == "mean"
        first = 2 if call.config.get("data_format") == "channels_first" else 1
        if is_masked:
            return _masked_mean() if call.is_mask_known and first == 1 else None
        return (reduced(kind, range(first, first + rank), rank + 2),)

    return rule


def _masked_mean() -> Steps:
    """Return the steps of the mean of a sequence over what its mask counts."""
    total = reduced("sum", (1,), 3)
    return (Branch("multiply", (-1, MASK)), total, Branch(total, (MASK,)), Branch("divide", (1, 2)))


def _border_steps(rank: int, key: str, step: Callable[[Sequence[Sequence[int]]], str]) -> StepsRule:
    """Return the rule of a layer that puts something at both ends of axes, or takes it away."""

    def rule(call: StepCall) -> Steps | None:
        config = call.config
        if config.get("data_format") == "channels_first":
            return None
        widths = [config[key]] if rank == 1 else config[key]
        pairs = [per_axis(width, 2) for width in widths]
        return (step([*pairs, (0, 0)]),) if any(map(any, pairs)) else ()

    return rule


def _classes(rank: int) -> Mapping[str, LayerClass]:
    pooled = LayerClass(
        "pooling",
        (f"Pooling{rank}D",),
        output_shapes=one(_pooled(rank)),
        is_pure=True,
        channels=each_channel(rank, lambda config: config.get("padding") != "same"),
    )
    over_all = LayerClass(
        "pooling",
        (f"GlobalPooling{rank}D",),
        output_shapes=one(_globally_pooled(rank)),
        is_pure=True,
        channels=globally(rank),
    )
    adaptive = LayerClass(
        "pooling", output_shapes=one(_adapted(rank)), versions=(3,), channels=each_channel(rank)
    )
    rules = {
        "ZeroPadding": _bordered(rank, 1, "padding"),
        "Cropping": _bordered(rank, -1, "cropping"),
        "UpSampling": _upsampled(rank),
    }
    constants: Mapping[str, Callable[[Config], bool]] = {
        "ZeroPadding": lambda _config: False,
        "Cropping": lambda _config: True,
        "UpSampling": lambda config: config.get("interpolation", "nearest") == "nearest",
    }
    steps = {
        "ZeroPadding": _border_steps(rank, "padding", padded),
        "Cropping": _border_steps(rank, "cropping", cropped),
        "UpSampling": upsampled(rank),
    }
    return {
        **{
            f"{kind}Pooling{rank}D": replace(pooled, steps=_pooling_steps(rank, kind.lower()))
            for kind in ("Average", "Max")
        },
        **{
            f"Adaptive{kind}Pooling{rank}D": replace(
                adaptive, bases=(f"BaseAdaptive{kind}Pooling", "BaseAdaptivePooling")
            )
            for kind in ("Average", "Max")
        },
        **{
            f"Global{name}Pooling{rank}D": replace(over_all, steps=_global_steps(rank, kind))
            for name, kind in (("Average", "mean"), ("Max", "maximum"))
        },
        **{
            f"{kind}{rank}D": LayerClass(
                "shape",
                output_shapes=one(rule),
                is_pure=True,
                channels=each_channel(rank, constants[kind]),
                steps=steps.get(kind),
            )
            for kind, rule in rules.items()
        },
    }


CLASSES: Mapping[str, LayerClass] = {**_classes(1), **_classes(2), **_classes(3)}
