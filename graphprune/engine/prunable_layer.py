"""The interface by which a custom layer names its weights to prune, in either Keras."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class PrunableLayer(ABC):
    """A custom layer, or RNN cell, that names its weights to prune.

    It can also be mixed into a subclass of a layer that comes with Keras.

    Any layer with a method `get_prunable_weights` qualifies, so layers written for another pruning
    library need no change:

        class Scaled(keras.layers.Layer, graphprune.PrunableLayer):
            def build(self, input_shape):
                self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4))

            def call(self, inputs):
                return inputs @ self.kernel

            def get_prunable_weights(self):
                return [self.kernel]
    """

    @abstractmethod
    def get_prunable_weights(self) -> list[Any]:
        """Return the variables to prune, in the same order each time.

        It is called only after the layer has been called.
        """

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        return (
            True
            if cls is PrunableLayer and callable(getattr(other, "get_prunable_weights", None))
            else NotImplemented
        )
