"""What can be known of a layer class without TensorFlow: its bases, and its weights by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Axes = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight that a layer class makes.

    Attributes:
        name: Its bare name, below the path of a layer inside the layer (`forward_layer.kernel`, `query.kernel`); the cell of an RNN layer adds nothing to it.
        axes: One name an axis; empty where they have no settled meaning.
        prunable: Whether rules may claim it.
        needs: The config key that must be true for the weight to exist.
        trainable: Whether optimizers update it while its layer is not frozen.
        path: Where a `.keras` file holds it, below the layer's own path.
        is_copy: Whether it stands for a weight that a `.keras` file holds at a second place; it takes a number there and is no weight of its own.
    """

    name: str
    axes: Axes = ()
    prunable: bool = False
    needs: str = ""
    trainable: bool = True
    path: str = ""
    is_copy: bool = False


WeightsOf = Callable[[Mapping[str, Any]], tuple[Weight, ...] | None]
"""From a layer's config to its weights; None where the config does not say."""


@dataclass(frozen=True, slots=True)
class LayerClass:
    """What is known of one class.

    Attributes:
        bases: Names of its base classes, nearest first.
        weights: Its weights in storage order, or the function that finds them in a config.
    """

    bases: tuple[str, ...] = ()
    weights: tuple[Weight, ...] | WeightsOf = ()

    def weights_in(self, config: Mapping[str, Any]) -> tuple[Weight, ...] | None:
        """Return the weights of a layer with this config, copies included; None where the config does not say."""
        found = self.weights(config) if callable(self.weights) else self.weights
        return None if found is None else tuple(weight for weight in found if not weight.needs or config.get(weight.needs, True))


def names_in_order(weights: Sequence[Weight], stored: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of `weights`, without copies, in the order in which Keras lists the variables with the bare names `stored`.

    Keras lists trainable variables first; variables whose names tell them apart go by name, as a frozen layer lists them in another order. None where their
    numbers differ.

    Example:
        >>> names_in_order([Weight("layer.kernel"), Weight("u", trainable=False)], ["u", "kernel"])
        ('u', 'layer.kernel')
    """
    own = sorted((weight for weight in weights if not weight.is_copy), key=lambda weight: not weight.trainable)
    if len(own) != len(stored):
        return None
    by_last = {weight.name.rsplit(".", 1)[-1]: weight.name for weight in own}
    if len(by_last) == len(own) and by_last.keys() == set(stored):
        return tuple(by_last[name] for name in stored)
    return tuple(weight.name for weight in own)
