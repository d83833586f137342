"""Compiling of a model for training: saved settings, overridden by what the user asks for."""

from __future__ import annotations

from typing import Any

import tf_keras
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.engine.compile_names import (
    KerasNames,
    choose_loss,
    choose_optimizer,
    set_learning_rate,
)
from graphprune.runs.run_options import Compiling

NAMES = KerasNames(tf_keras.optimizers, tf_keras.losses, tf_keras.metrics)


def compile_model(model: tf_keras.Model, asked: Compiling, place: str) -> None:
    """Compile `model` in place, unless it is compiled as asked.

    An optimizer that stays keeps its slots and iterations.

    Raises:
        TrainingError: a name is unknown, or a setting is neither saved with the model nor given.
    """
    saved = _saved_settings(model)
    loss = choose_loss(saved, asked, place, adds_losses=bool(model.losses))
    optimizer = choose_optimizer(getattr(model, "optimizer", None), asked, place, NAMES)
    NAMES.check(asked)
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
        set_learning_rate(model.optimizer, asked.learning_rate, place)
    model.autotune_steps_per_execution = False
    model.steps_per_execution = 1  # masks, checkpoints and progress need every step
    _build_optimizer(model)


def _saved_settings(model: tf_keras.Model) -> dict[str, Any]:
    if not model._is_compiled or not hasattr(model, "_compile_config"):
        return {}
    return dict(model._compile_config.config)


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
