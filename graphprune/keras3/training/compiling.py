"""Compiling of a model for training: saved settings, overridden by what the user asks for."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import keras

from graphprune.engine.compile_names import (
    NO_RUN,
    KerasNames,
    apply_rate,
    choose_loss,
    choose_optimizer,
)
from graphprune.engine.learning_rates import with_settings
from graphprune.engine.live_compiling import LiveCompiling
from graphprune.errors import TrainingError
from graphprune.keras3.optimizers import build_optimizer
from graphprune.runs.run_options import Compiling
from graphprune.sparsity.positions import Run

ACCUMULATION = "gradient_accumulation_steps"
NAMES = KerasNames(keras.optimizers, keras.losses, keras.metrics)
EXECUTIONS = (3, 7)
"""The first version of Keras that ends an execution where TensorFlow has no more batches."""

MIXING_LOSSES = ((3, 5), (3, 6))
"""The versions of Keras that give the losses of a dict to outputs in alphabetical order."""


def check_executions(steps: int, place: str, backend: str, version: str) -> None:
    """Refuse executions of several steps where Keras has none, or fails at the end of an epoch.

    Raises:
        TrainingError: `steps` is above 1 and cannot be on this backend.
    """
    if steps == 1:
        return
    where = {"torch": "on PyTorch"}
    if tuple(map(int, version.split(".")[:2])) < EXECUTIONS:
        where["tensorflow"] = f"with Keras {version} on TensorFlow, and 3.7 or newer takes more"
    if backend in where:
        raise TrainingError(
            f"steps per execution must be 1 {where[backend]}, got {steps}; leave the setting out",
            place=place,
        )


def check_losses(model: Any, place: str, version: str) -> None:
    """Refuse losses that Keras computes for other outputs than those that they are given for.

    Keras 3.5 and 3.6 take the losses of a dict in alphabetical order, also where the outputs are a
    list, which has its own.

    Raises:
        TrainingError: the outputs of `model` are in another order.
    """
    loss = model._compile_config.config.get("loss") if model.compiled else None
    names = list(getattr(model, "output_names", None) or ())
    is_list = not isinstance(getattr(model, "_outputs_struct", None), dict)
    mixes_up = tuple(map(int, version.split(".")[:2])) in MIXING_LOSSES
    if mixes_up and is_list and isinstance(loss, dict) and names != sorted(names):
        raise TrainingError(
            f"Keras {version} gives the losses of a dict to the outputs of a list in alphabetical"
            " order; use Keras 3.7 or newer, or compile the model with a list of losses",
            place=place,
        )


def compile_model(model: Any, asked: Compiling, place: str, run: Run = NO_RUN) -> None:
    """Compile `model` in place, unless it is compiled as asked.

    An optimizer that stays keeps its slots and iterations.

    Raises:
        TrainingError: a name is unknown, or a setting is neither saved with the model nor given.
    """
    check_executions(asked.steps_per_execution, place, keras.config.backend(), keras.__version__)
    saved = dict(model._compile_config.config) if model.compiled else {}
    loss = choose_loss(saved, asked, place, adds_losses=bool(model.losses))
    # schedules of Keras 3 are given the number of batches, also where it accumulates gradients
    batches, current = asked.gradient_accumulation, getattr(model, "optimizer", None)
    optimizer = choose_optimizer(current, asked, place, NAMES, run, counts=batches)
    optimizer = _accumulating(optimizer, asked, place)
    outputs = list(getattr(model, "output_names", None) or ())
    if asked.loss is not None:
        loss = NAMES.find_loss(loss, outputs)
    if optimizer is not model.optimizer or asked.loss is not None or asked.metrics is not None:
        settings = {**saved, "optimizer": optimizer, "loss": loss}
        if asked.metrics is not None:
            settings["metrics"] = NAMES.find_metrics(asked.metrics, outputs)
        # the optimizer of a saved mixed-precision model scales the loss already
        settings["auto_scale_loss"] = asked.optimizer is not None
        model.compile(**settings)
    check_losses(model, place, keras.__version__)
    apply_rate(model.optimizer, asked, place)
    if asked.jit_compile is not None:
        model.jit_compile = asked.keras_jit
    elif run is not NO_RUN:
        _warn_of_uncompiled_steps(model, place)
    # masks change, checkpoints are written and progress is told between executions
    model.steps_per_execution = asked.steps_per_execution
    # a run has the same variables from its first step on
    build_optimizer(model, model.optimizer)


def _warn_of_uncompiled_steps(model: Any, place: str) -> None:
    """Warn where JAX runs each operation of a step alone, since the file says `jit_compile: false`.

    Keras saves what `jit_compile="auto"` has become, which is False on TensorFlow without a GPU.
    """
    if keras.config.backend() == "jax" and not model.jit_compile and not model.run_eagerly:
        warnings.warn(
            f"{place}: the model's compile settings have jit_compile=False, which Keras saves on"
            " TensorFlow without a GPU, so JAX does not compile the steps, and training is many"
            " times slower; add --jit-compile (jit_compile=True in Python)",
            stacklevel=2,
        )


def compile_live(model: Any, live: LiveCompiling, asked: Compiling, place: str) -> None:
    """Compile a model with objects that were given in Python; names come later.

    Raises:
        TrainingError: there is no optimizer.
    """
    current = live.fresh_optimizer() or getattr(model, "optimizer", None)
    optimizer = choose_optimizer(current, replace(asked, learning_rate=None), place, NAMES, NO_RUN)
    saved = dict(model._compile_config.config) if model.compiled else {}
    model.compile(
        optimizer=optimizer,
        loss=saved.get("loss") if live.loss is None else live.loss,
        metrics=saved.get("metrics") if live.metrics is None else live.fresh_metrics(),
    )
    check_losses(model, place, keras.__version__)


def _accumulating(optimizer: Any, asked: Compiling, place: str) -> Any:
    """Return the optimizer, or one like it that accumulates the gradients of some batches.

    Raises:
        TrainingError: it accumulates those of another number.
    """
    every = asked.gradient_accumulation
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    found = getattr(inner, ACCUMULATION, None) or 1
    if found == every:
        return optimizer
    if found > 1:
        raise TrainingError(
            f"its optimizer accumulates the gradients of {found} batches, and the run"
            f" {'does not' if every == 1 else f'those of {every}'}; say so with"
            f" --gradient-accumulation {found} (gradient_accumulation in Python), or compile the"
            f" model without {ACCUMULATION}",
            place=place,
        )
    return with_settings(optimizer, **{ACCUMULATION: every})
