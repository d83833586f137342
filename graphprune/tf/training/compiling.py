"""Compiling of a model for training: saved settings, overridden by what the user asks for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import tf_keras
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.errors import TrainingError
from graphprune.runs.run_options import Compiling
from graphprune.suggestions import closest


def compile_model(model: tf_keras.Model, asked: Compiling, place: str) -> None:
    """Compile `model` in place, unless it is compiled as asked.

    An optimizer that stays keeps its slots and iterations.

    Raises:
        TrainingError: a name is unknown, or a setting is neither saved with the model nor given.
    """
    saved = _saved_settings(model)
    loss = saved.get("loss") if asked.loss is None else asked.loss
    if not loss and not (saved and model.losses):
        raise TrainingError(
            "has no compile settings; compile the model before it is saved, or say how to"
            " train it with --loss and --optimizer (loss and optimizer in Python)",
            place=place,
        )
    optimizer = _choose_optimizer(model, asked, place)
    if asked.loss is not None:
        _check_name("loss", asked.loss, tf_keras.losses.get, tf_keras.losses)
    for name in asked.metrics or ():
        if name not in ("accuracy", "acc", "crossentropy", "ce"):
            _check_name("metric", name, tf_keras.metrics.get, tf_keras.metrics)
    if optimizer is not model.optimizer or asked.loss is not None or asked.metrics is not None:
        metrics = saved.get("metrics") if asked.metrics is None else list(asked.metrics)
        others = {
            name: value
            for name, value in saved.items()
            if name not in ("optimizer", "loss", "metrics")
        }
        model.compile(
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            from_serialized=bool(saved) and asked.metrics is None,
            **others,
        )
    if asked.learning_rate is not None:
        _set_learning_rate(model, asked.learning_rate, place)
    model.autotune_steps_per_execution = False
    model.steps_per_execution = 1  # masks, checkpoints and progress need every step
    _build_optimizer(model)


def _saved_settings(model: tf_keras.Model) -> dict[str, Any]:
    if not model._is_compiled or not hasattr(model, "_compile_config"):
        return {}
    return dict(model._compile_config.config)


def _choose_optimizer(model: tf_keras.Model, asked: Compiling, place: str) -> Any:
    if asked.optimizer is not None:
        return _check_name(
            "optimizer", asked.optimizer, tf_keras.optimizers.get, tf_keras.optimizers
        )
    current = getattr(model, "optimizer", None)
    if current is None:
        raise TrainingError(
            "has no optimizer; name one with --optimizer (optimizer in Python)", place=place
        )
    return type(current).from_config(current.get_config()) if asked.reset_optimizer else current


def _build_optimizer(model: tf_keras.Model) -> None:
    """Create the optimizer's slots now: a run has the same variables from its first step on."""
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if isinstance(inner, OptimizerV2):
        inner._create_all_weights(model.trainable_variables)
        return
    inner.build(model.trainable_variables)
    # Keras loads weights after it builds the optimizer, so averages start from outdated weights
    if inner.use_ema and int(inner.iterations.numpy()) == 0:
        for average, weight in zip(
            inner._model_variables_moving_average, model.trainable_variables, strict=True
        ):
            average.assign(weight)


def _set_learning_rate(model: tf_keras.Model, rate: float, place: str) -> None:
    if not 0 < rate < float("inf"):
        raise TrainingError(f"the learning rate must be above 0, got {rate:g}", place=place)
    try:
        model.optimizer.learning_rate = rate
    except TypeError as fault:
        raise TrainingError(
            "its learning rate follows a schedule; to use a constant one, name the"
            " optimizer too, with --optimizer",
            place=place,
        ) from fault


def _check_name(kind: str, name: str, get: Any, module: Any) -> Any:
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
    # Keras returns the name of a metric that it does not know
    if found is None or isinstance(found, str):
        known = _names(module)
        hint = closest(name, known, count=3) or f"known are {', '.join(known)}"
        raise TrainingError(f"no {kind} is called {name!r}; {hint}")
    return found


def _names(module: Any) -> list[str]:
    """Return the names that users may write.

    These are optimizer classes in lower case, and functions of losses and metrics.
    """
    members: Mapping[str, Any] = vars(module)
    if module is tf_keras.optimizers:
        return sorted(
            name.lower()
            for name, value in members.items()
            if inspect.isclass(value) and name != "Optimizer"
        )
    names = {name for name, value in members.items() if inspect.isfunction(value)} - {
        "get",
        "serialize",
        "deserialize",
    }
    return sorted(names | {"accuracy"} if module is tf_keras.metrics else names)
