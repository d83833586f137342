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
from graphprune.errors import TrainingError
from graphprune.keras3.optimizers import build_optimizer
from graphprune.runs.run_options import Compiling

ACCUMULATION = "gradient_accumulation_steps"
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
    _check_accumulation(model.optimizer, place)
    if asked.learning_rate is not None:
        set_learning_rate(model.optimizer, asked.learning_rate, place)
    model.steps_per_execution = 1  # masks, checkpoints and progress need every step
    # a run has the same variables from its first step on
    build_optimizer(model, model.optimizer)


def _check_accumulation(optimizer: Any, place: str) -> None:
    every = getattr(getattr(optimizer, "inner_optimizer", optimizer), ACCUMULATION, None) or 1
    if every > 1:
        raise TrainingError(
            f"its optimizer accumulates the gradients of {every} batches, and a run counts one"
            f" update a batch; compile the model without {ACCUMULATION} and take a larger batch"
            " size, or train in Python with graphprune.UpdatePruningStep in fit",
            place=place,
        )
