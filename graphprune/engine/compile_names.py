"""Compile settings of a run: the names that users give, and what must be saved with the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from graphprune.errors import TrainingError
from graphprune.runs.run_options import Compiling
from graphprune.suggestions import closest

Kind = Literal["optimizer", "loss", "metric"]
SHORT = ("accuracy", "acc", "crossentropy", "ce")
"""Names of metrics that Keras resolves by the loss and the shape of the output."""


@dataclass(frozen=True, slots=True)
class KerasNames:
    """The modules of a Keras in which it looks up names; each has a function `get`."""

    optimizers: Any
    losses: Any
    metrics: Any

    def find_optimizer(self, name: str) -> Any:
        """Return the optimizer that a name means.

        Raises:
            TrainingError: there is none; the text has the closest names.
        """
        return _find("optimizer", name, self.optimizers.get, self._optimizer_names)

    def check(self, asked: Compiling) -> None:
        """Refuse a loss or a metric that Keras does not know.

        Raises:
            TrainingError: a name is unknown; the text has the closest names.
        """
        if asked.loss is not None:
            _find("loss", asked.loss, self.losses.get, lambda: _functions(self.losses))
        for name in asked.metrics or ():
            if name not in SHORT:
                _find("metric", name, self.metrics.get, self._metric_names)

    def _optimizer_names(self) -> set[str]:
        members: Mapping[str, Any] = vars(self.optimizers)
        return {
            name.lower()
            for name, value in members.items()
            if inspect.isclass(value) and name != "Optimizer"
        }

    def _metric_names(self) -> set[str]:
        return _functions(self.metrics) | {"accuracy"}


def _functions(module: Any) -> set[str]:
    members: Mapping[str, Any] = vars(module)
    found = {name for name, value in members.items() if inspect.isfunction(value)}
    return found - {"get", "serialize", "deserialize"}


def _find(kind: str, name: str, get: Any, names: Callable[[], set[str]]) -> Any:
    """Return the Keras object called `name`, or raise an error with the closest names."""
    try:
        found = get(name)
    except TypeError as fault:
        raise TrainingError(
            f"the {kind} {name!r} needs arguments, which a name cannot give; compile the model with"
            " it in Python and save it"
        ) from fault
    except ValueError:
        found = None
    # tf_keras returns the name of a metric that it does not know
    if found is None or isinstance(found, str):
        raise unknown_name(kind, name, names())
    return found


def unknown_name(kind: str, name: str, names: Iterable[str]) -> TrainingError:
    """Return the error for a name that Keras does not know, with the closest of its names."""
    known = sorted(names)
    hint = closest(name, known, count=3) or f"known are {', '.join(known)}"
    return TrainingError(f"no {kind} is called {name!r}; {hint}")


def choose_loss(
    saved: Mapping[str, Any], asked: Compiling, place: str, *, adds_losses: bool
) -> Any:
    """Return the loss to compile with.

    Args:
        saved: The settings that the model was saved with; empty if it was not compiled.
        asked: What the user asked for.
        place: The start of the error's text.
        adds_losses: Whether the model's layers add losses of their own.

    Raises:
        TrainingError: a loss is neither saved with the model nor given.
    """
    loss = saved.get("loss") if asked.loss is None else asked.loss
    if not loss and not (saved and adds_losses):
        raise TrainingError(
            "has no compile settings; compile the model before it is saved, or say how to"
            " train it with --loss and --optimizer (loss and optimizer in Python)",
            place=place,
        )
    return loss


def choose_optimizer(current: Any, asked: Compiling, place: str, names: KerasNames) -> Any:
    """Return the optimizer to compile with; `current` is that of the model, or None.

    Raises:
        TrainingError: a name is unknown, or an optimizer is neither saved nor given.
    """
    if asked.optimizer is not None:
        return names.find_optimizer(asked.optimizer)
    if current is None:
        raise TrainingError(
            "has no optimizer; name one with --optimizer (optimizer in Python)", place=place
        )
    return type(current).from_config(current.get_config()) if asked.reset_optimizer else current


def set_learning_rate(optimizer: Any, rate: float, place: str) -> None:
    """Set a constant learning rate.

    Raises:
        TrainingError: it is out of range, or the optimizer's rate follows a schedule.
    """
    if not 0 < rate < float("inf"):
        raise TrainingError(f"the learning rate must be above 0, got {rate:g}", place=place)
    try:
        optimizer.learning_rate = rate
    except TypeError as fault:
        raise TrainingError(
            "its learning rate follows a schedule; to use a constant one, name the"
            " optimizer too, with --optimizer",
            place=place,
        ) from fault
