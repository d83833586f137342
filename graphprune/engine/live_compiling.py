"""Optimizer, loss and metrics that the user gives in Python as objects, in place of names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.arguments import wrong_type


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

    @classmethod
    def among(cls, optimizer: Any, loss: Any, metrics: Any) -> LiveCompiling:
        """Return those of the arguments that are objects, not names."""
        is_named = isinstance(optimizer, Mapping) or not has_objects(optimizer)
        return cls(
            None if is_named else optimizer,
            loss if has_objects(loss) else None,
            metrics if has_objects(metrics) else None,
        )

    def check(self, kinds: Mapping[str, tuple[type, ...]]) -> None:
        """Refuse what is neither a name, a function nor an object of the Keras.

        Args:
            kinds: The classes of `optimizer`, `loss` and `metrics`.

        Raises:
            TypeError: something else was given.
        """
        if self.optimizer is not None and not isinstance(self.optimizer, kinds["optimizer"]):
            raise wrong_type(
                "optimizer", "the name of one, such as 'adam', or an optimizer", self.optimizer
            )
        for name, value, example in (
            ("loss", self.loss, "the name of one, such as 'mse', a function or a loss"),
            ("metrics", self.metrics, "a list of names, such as ['accuracy'], or of metrics"),
        ):
            for part in _parts(value):
                if not isinstance(part, (str, *kinds[name])) and not inspect.isroutine(part):
                    raise wrong_type(name, example, value)
            if (
                name == "metrics"
                and value is not None
                and not isinstance(value, list | tuple | Mapping)
            ):
                raise wrong_type(name, example, value)

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


def _parts(value: Any) -> list[Any]:
    """Return the objects and names in a loss or metrics."""
    if isinstance(value, Mapping):
        return [part for one in value.values() for part in _parts(one)]
    if isinstance(value, list | tuple):
        return [part for one in value for part in _parts(one)]
    return [] if value is None else [value]


def _fresh(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _fresh(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_fresh(part) for part in value]
    return type(value).from_config(value.get_config()) if hasattr(value, "get_config") else value
