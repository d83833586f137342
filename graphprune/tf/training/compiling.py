"""Compiling of a model for training: saved settings, overridden by what the user asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tf_keras
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.engine.compile_names import (
    NO_RUN,
    KerasNames,
    apply_rate,
    choose_loss,
    choose_optimizer,
)
from graphprune.engine.live_compiling import LiveCompiling
from graphprune.runs.run_options import Compiling
from graphprune.sparsity.positions import Run
from graphprune.tf.training.accumulation import accumulate_gradients

NAMES = KerasNames(tf_keras.optimizers, tf_keras.losses, tf_keras.metrics)


def compile_model(model: tf_keras.Model, asked: Compiling, place: str, run: Run = NO_RUN) -> None:
    """Compile `model` in place, unless it is compiled as asked.

    An optimizer that stays keeps its slots and iterations.

    Raises:
        TrainingError: a name is unknown, or a setting is neither saved with the model nor given.
    """
    saved = _saved_settings(model)
    loss = choose_loss(saved, asked, place, adds_losses=bool(model.losses))
    optimizer = choose_optimizer(getattr(model, "optimizer", None), asked, place, NAMES, run)
    if asked.loss is not None:
        loss = NAMES.find_loss(loss, model.output_names)
    metrics = saved.get("metrics")
    if asked.metrics is not None:
        metrics = NAMES.find_metrics(asked.metrics, model.output_names)
    if optimizer is not model.optimizer or asked.loss is not None or asked.metrics is not None:
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
    apply_rate(model.optimizer, asked, place)
    if asked.jit_compile is not None:
        model.jit_compile = asked.keras_jit
    model.autotune_steps_per_execution = False
    # masks change, checkpoints are written and progress is told between executions
    model.steps_per_execution = asked.steps_per_execution
    _build_optimizer(model)
    accumulate_gradients(model.optimizer, model.trainable_variables, asked.gradient_accumulation)


def compile_live(model: Any, live: LiveCompiling, asked: Compiling, place: str) -> None:
    """Compile a model with objects that were given in Python; names come later.

    Raises:
        TrainingError: there is no optimizer.
    """
    current = live.fresh_optimizer() or getattr(model, "optimizer", None)
    optimizer = choose_optimizer(current, replace(asked, learning_rate=None), place, NAMES, NO_RUN)
    saved = _saved_settings(model)
    model.compile(
        optimizer=optimizer,
        loss=saved.get("loss") if live.loss is None else live.loss,
        metrics=saved.get("metrics") if live.metrics is None else live.fresh_metrics(),
    )


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
