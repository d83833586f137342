"""Compiling of a model for training: saved settings, overridden by what the user asks for."""

from __future__ import annotations

from typing import Any

import keras

from graphprune.engine.compile_names import (
    KerasNames,
    choose_loss,
    choose_optimizer,
    set_learning_rate,
)
from graphprune.keras3.optimizers import build_optimizer
from graphprune.runs.run_options import Compiling

NAMES = KerasNames(keras.optimizers, keras.losses, keras.metrics)


def compile_model(model: Any, asked: Compiling, place: str) -> None:
    """Compile `model` in place, unless it is compiled as asked.

    An optimizer that stays keeps its slots and iterations.

    Raises:
        TrainingError: a name is unknown, or a setting is neither saved with the model nor given.
    """
    saved = dict(model._compile_config.config) if model.compiled else {}
    loss = choose_loss(saved, asked, place, adds_losses=bool(model.losses))
    optimizer = choose_optimizer(getattr(model, "optimizer", None), asked, place, NAMES)
    NAMES.check(asked)
    if optimizer is not model.optimizer or asked.loss is not None or asked.metrics is not None:
        settings = {**saved, "optimizer": optimizer, "loss": loss}
        if asked.metrics is not None:
            settings["metrics"] = list(asked.metrics)
        # the optimizer of a saved mixed-precision model scales the loss already
        settings["auto_scale_loss"] = asked.optimizer is not None
        model.compile(**settings)
    if asked.learning_rate is not None:
        set_learning_rate(model.optimizer, asked.learning_rate, place)
    model.steps_per_execution = 1  # masks, checkpoints and progress need every step
    # a run has the same variables from its first step on
    build_optimizer(model, model.optimizer)
