"""What Keras 3 does for training runs: this module is a `graphprune.engine.training_seam`.

The protocol `TrainingSeam` there documents the functions; most are those of other modules.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras as keras_3
import numpy as np

import graphprune
from graphprune.engine import own_objects as own
from graphprune.engine.data_kinds import is_of_dataset
from graphprune.engine.shares import WHOLE, Share
from graphprune.engine.workers import ALONE, Workers
from graphprune.errors import TrainingError
from graphprune.keras3.backend import read
from graphprune.keras3.callbacks import PruningSummaries, UpdatePruningStep
from graphprune.keras3.given import REGISTRY
from graphprune.keras3.layers import check_finite, check_model
from graphprune.keras3.live import read_live
from graphprune.keras3.loading import load_archive
from graphprune.keras3.model import held_layers as pruned_layers
from graphprune.keras3.optimizers import copy_of, innermost
from graphprune.keras3.precision import in_precision
from graphprune.keras3.pruner import Pruner
from graphprune.keras3.saving import check_reads_back, save_model
from graphprune.keras3.state import seed_generators
from graphprune.keras3.surgery import apply_plan, strip_model
from graphprune.keras3.training.batches import ReadingFault
from graphprune.keras3.training.compiling import compile_live, compile_model
from graphprune.keras3.training.data import given_data, read_data
from graphprune.keras3.training.evaluation import check_data_fits, find_label_rules
from graphprune.keras3.training.fitting import fit, validation_of
from graphprune.keras3.training.gradients import check_gradients
from graphprune.keras3.training.randomness import saved_randomness
from graphprune.keras3.training.recorder import Recorder, recurrent_variables, restore_state
from graphprune.plan.make import LoadedModel
from graphprune.runs.cluster import Cluster
from graphprune.runs.training_arguments import NONE, parse_strategy
from graphprune.sparsity.positions import Run

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

keras: Literal[2, 3] = 3
backend: str = keras_3.config.backend()
recorder, pruner = Recorder, Pruner
live_kinds = {
    "optimizer": (keras_3.optimizers.Optimizer,),
    "loss": (keras_3.losses.Loss,),
    "metrics": (keras_3.metrics.Metric,),
}
registered_name = REGISTRY.name_of
callback = keras_3.callbacks.Callback
rate_callbacks = (keras_3.callbacks.ReduceLROnPlateau, keras_3.callbacks.LearningRateScheduler)


def versions() -> dict[str, str]:
    """Return the versions of graphprune, of Keras and of its backend."""
    found = importlib.metadata.version(backend)
    return {"graphprune": graphprune.__version__, "keras": keras_3.__version__, backend: found}


def is_model(value: object) -> bool:
    """Return whether this is a live model of Keras 3."""
    return isinstance(value, keras_3.Model)


@dataclass(frozen=True, slots=True)
class OneDevice:
    """A run that is not distributed.

    Attributes:
        name: `none`.
        replicas: The number of replicas that share a batch.
        workers: This process.
        share: The whole batch.
    """

    name: str = NONE
    replicas: int = 1
    workers: Workers = ALONE
    share: Share = WHOLE

    def scope(self, place: Path) -> nullcontext[None]:
        """Return a scope that does nothing."""
        return nullcontext()


def open_spread(strategy: str, cluster: Cluster | None = None) -> OneDevice:
    """Return the spread for the strategy `none`.

    Raises:
        TrainingError: there is no such strategy, it is another one, or `keras.distribution` is set.
    """
    if parse_strategy(strategy) != 0:
        raise TrainingError(
            f"strategy: runs of Keras 3 models train on one device, got {strategy!r}; leave it out,"
            " convert the model with --keras 2, or train in Python under the distribution of your"
            " backend, with graphprune.UpdatePruningStep in fit"
        )
    if keras_3.distribution.distribution() is not None:
        raise TrainingError(
            "keras.distribution: runs train on one device, and a distribution is set; unset it, or"
            " train in Python with graphprune.UpdatePruningStep in fit"
        )
    return OneDevice()


def own_objects(model: Any) -> dict[str, Any]:
    """Return the user's own classes and functions in a model's layers and compile settings.

    Raises:
        TrainingError: two have the same name, so a file cannot distinguish them.
    """
    kinds = tuple(kind for kind, _ in REGISTRY.kinds)
    return own.own_objects(model.name, _values(model), kinds, REGISTRY.name_of)


def _values(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers():
        yield layer
        yield from vars(layer).values()
    if model.compiled:
        yield from keras_3.tree.flatten(dict(model._compile_config.config))
        for part in (model.optimizer, *innermost(model.optimizer)):
            yield from (part, getattr(part, "_learning_rate", None))


def live_graph(model: Any, asked: Mapping[str, Sequence[str]]) -> LoadedModel:
    """Return the graph of a model with custom layers; `asked` names their weights to prune."""
    found = read_live(model, asked)
    assert found.located is not None
    return LoadedModel(found.graph, found.zeros or {}, found.located.read)


def read_updates(model: Any) -> int:
    """Return the step count of the model's optimizer, without updates that it skipped."""
    return int(read(model.optimizer.iterations))


def reset_metrics(model: Any) -> None:
    """Set the sums of all metrics to zero."""
    model.reset_metrics()


def metric_names(model: Any) -> tuple[str, ...]:
    """Return the names of loss and metrics of a compiled model whose metrics are built."""
    return tuple(model.get_metrics_result())


def evaluate(model: Any, data: Any) -> dict[str, float]:
    """Return loss and metrics on the validation data; empty without validation data."""
    if data.test is None:
        return {}
    kept = [*recurrent_variables(model), *(one.state for one in seed_generators(model))]
    values = [copy_of(variable) for variable in kept]
    found = model.evaluate(validation_of(model, data), verbose=0, return_dict=True)
    model.reset_metrics()
    for variable, value in zip(kept, values, strict=True):
        variable.assign(value)
    return {name: float(value) for name, value in found.items() if np.ndim(value) == 0}


def follows_schedule(model: Any) -> bool:
    """Return whether the learning rate of a compiled model follows a schedule of Keras."""
    rates = [getattr(one, "_learning_rate", None) for one in innermost(model.optimizer)]
    return any(isinstance(one, keras_3.optimizers.schedules.LearningRateSchedule) for one in rates)


def mask_updates(run: Run, done: int) -> UpdatePruningStep:
    """Return the callback that updates masks."""
    return UpdatePruningStep(run, done=done)


def summaries(log_dir: Path, run: Run) -> PruningSummaries:
    """Return the callback that writes TensorBoard events."""
    return PruningSummaries(log_dir, run=run, write_graph=False)


def is_data_fault(fault: Exception) -> bool:
    """Return whether reading the data failed, or TensorFlow raised this error in a step."""
    return isinstance(fault, ReadingFault) or is_of_dataset(fault)
