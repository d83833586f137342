"""Compile settings of a run: the names that users give, and what must be saved with the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphprune.engine.data_function import import_object
from graphprune.engine.learning_rates import rate_schedule, set_learning_rate, with_settings
from graphprune.errors import TrainingError
from graphprune.runs.run_options import Compiling
from graphprune.runs.setting_values import RateCurve, is_object, read_rate
from graphprune.sparsity.positions import Run
from graphprune.suggestions import closest

NO_RUN = Run()
"""A run of unknown length, for models that are not trained."""
Kind = Literal["optimizer", "loss", "metric"]
SHORT = ("accuracy", "acc", "crossentropy", "ce")
"""Names of metrics that Keras resolves by the loss and the shape of the output."""


@dataclass(frozen=True, slots=True)
class KerasNames:
    """The modules of a Keras in which it looks up names; each has a function `get`."""

    optimizers: Any
    losses: Any
    metrics: Any

    def find_optimizer(self, asked: str | Mapping[str, Any]) -> Any:
        """Return the optimizer that a name means, or a mapping with its name and settings.

        Raises:
            TrainingError: there is none, or it has no such setting; the text has the closest names.
        """
        if isinstance(asked, str):
            return _find("optimizer", asked, self.optimizers.get, self._optimizer_names)
        name = str(asked["name"])
        kind = type(_find("optimizer", name, self.optimizers.get, self._optimizer_names))
        settings = {key: value for key, value in asked.items() if key != "name"}
        known = _settings_of(kind)
        for key in settings:
            if key not in known:
                hint = closest(key, known, count=3) or f"known are {', '.join(sorted(known))}"
                raise TrainingError(f"the optimizer {name!r} has no setting {key!r}; {hint}")
        try:
            return kind(**settings)
        except (TypeError, ValueError) as fault:
            raise TrainingError(f"the optimizer {name!r} cannot be made: {fault}") from fault

    def find_loss(self, asked: Any, outputs: Sequence[str]) -> Any:
        """Return a loss to compile with, from names by which it is asked for.

        Args:
            asked: A name, `MODULE:FUNCTION`, or these by output.
            outputs: The names of the model's outputs.

        Raises:
            TrainingError: a name is unknown; the text has the closest names.
        """
        return _by_output("loss", asked, outputs, self._loss)

    def find_metrics(self, asked: Any, outputs: Sequence[str]) -> Any:
        """Return metrics to compile with; the same as for `find_loss`, a list each."""
        return _by_output(
            "metrics", asked, outputs, lambda names: [self._metric(name) for name in names]
        )

    def _loss(self, name: str) -> Any:
        if is_object(name):
            return made_object(name)
        _find("loss", name, self.losses.get, lambda: _functions(self.losses))
        return name

    def _metric(self, name: str) -> Any:
        if is_object(name):
            return made_object(name)
        if name not in SHORT:
            _find("metric", name, self.metrics.get, self._metric_names)
        return name

    def _optimizer_names(self) -> set[str]:
        members: Mapping[str, Any] = vars(self.optimizers)
        return {
            name.lower()
            for name, value in members.items()
            if inspect.isclass(value) and name != "Optimizer"
        }

    def _metric_names(self) -> set[str]:
        return _functions(self.metrics) | {"accuracy"}


def made_object(spec: str) -> Any:
    """Return the object that `MODULE:NAME` names; a class is called without arguments."""
    found = import_object(spec)
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except TypeError as fault:
        raise TrainingError(
            f"the class needs arguments ({fault}); name a function or an instance", place=spec
        ) from fault


def _by_output(what: str, asked: Any, outputs: Sequence[str], find: Callable[[Any], Any]) -> Any:
    if not isinstance(asked, Mapping):
        return find(asked)
    check_outputs(what, asked, outputs)
    return {output: find(part) for output, part in asked.items()}


def check_outputs(what: str, asked: Any, outputs: Sequence[str]) -> None:
    """Refuse losses or metrics by output that name an output that the model does not have.

    Raises:
        TrainingError: there is one; the text has the closest names.
    """
    for output in asked if isinstance(asked, Mapping) else ():
        if output not in outputs:
            hint = closest(output, outputs, count=3) or f"outputs are {', '.join(outputs)}"
            raise TrainingError(f"the model has no output {output!r}; {hint}", place=what)


def _settings_of(kind: type) -> set[str]:
    """Return the names of the arguments of an optimizer's class and its bases."""
    found: set[str] = set()
    for base in kind.__mro__[:-1]:
        if "__init__" in vars(base):
            found |= set(inspect.signature(base).parameters)
    return found - {"self", "kwargs", "args", "name"}


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


def choose_optimizer(
    current: Any, asked: Compiling, place: str, names: KerasNames, run: Run, counts: int = 1
) -> Any:
    """Return the optimizer to compile with; `current` is that of the model, or None.

    A curve of the learning rate begins with the run, so its optimizer is new, without state.
    `counts` is as for `rate_schedule`.

    Raises:
        TrainingError: a name is unknown, or an optimizer is neither saved nor given.
    """
    if asked.optimizer is not None:
        current = names.find_optimizer(asked.optimizer)
    if current is None:
        raise TrainingError(
            "has no optimizer; name one with --optimizer (optimizer in Python)", place=place
        )
    if isinstance(asked.learning_rate, Mapping):
        curve = read_rate(asked.learning_rate)
        assert isinstance(curve, RateCurve)
        rate = rate_schedule(names.optimizers.schedules, curve, run, counts)
        return with_settings(current, learning_rate=rate)
    is_new = asked.reset_optimizer and asked.optimizer is None
    return type(current).from_config(current.get_config()) if is_new else current


def apply_rate(optimizer: Any, asked: Compiling, place: str) -> None:
    """Set the constant learning rate that is asked for, if there is one.

    Raises:
        TrainingError: it is out of range, or the optimizer's rate follows a schedule.
    """
    if isinstance(asked.learning_rate, int | float):
        set_learning_rate(optimizer, asked.learning_rate, place)
