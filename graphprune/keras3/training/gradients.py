"""Checks before training that the loss gives gradients to the weights of a Keras 3 model."""

from __future__ import annotations

import sys
from typing import Any

import keras

from graphprune.engine.faults import explain_fault
from graphprune.engine.gradients import nothing_gets_a_gradient, nothing_trainable
from graphprune.errors import GraphpruneError, TrainingError
from graphprune.keras3.training.data import Data, of_model
from graphprune.keras3.training.recorder import stateful_layers


def check_gradients(model: Any, data: Data, place: str) -> None:
    """Refuse a compiled model without trainable weights, or whose loss gives none a gradient.

    A pruned layer without a gradient is trained: it follows the steps of the optimizer, and so
    reaches its target. Only TensorFlow tells a gradient that is missing from one of zeros. There a
    training step is traced and not run, unless the step is the model's own.

    Raises:
        TrainingError: nothing can be trained, a layer is stateful on PyTorch, or a step fails.
    """
    if not model.trainable_variables:
        raise nothing_trainable(place)
    _refuse_stateful(model, place)
    is_own = type(model).train_step is not keras.Model.train_step or model.run_eagerly
    if keras.config.backend() != "tensorflow" or is_own:
        return
    try:
        gradients = _traced_gradients(model, of_model(data, model).sample())
    except GraphpruneError:
        raise
    except Exception as fault:  # layers may raise anything; `fit` would fail in the same way
        raise TrainingError(
            f"a training step fails: {explain_fault(fault)}", place=place
        ) from fault
    if all(gradient is None for gradient in gradients):
        raise nothing_gets_a_gradient(place)


def _refuse_stateful(model: Any, place: str) -> None:
    """Refuse stateful layers where Keras cannot compute their gradients."""
    stateful = [layer for layer in stateful_layers(model) if layer.trainable_variables]
    if keras.config.backend() == "torch" and stateful:
        raise TrainingError(
            f"layer {stateful[0].name!r} is stateful, and Keras cannot train it on PyTorch, because"
            " it changes the states before gradients are computed; train with"
            " KERAS_BACKEND=tensorflow or jax, or build the layer with stateful=False",
            place=place,
        )


def _traced_gradients(model: Any, batch: Any) -> list[Any]:
    """Return the symbolic gradient of each trainable variable, None where there is none."""
    tensorflow = sys.modules["tensorflow"]
    found: list[Any] = []

    def step(x: Any, y: Any = None, weights: Any = None) -> None:
        with tensorflow.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights)
        variables = [variable.value for variable in model.trainable_variables]
        found[:] = tape.gradient(loss, variables)

    tensorflow.function(step, autograph=False).get_concrete_function(*batch)
    return found
