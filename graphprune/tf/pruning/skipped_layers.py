"""Layers that stay dense when a whole model is pruned although they hold prunable weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tf_keras
from tf_keras.src.engine.base_layer import Layer

from graphprune.tf.layers.live_tensors import holds_prunable_layer, is_builtin_layer, prunable_names
from graphprune.tf.pruning.addresses import addressed_layers, is_layered_model
from graphprune.tf.pruning.wrapper import PruneLowMagnitude

LISTED = 5
_TOOLKIT = "tensorflow_model_optimization"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A layer that is not pruned.

    Attributes:
        address: Its address.
        kind: Its class.
        inside: The names of the layers inside it that could be pruned by themselves; empty if it
            has weights of its own.
        is_custom: Whether the class is the user's own.
    """

    address: str
    kind: str
    inside: tuple[str, ...]
    is_custom: bool

    def __str__(self) -> str:
        holds = ""
        if self.inside:
            more = " ..." if len(self.inside) > LISTED else ""
            holds = f", which holds {', '.join(self.inside[:LISTED])}{more}"
        return f"{self.address} ({self.kind}{holds})"


def find_skipped(model: tf_keras.Model) -> list[Skipped]:
    """Return the layers that stay dense although they may hold prunable weights.

    They hold layers that could be pruned, or they are custom layers with matrices of unknown
    meaning.
    """
    found = []
    for address, layer in addressed_layers(model):
        if (
            is_layered_model(layer)
            or isinstance(layer, PruneLowMagnitude)
            or holds_prunable_layer(layer)
            or prunable_names(layer)
        ):
            continue
        inside = tuple(
            part.name for part in layer._flatten_layers(include_self=False) if prunable_names(part)
        )
        is_custom = not is_builtin_layer(layer)
        if inside or (
            is_custom and any(weight.shape.rank >= 2 for weight in layer.trainable_weights)
        ):
            found.append(Skipped(address, type(layer).__name__, inside, is_custom))
    return found


def describe_skipped(skipped: Sequence[Skipped]) -> str:
    """Return which layers stay dense, and what to do."""
    more = f" and {len(skipped) - LISTED} more" if len(skipped) > LISTED else ""
    if any(layer.is_custom for layer in skipped):
        help = (
            "let the class inherit graphprune.PrunableLayer and return the weights to prune from"
            " get_prunable_weights"
        )
    else:
        help = "prune the inner model by itself before it is wrapped"
    return f"graphprune does not prune inside {', '.join(map(str, skipped[:LISTED]))}{more}; {help}"


def find_quantized(model: tf_keras.Model) -> list[str]:
    """Return the layers that tfmot prepared for quantization-aware training.

    Each one is given as `name is a class`.
    """
    return [
        f"{address} is a {type(layer).__name__}"
        for address, layer in addressed_layers(model)
        if _is_quantized(layer)
    ]


def _is_quantized(layer: Layer) -> bool:
    kind = type(layer)
    return kind.__module__.partition(".")[0] == _TOOLKIT and kind.__name__.startswith(
        ("QuantizeWrapper", "QuantizeAnnotate")
    )
