"""What the calls of a model say of its channels, before it is put together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from graphprune.graph.classes.channels import Channels, Labels, Role
from graphprune.graph.classes.constants import Made, Values
from graphprune.graph.tensor_shapes import TensorUse
from graphprune.shrink.channels import Reason

Place = tuple[str, str, int]
"""Address of a layer, name of a weight, axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Constants of channels that a weight multiplies, and what can take the result.

    Attributes:
        target: The address and the name of the weight that takes it.
        sign: What it is multiplied with there: 1 for a bias, -1 for a moving mean.
        labels: The labels along the axis of the weight that reads the channels.
        constants: For each call of the layer, the constant at each place; NaN where there is none.
        made: The axes of the weight that the target has.
    """

    target: tuple[str, str]
    sign: int
    labels: Labels
    constants: list[Values]
    made: Made


@dataclass(slots=True)
class Findings:
    """What the calls of a model say of its channels.

    Attributes:
        count: How many labels were given out.
        places: The labels along each axis of a weight, and what the weight does with them.
        pairs: Labels that belong to one channel.
        kept: Labels that stay, and why.
        used: Labels whose values are read where they are not known to be zero, and the layer that
            made them so.
        folds: What can be folded, by the place of the axis that reads the channels.
        outputs: The labels of each tensor that a call makes, by its use.
        replaces_masked: Whether steps may be masked for which Keras 3 takes other values.
    """

    count: int = 0
    places: dict[Place, tuple[Labels, Role]] = field(default_factory=dict)
    pairs: list[tuple[Labels, Labels]] = field(default_factory=list)
    kept: list[tuple[Labels, Reason]] = field(default_factory=list)
    used: list[tuple[Labels, Reason]] = field(default_factory=list)
    folds: dict[Place, Fold] = field(default_factory=dict)
    outputs: dict[TensorUse, Channels] = field(default_factory=dict)
    replaces_masked: bool = False

    def fresh(self, count: int) -> Labels:
        """Return new labels."""
        labels = np.arange(self.count, self.count + count)
        self.count += count
        return labels


def same_places(
    findings: Findings, names: Mapping[tuple[str, str], Hashable]
) -> Iterator[tuple[Labels, Labels]]:
    """Yield the channels of weights that are one and stand at two addresses.

    Args:
        findings: What a walk found.
        names: What names a weight, by the address of its layer and its own name.
    """
    first: dict[tuple[Hashable, int], Labels] = {}
    for (address, tensor, axis), (labels, _) in findings.places.items():
        name = names.get((address, tensor))
        if name is not None:
            known = first.setdefault((name, axis), labels)
            if known is not labels and known.shape == labels.shape:
                yield known, labels
