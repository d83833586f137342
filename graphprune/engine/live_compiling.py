"""Optimizer, loss and metrics that the user gives in Python as objects, in place of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LiveCompiling:
    """Objects to compile a model with; None keeps what the model has.

    Attributes:
        optimizer: An optimizer; the run uses one like it, without its state.
        loss: A loss or a function, or a mapping by output.
        metrics: A list of metrics, functions and names, or a mapping by output.
    """

    optimizer: Any = None
    loss: Any = None
    metrics: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether everything is named."""
        return self.optimizer is None and self.loss is None and self.metrics is None

    @property
    def given(self) -> tuple[str, ...]:
        """The arguments that are objects."""
        return tuple(
            name for name in ("optimizer", "loss", "metrics") if getattr(self, name) is not None
        )

    def fresh_optimizer(self) -> Any:
        """Return an optimizer like the given one, without state; None if there is none."""
        if self.optimizer is None:
            return None
        return type(self.optimizer).from_config(self.optimizer.get_config())

    def fresh_metrics(self) -> Any:
        """Return metrics like the given ones, without state."""
        return _fresh(self.metrics)


def has_objects(value: Any) -> bool:
    """Return whether a loss or metrics, also by output, has something that is no name.

    Example:
        >>> has_objects({"heads": ["mae"]}), has_objects(["mae", print])
        (False, True)
    """
    if isinstance(value, Mapping):
        return any(map(has_objects, value.values()))
    if isinstance(value, list | tuple):
        return any(map(has_objects, value))
    return value is not None and not isinstance(value, str)


def _fresh(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _fresh(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_fresh(part) for part in value]
    return type(value).from_config(value.get_config()) if hasattr(value, "get_config") else value
