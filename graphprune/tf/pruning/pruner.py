"""The pruner of a tf_keras model, whose wrappers hold masks, thresholds and steps."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tf_keras.src.optimizers.legacy.optimizer_v2 import OptimizerV2

from graphprune.arguments import wrong_type
from graphprune.engine import pruner as engine
from graphprune.engine.progress import missed_targets
from graphprune.engine.schedules import PruningSchedule
from graphprune.errors import TrainingError
from graphprune.sparsity.missed_targets import MissedTarget
from graphprune.sparsity.pruning import Provenance, Pruning
from graphprune.tf.layers.prunable_layer import live_class
from graphprune.tf.layers.replicas import check_between_steps, check_strategy
from graphprune.tf.pruning.addresses import find_wrappers
from graphprune.tf.pruning.model_clone import clone_with_state, clone_wrapped
from graphprune.tf.pruning.tfmot import is_toolkit_layer
from graphprune.tf.pruning.training_hooks import WithPruner
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


class HeldTensor:
    """A pruned weight with its mask and threshold: `graphprune.engine.held.PrunedTensor`."""

    def __init__(
        self, name: str, weight: tf.Variable, mask: tf.Variable, threshold: tf.Variable
    ) -> None:
        self.name, self._weight, self._mask, self._threshold = name, weight, mask, threshold

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight."""
        return tuple(self._weight.shape)

    def read(self) -> NDArray[Any]:
        """Return the values of the weight."""
        return self._weight.numpy()

    def write(self, values: NDArray[Any]) -> None:
        """Assign the values of the weight."""
        self._weight.assign(values)

    def read_mask(self) -> NDArray[np.bool_]:
        """Return the mask; True keeps a weight."""
        return self._mask.numpy()

    def read_threshold(self) -> float:
        """Return the smallest score that the last mask update kept."""
        return float(self._threshold.numpy())

    def write_mask(self, mask: NDArray[np.bool_], threshold: float) -> None:
        """Assign the mask, and the smallest score that it keeps."""
        self._mask.assign(mask)
        self._threshold.assign(threshold)


class HeldLayer:
    """A wrapped layer: `graphprune.engine.held.PrunedLayer`."""

    def __init__(self, wrapper: PruneLowMagnitude) -> None:
        self.wrapper = wrapper

    @property
    def pruning(self) -> Pruning:
        """What to prune, how much, and when."""
        return self.wrapper.pruning

    @property
    def own_schedule(self) -> PruningSchedule | None:
        """The schedule, if it is of a user's own class."""
        return self.wrapper.own_schedule

    @property
    def provenance(self) -> Provenance:
        """The rule and the plan that asked for the pruning."""
        return self.wrapper.provenance

    @property
    def trainable(self) -> bool:
        """Whether the optimizer updates the layer, or rather its pruned weights."""
        weights = [weight for weight, _, _ in self.wrapper.pruning_vars]
        return bool(self.wrapper.trainable) and (
            not weights or any(weight.trainable for weight in weights)
        )

    @property
    def pruners(self) -> weakref.WeakSet[Any]:
        """The started pruners that follow this layer."""
        return self.wrapper.pruners

    @property
    def tensors(self) -> list[HeldTensor]:
        """The pruned tensors; empty before the layer is built."""
        return [
            HeldTensor(name, *variables)
            for name, variables in zip(
                self.wrapper.pruning.weights, self.wrapper.pruning_vars, strict=False
            )
        ]

    def read_step(self) -> int:
        """Return the optimizer updates since the wrap."""
        return int(self.wrapper.pruning_step.numpy())

    def write_step(self, step: int) -> None:
        """Assign the number of updates."""
        self.wrapper.pruning_step.assign(step)

    def read_last_update(self) -> int:
        """Return the step of the last mask update; -1 before the first."""
        return int(self.wrapper.last_update.numpy())

    def write_last_update(self, step: int) -> None:
        """Assign the step of the last mask update."""
        self.wrapper.last_update.assign(step)


class HeldKerasModel:
    """A model with wrapped layers: `graphprune.engine.held.HeldModel`."""

    def __init__(self, model: tf_keras.Model, optimizer: Any = None) -> None:
        if not isinstance(optimizer, (type(None), tf_keras.optimizers.Optimizer, OptimizerV2)):
            raise wrong_type("optimizer", "an optimizer of tf_keras", optimizer)
        self.model = model
        self.wrappers = find_wrappers(model)
        self._layers = held_layers(self.wrappers)
        self._optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.model.name)

    @property
    def layers(self) -> Mapping[str, HeldLayer]:
        """The wrapped layers by address; also those that have nothing to prune."""
        return self._layers

    def read_steps(self) -> dict[str, int]:
        """Return the optimizer updates of each layer."""
        return {address: layer.read_step() for address, layer in self.layers.items()}

    def read_updates(self) -> int:
        """Return the optimizer's step count; 0 if there is no optimizer."""
        iterations = getattr(self._optimizer, "iterations", None)
        return 0 if iterations is None else int(iterations.numpy())

    @property
    def skips_updates(self) -> bool:
        """Whether the optimizer scales the loss, and so skips updates that it counts."""
        return isinstance(self._optimizer, tf_keras.mixed_precision.LossScaleOptimizer)

    def check(self) -> None:
        """Refuse a model that cannot be pruned while it trains.

        Raises:
            TrainingError: a layer is not built, or its optimizer or strategy is not supported.
        """
        check_strategy(self.model)
        for address, wrapper in self.wrappers.items():
            if not wrapper.pruning_state:
                raise TrainingError(
                    f"{address}: the pruned layer is not built; call the model on a batch of data,"
                    " or call model.build(input_shape), first"
                )
        for address, wrapper in self.wrappers.items():
            if (
                wrapper.pruning.weights
                and isinstance(self._optimizer, OptimizerV2)
                and _has_embedding(wrapper)
            ):
                raise TrainingError(
                    f"{address}: a legacy optimizer ({type(self._optimizer).__name__}) cannot prune"
                    f" an Embedding, whose gradients are sparse; {_new_optimizer(self._optimizer)}"
                )

    def check_between_steps(self, call: str) -> None:
        """Refuse the method named `call` inside a training step.

        Raises:
            TrainingError: the call is inside `strategy.run` or a compiled function.
        """
        check_between_steps(call)

    def sync(self) -> None:
        """Do nothing: variables are always current."""


def held_layers(wrappers: Mapping[str, PruneLowMagnitude]) -> dict[str, HeldLayer]:
    """Return wrapped layers as the engine sees them, by address."""
    return {address: HeldLayer(wrapper) for address, wrapper in wrappers.items()}


def _new_optimizer(legacy: OptimizerV2) -> str:
    name = type(legacy).__name__
    known = name if hasattr(tf_keras.optimizers, name) else "Adam"
    return (
        f"compile with tf_keras.optimizers.{known}, or give --optimizer {known.lower()} to"
        " graphprune train"
    )


def _has_embedding(wrapper: PruneLowMagnitude) -> bool:
    return any(live_class(layer).has_sparse_gradients for layer in wrapper.layer._flatten_layers())


class Pruner(engine.Pruner):
    """Follows the schedules of all pruned layers of a model, nested models included.

    `start` it once before training; then call `on_step` after every optimizer update (more often
    does no harm). `UpdatePruningStep` does both in `fit`:

        pruner = Pruner(model)
        pruner.start(Run(steps_per_epoch=100, epochs=10))
        for x, y in batches:
            train_step(x, y)
            pruner.on_step()

    A step is what the optimizer counts as one: an update, or one that loss scaling skipped
    (`mixed_float16`), so that a schedule that ends with the run reaches its target. A custom loop
    whose model is not compiled gives a loss scaling optimizer as `optimizer`.

    Attributes:
        model: The model.
        wrappers: The pruned layers by address.
        attached: The same, and wrapped layers with nothing to prune.
    """

    def __init__(self, model: tf_keras.Model, optimizer: Any = None) -> None:
        held = HeldKerasModel(model, optimizer)
        super().__init__(held)
        self.model = model
        self.attached: dict[str, PruneLowMagnitude] = held.wrappers
        self.wrappers = {address: self.attached[address] for address in self.layers}
        for wrapper in self.attached.values():
            # under MirroredStrategy, a trace in another thread that ended in the refusal cannot be
            # repaired
            if wrapper.missed_pruner:
                model.train_function, wrapper.missed_pruner = None, False

    def stop(self) -> None:
        """Detach from the pruned layers, which then need another pruner to be trained."""
        super().stop()
        function = getattr(self.model, "train_function", None)
        if function is not None and not isinstance(function, WithPruner):
            self.model.train_function = WithPruner(function, list(self.attached.values()))


def find_missed_targets(model: tf_keras.Model) -> tuple[MissedTarget, ...]:
    """Return the pruned tensors of a wrapped model that are not at their targets.

    They have fewer zeros than when their schedules are finished; the order is the model's. A live
    model that the TensorFlow toolkit wrapped is converted first.
    """
    if any(is_toolkit_layer(layer) for layer in model._flatten_layers()):
        model = clone_with_state(model, clone_wrapped, set(), compiled=False)
    return missed_targets(held_layers(find_wrappers(model)))
