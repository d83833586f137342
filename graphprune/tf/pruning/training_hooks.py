"""Training hooks of a wrapped layer: they keep masked weights zero and require a pruner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
from tf_keras.src.engine.base_layer import Layer

from graphprune.engine.pruner import no_pruner


class WithPruner:
    """A train function kept from one `fit` to the next, which checks for a pruner.

    It is not traced again, so tracing cannot notice that the pruner is missing.

    Attributes:
        function: The train function.
        wrappers: The pruned layers of the model.
    """

    def __init__(self, function: Callable[..., Any], wrappers: Sequence[Layer]) -> None:
        self.function = function
        self.wrappers = wrappers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Train, unless a layer has lost its pruner.

        Raises:
            TrainingError: no pruner follows a pruned layer.
        """
        for wrapper in self.wrappers:
            if not wrapper.has_pruner:
                raise no_pruner(wrapper.name)
        return self.function(*args, **kwargs)


def forget_first_traces() -> None:
    """Let each tf.function that this thread is tracing for the first time be traced again.

    TensorFlow treats a first trace that ends in an error as one that made no variables, and then
    refuses the variables of optimizer and metrics in the second one (`Function._call`,
    tensorflow/python/eager/polymorphic_function/polymorphic_function.py).
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is Function._initialize.__code__:
            frame.f_locals["self"]._variable_creation_config = None
        frame = frame.f_back


def is_symbolic(arguments: Any) -> bool:
    """Return whether a functional model is being built rather than trained."""
    if any(
        isinstance(tensor, tf_keras.__internal__.KerasTensor)
        for tensor in tf.nest.flatten(arguments)
    ):
        return True
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        name = getattr(graph, "name", "")
        if name.endswith("_scratch_graph") or name == "keras_graph":
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


class Projection:
    """The constraint of a pruned weight: the layer's own constraint first, then the mask.

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
