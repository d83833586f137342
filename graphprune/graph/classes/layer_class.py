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
        name: Its bare name, below the path of a layer inside the layer (`forward_layer.kernel`,
            `query.kernel`); the cell of an RNN layer adds nothing to it.
        axes: One name an axis; empty where they have no settled meaning.
        prunable: Whether rules may claim it.
        needs: The config key that must be true for the weight to exist.
        trainable: Whether optimizers update it while its layer is not frozen.
        path: Where a `.keras` file holds it, below the layer's own path.
        scopes: The names, in the paths of variables, of the layers around it inside its own layer.
        is_copy: Whether it stands for a weight that a `.keras` file holds at a second place; it
            takes a number there and is no weight of its own.
    """

    name: str
    axes: Axes = ()
    prunable: bool = False
    needs: str = ""
    trainable: bool = True
    path: str = ""
    scopes: tuple[str, ...] = ()
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
        """Return the weights of a layer with this config, copies included; None where the config
        does not say.
        """
        found = self.weights(config) if callable(self.weights) else self.weights
        return (
            None
            if found is None
            else tuple(
                weight for weight in found if not weight.needs or config.get(weight.needs, True)
            )
        )


def names_in_order(weights: Sequence[Weight], stored: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of `weights`, without copies, in the order in which Keras lists the
    variables `stored` (paths without `:0`).

    Keras lists trainable variables first, so what is frozen inside a layer comes last, and configs
    do not always say what is. Variables whose names tell them apart go by name. None where their
    numbers differ.

    Example:
        >>> names_in_order(
        ...     [Weight("layer.kernel"), Weight("u", trainable=False)],
        ...     ["spectral/u", "spectral/kernel"],
        ... )
        ('u', 'layer.kernel')
        >>> both = [
        ...     Weight("forward_layer.kernel", scopes=("forward_a",)),
        ...     Weight("backward_layer.kernel", scopes=("backward_a",)),
        ... ]
        >>> names_in_order(both, ["b/backward_a/kernel", "b/forward_a/kernel"])
        ('backward_layer.kernel', 'forward_layer.kernel')
    """
    own = sorted(
        (weight for weight in weights if not weight.is_copy),
        key=lambda weight: not weight.trainable,
    )
    if len(own) != len(stored):
        return None
    by_last = {weight.name.rsplit(".", 1)[-1]: weight.name for weight in own}
    lasts = [path.rsplit("/", 1)[-1] for path in stored]
    if len(by_last) == len(own) and by_last.keys() == set(lasts):
        return tuple(by_last[name] for name in lasts)
    return _names_by_scopes(own, stored) or tuple(weight.name for weight in own)


def _names_by_scopes(weights: Sequence[Weight], stored: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the variables by the layers that stand in their paths; nothing where
    these do not tell them apart.
    """
    found: list[str] = []
    for path in stored:
        *scopes, last = path.split("/")
        fits = [
            weight.name
            for weight in weights
            if weight.scopes
            and weight.name.endswith(f".{last}")
            and set(weight.scopes) <= set(scopes)
        ]
        found += fits if len(fits) == 1 else ()
    return tuple(found) if len(set(found)) == len(stored) else ()
