"""Layers that hold one layer: Wrapper, TimeDistributed, Bidirectional, SpectralNormalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graphprune.archive.entries import is_entry
from graphprune.graph.classes import composite_steps, recurrent_steps
from graphprune.graph.classes.channel_rules import stepwise
from graphprune.graph.classes.layer_class import Expected, LayerCall, LayerClass, Part, Weight
from graphprune.graph.classes.lengths import Config
from graphprune.graph.classes.recurrent_channels import both_ways
from graphprune.graph.shapes.axis_lengths import Shape

WRAPPER = ("Wrapper",)


def _held(config: Config) -> Sequence[Part]:
    return [Part("layer", config.get("layer"), "layer", setting="layer")]


def _both_ways(config: Config) -> Sequence[Part]:
    forward = config.get("layer")
    backward = config.get("backward_layer") or forward
    return [
        Part("forward_layer", forward, "forward_layer", "forward_", "layer"),
        Part("backward_layer", backward, "backward_layer", "backward_", "backward_layer"),
    ]


def _spectral_weights(inner: tuple[Weight, ...]) -> tuple[Weight, ...]:
    """Return all weights of a SpectralNormalization.

    It tracks the kernel of its layer as its own as well, and makes a vector.
    """
    if not inner:
        return inner
    return replace(inner[0], path="", is_copy=True), *inner, Weight("vector_u", trainable=False)


def _spectral_shapes(inner: Expected) -> Expected:
    kernel = inner.get("layer.kernel", inner.get("layer.embeddings"))
    return {**inner, "vector_u": (1, kernel[-1])} if kernel else inner


def _inner_output(call: LayerCall) -> Sequence[Shape | None]:
    return call.shapes_inside(call.config["layer"], call.taken[:1])


def _step_output(call: LayerCall) -> Sequence[Shape | None]:
    """Return the output shape of a TimeDistributed: its layer's output for each step."""
    taken = call.taken[0]
    if taken is None:
        return ()
    batch, steps, *rest = taken
    made = call.shapes_inside(call.config["layer"], [(batch, *rest)])[:1]
    return [None if shape is None else (shape[0], steps, *shape[1:]) for shape in made]


def _both_output(call: LayerCall) -> Sequence[Shape | None]:
    """Return the output shape of a Bidirectional, from those of its two layers."""
    forward, backward = (
        [shape for shape in call.shapes_inside(part.entry, call.taken[:1]) if shape is not None]
        for part in _both_ways(call.config)
    )
    merge = call.config["merge_mode"]
    states = (*forward[1:], *backward[1:])
    if merge is None:
        return (forward[0], backward[0], *states)
    left, right = forward[0][-1], backward[0][-1]
    if merge == "concat" and left is not None and right is not None:
        return ((*forward[0][:-1], left + right), *states)
    if merge in ("sum", "mul", "ave") and forward[0] == backward[0]:
        return (forward[0], *states)
    raise ValueError(f"merge mode {merge!r} is not known")


def _gives_sequence(config: Config) -> bool:
    forward: Any = config.get("layer")
    return is_entry(forward) and bool(forward["config"].get("return_sequences"))


def without_derived_direction(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a Bidirectional without a backward layer made of the forward one.

    Keras 3 writes both, and the name that it gave the forward layer.
    """
    forward: Any = config.get("layer")
    backward: Any = config.get("backward_layer")
    if not (is_entry(forward) and is_entry(backward)):
        return config
    name = str(forward["config"].get("name", ""))
    base = name.removeprefix("forward_")
    if name == base:
        return config
    derived = forward["config"] | {
        "name": f"backward_{base}",
        "go_backwards": not forward["config"].get("go_backwards", False),
    }
    named = config | {"layer": forward | {"config": forward["config"] | {"name": base}}}
    is_derived = backward["config"] == derived
    return {key: item for key, item in named.items() if not is_derived or key != "backward_layer"}


def _both_ways_alike(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a Bidirectional without what Keras 3 adds to the layers in it.

    Both Kerases give zeros for masked steps of layers that return sequences, and Keras 3 writes so.
    """
    found = without_derived_direction(config)
    for key in ("layer", "backward_layer"):
        held: Any = found.get(key)
        if is_entry(held):
            inner = {name: v for name, v in held["config"].items() if name != _ZERO_OUTPUT}
            found = {**found, key: {**held, "config": inner}}
    return found


_ZERO_OUTPUT = "zero_output_for_mask"

CLASSES: Mapping[str, LayerClass] = {
    "Wrapper": LayerClass(parts=_held, calls=("layer",)),
    "TimeDistributed": LayerClass(
        "sequence",
        WRAPPER,
        output_shapes=_step_output,
        parts=_held,
        outer_axes=1,
        calls=("layer",),
        channels=stepwise,
        steps=composite_steps.for_each_step,
    ),
    "Bidirectional": LayerClass(
        "sequence",
        WRAPPER,
        output_shapes=_both_output,
        normalize=_both_ways_alike,
        channels=both_ways,
        steps=recurrent_steps.both_ways,
        keeps_mask=_gives_sequence,
        takes_mask=True,
        parts=_both_ways,
        rest="initial_state",
        calls=("forward_layer", "backward_layer"),
        stored_twice="layer",
    ),
    "SpectralNormalization": LayerClass(
        "normalization",
        WRAPPER,
        output_shapes=_inner_output,
        parts=_held,
        around=_spectral_weights,
        shapes_around=_spectral_shapes,
        calls=("layer",),
    ),
}
