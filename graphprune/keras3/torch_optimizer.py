"""Optimizers of PyTorch itself (`torch.optim`), which know neither constraints nor masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
from keras.src.backend import Variable  # Keras before 3.7 has another as keras.Variable

from graphprune.arguments import wrong_type

if TYPE_CHECKING:
    from graphprune.keras3.held import HeldTensor

ATTRIBUTE = "_graphprune"
"""The attribute of an optimizer of PyTorch that holds its `TorchOptimizer`."""


class TorchOptimizer:
    """Holds the masks for an optimizer of PyTorch, and zeros masked weights after its steps.

    It has the attributes of a Keras optimizer that hold masks.

    Attributes:
        updates: The steps so far.
        tensors: The pruned weights, by the `id` of the variable.
        variables: The masks.
    """

    built = True

    def __init__(self, optimizer: Any) -> None:
        self.updates = 0
        self.tensors: dict[int, HeldTensor] = {}
        self.variables: list[Any] = []
        self._trainable_variables: tuple[Any, ...] = ()
        optimizer.register_step_post_hook(self._after_step)

    def add_variable(self, *, initializer: str, **options: Any) -> Any:
        """Return a new variable, as the method of a Keras optimizer does."""
        initial = keras.initializers.get(initializer)
        self.variables.append(Variable(initial, trainable=False, **options))
        return self.variables[-1]

    def follow(self, tensors: Iterable[HeldTensor]) -> None:
        """Zero the masked weights of `tensors` from now on."""
        self.tensors |= {id(tensor.weight): tensor for tensor in tensors}

    def _after_step(self, *_: Any) -> None:
        self.updates += 1
        for tensor in self.tensors.values():
            tensor.project()


def as_keras_optimizer(optimizer: Any) -> Any:
    """Return an optimizer of Keras as it is, and one of PyTorch as its `TorchOptimizer`.

    Raises:
        TypeError: it is neither.
    """
    if optimizer is None or isinstance(optimizer, keras.optimizers.Optimizer):
        return optimizer
    if not callable(getattr(optimizer, "register_step_post_hook", None)):
        raise wrong_type("optimizer", "an optimizer of Keras 3 or of torch.optim", optimizer)
    if ATTRIBUTE not in vars(optimizer):
        setattr(optimizer, ATTRIBUTE, TorchOptimizer(optimizer))
    return getattr(optimizer, ATTRIBUTE)
