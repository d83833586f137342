"""What tf_keras does for training runs: this module is a `graphprune.engine.training_seam`.

The protocol `TrainingSeam` there documents the functions; most are those of other modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras

import graphprune
from graphprune.engine import own_objects as own
from graphprune.plan.make import LoadedModel
from graphprune.sparsity.positions import Run
from graphprune.tf.layers.live_tensors import check_finite
from graphprune.tf.models.given import KINDS
from graphprune.tf.models.loading import load_archive
from graphprune.tf.models.saving import check_reads_back, save_model
from graphprune.tf.pruning.addresses import check_model, find_wrappers
from graphprune.tf.pruning.callbacks import PruningSummaries, UpdatePruningStep
from graphprune.tf.pruning.live_graph import count_zeros, graph_of_model, weight_reader
from graphprune.tf.pruning.precision import in_precision
from graphprune.tf.pruning.pruner import HeldLayer, Pruner, held_layers
from graphprune.tf.pruning.surgery import apply_plan, strip_model
from graphprune.tf.training.compiling import compile_live, compile_model
from graphprune.tf.training.data import read_data
from graphprune.tf.training.evaluation import check_data_fits, find_label_rules
from graphprune.tf.training.fitting import fit
from graphprune.tf.training.given_data import given_data
from graphprune.tf.training.gradients import check_gradients
from graphprune.tf.training.hidden_state import read_recurrent_states, restore_recurrent_states
from graphprune.tf.training.randomness import saved_randomness
from graphprune.tf.training.recorder import Recorder, restore_state
from graphprune.tf.training.strategies import open_spread
from graphprune.tf.training.workers import is_lost

__all__ = [
    "apply_plan",
    "backend",
    "callback",
    "check_data_fits",
    "check_finite",
    "check_gradients",
    "check_model",
    "check_reads_back",
    "compile_live",
    "compile_model",
    "evaluate",
    "find_label_rules",
    "fit",
    "follows_schedule",
    "given_data",
    "in_precision",
    "is_data_fault",
    "is_model",
    "keras",
    "live_graph",
    "live_kinds",
    "load_archive",
    "mask_updates",
    "metric_names",
    "open_spread",
    "own_objects",
    "pruned_layers",
    "pruner",
    "rate_callbacks",
    "read_data",
    "read_updates",
    "recorder",
    "registered_name",
    "reset_metrics",
    "restore_state",
    "save_model",
    "saved_randomness",
    "strip_model",
    "summaries",
    "versions",
]

keras: Literal[2, 3] = 2
backend = "tensorflow"
recorder, pruner = Recorder, Pruner
live_kinds = {
    "optimizer": (tf_keras.optimizers.Optimizer, tf_keras.optimizers.legacy.Optimizer),
    "loss": (tf_keras.losses.Loss,),
    "metrics": (tf_keras.metrics.Metric,),
}
registered_name = tf_keras.utils.get_registered_name
callback = tf_keras.callbacks.Callback
rate_callbacks = (tf_keras.callbacks.ReduceLROnPlateau, tf_keras.callbacks.LearningRateScheduler)


def versions() -> dict[str, str]:
    """Return the versions of graphprune, TensorFlow and tf_keras."""
    return {
        "graphprune": graphprune.__version__,
        "tensorflow": tf.__version__,
        "tf_keras": tf_keras.__version__,
    }


def is_model(value: object) -> bool:
    """Return whether this is a live model of tf_keras."""
    return isinstance(value, tf_keras.Model)


def own_objects(model: tf_keras.Model) -> dict[str, Any]:
    """Return the user's own classes and functions in a model's layers and compile settings.

    Raises:
        TrainingError: two have the same name, so a file cannot distinguish them.
    """
    kinds = tuple(kind for kind, _ in KINDS)
    name_of = tf_keras.utils.get_registered_name
    return own.own_objects(model.name, _values(model), kinds, name_of)


def _values(model: tf_keras.Model) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield layer
        yield from vars(layer).values()
    if getattr(model, "_is_compiled", False):
        yield from tf.nest.flatten(model._compile_config.config)
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        yield from (optimizer, getattr(optimizer, "_learning_rate", None))


def pruned_layers(model: tf_keras.Model) -> dict[str, HeldLayer]:
    """Return the pruned layers of a model by address."""
    return held_layers(find_wrappers(model))


def live_graph(model: tf_keras.Model, asked: Mapping[str, Sequence[str]]) -> LoadedModel:
    """Return the graph of a model with custom layers; `asked` names their weights to prune."""
    return LoadedModel(
        graph_of_model(model, asked), count_zeros(model, asked), weight_reader(model, asked)
    )


def read_updates(model: tf_keras.Model) -> int:
    """Return the step count of the model's optimizer."""
    return int(model.optimizer.iterations.numpy())


def reset_metrics(model: tf_keras.Model) -> None:
    """Set the sums of all metrics to zero."""
    model.reset_metrics()


def metric_names(model: Any) -> tuple[str, ...]:
    """Return the names of loss and metrics of a compiled model whose metrics are built."""
    return tuple(model.get_metrics_result())


def evaluate(model: tf_keras.Model, data: Any) -> dict[str, float]:
    """Return loss and metrics on the validation data; empty without validation data."""
    if data.test is None:
        return {}
    states = read_recurrent_states(model)
    steps = data.validation_steps
    found = model.evaluate(data.validation(), steps=steps, verbose=0, return_dict=True)
    model.reset_metrics()
    restore_recurrent_states(model, states)
    return {name: float(value) for name, value in found.items() if np.ndim(value) == 0}


def follows_schedule(model: tf_keras.Model) -> bool:
    """Return whether the learning rate of a compiled model follows a schedule of Keras."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    legacy = getattr(optimizer, "_hyper", {}).get("learning_rate")
    rate = getattr(optimizer, "_learning_rate", legacy)
    return isinstance(rate, tf_keras.optimizers.schedules.LearningRateSchedule)


def mask_updates(run: Run, done: int) -> UpdatePruningStep:
    """Return the callback that updates masks."""
    return UpdatePruningStep(run, done=done)


def summaries(log_dir: Path, run: Run) -> PruningSummaries:
    """Return the callback that writes TensorBoard events."""
    return PruningSummaries(log_dir, run=run, write_graph=False)


def is_data_fault(fault: Exception) -> bool:
    """Return whether TensorFlow raised this error in a step, or while it read the data."""
    return isinstance(fault, tf.errors.OpError) and not is_lost(fault)
