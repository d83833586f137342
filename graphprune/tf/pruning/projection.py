"""The constraint that keeps masked weights at zero."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


class Projection:
    """The constraint of a pruned weight: the layer's own constraint first, then zero wherever the
    mask says so.

    Optimizers apply constraints once after each update, so the projection of a layer's first pruned
    weight also counts the layer's steps.
    """

    def __init__(
        self,
        own: Callable[[tf.Tensor], tf.Tensor] | None,
        mask: tf.Variable,
        counter: tf.Variable | None,
    ) -> None:
        self.own = own
        self.mask = mask
        self.counter = counter

    def __call__(self, weight: tf.Variable) -> tf.Tensor:
        """Return the value that the optimizer assigns to `weight`."""
        if self.counter is not None:
            self.counter.assign_add(1)
        value = tf.convert_to_tensor(weight if self.own is None else self.own(weight))
        return tf.math.multiply_no_nan(
            value, tf.cast(self.mask, value.dtype)
        )  # zero times infinity is zero; half the time of tf.where
