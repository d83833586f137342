"""An exported model as the forms for serving are made from it, and what its outputs must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from graphprune.serving.outputs import Arrays


@dataclass(frozen=True, slots=True)
class Exported:
    """A model of either Keras, exported as a SavedModel with the signature `serving_default`.

    Attributes:
        folder: The SavedModel.
        name: The model's name, for errors.
        compute: What the Keras model computes from batches, one after another, in which it may
            keep a state: outputs by name, from inputs by name, both as the signature names them.
        weights: The values of the model's weights.
        is_half: Whether the model computes in 16 bits, which rounds more.
    """

    folder: Path
    name: str
    compute: Callable[[Sequence[Arrays]], dict[str, NDArray[Any]]]
    weights: tuple[NDArray[Any], ...]
    is_half: bool = False
