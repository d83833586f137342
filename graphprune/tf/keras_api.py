"""Pruning of layers and models in one call, with the names and meaning that users of Keras pruning know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.engine.base_layer import Layer

from graphprune.errors import GraphError, TrainingError
from graphprune.sparsity.positions import Position
from graphprune.sparsity.schedules import Schedule
from graphprune.tf.addresses import addressed_layers, find_wrappers, is_layered_model
from graphprune.tf.live_tensors import is_builtin_layer, prunable_names
from graphprune.tf.python_patterns import PatternArguments
from graphprune.tf.surgery import check_model, strip_model, wrap_layers
from graphprune.tf.wrapper import PruneLowMagnitude


class PruningSchedule(ABC):
    """When masks change and how much must be zero, in optimizer steps: what `prune_low_magnitude` takes.

    Calling it with a step, a number or a tensor, returns (whether masks change then, the share of weights that must be zero).
    """

    begin_step: int
    end_step: int
    frequency: int

    @property
    @abstractmethod
    def target(self) -> float:
        """The share of zeros in the end."""

    @abstractmethod
    def to_schedule(self) -> Schedule:
        """Return the schedule as plans and wrappers hold it."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]: ...

    @abstractmethod
    def _sparsity_at(self, step: tf.Tensor) -> tf.Tensor: ...

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (bool, float32) scalars: whether masks change at `step`, and the share of weights that must be zero."""
        step = tf.cast(step, tf.int64)
        is_turn = tf.logical_or((step - self.begin_step) % self.frequency == 0, step == self.end_step)
        is_over = tf.logical_and(self.end_step >= 0, step > self.end_step)
        return tf.logical_and(is_turn, tf.logical_and(step >= self.begin_step, tf.logical_not(is_over))), self._sparsity_at(step)

    def get_config(self) -> dict[str, Any]:
        """Return the class name and every argument."""
        return {"class_name": type(self).__name__, "config": self._arguments()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PruningSchedule:
        """Return the schedule that `get_config` described; its arguments alone are taken as well."""
        return cls(**config.get("config", config))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.get_config() == self.get_config()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().values()))


class ConstantSparsity(PruningSchedule):
    """The same sparsity from `begin_step` on; masks change every `frequency` steps until `end_step` (-1: for ever)."""

    def __init__(self, target_sparsity: float, begin_step: int, end_step: int = -1, frequency: int = 100) -> None:
        _check_share("target_sparsity", target_sparsity)
        _check_steps(begin_step, end_step, frequency, endless=True)
        self.target_sparsity = target_sparsity
        self.begin_step, self.end_step, self.frequency = begin_step, end_step, frequency

    @property
    def target(self) -> float:
        """The share of zeros."""
        return self.target_sparsity

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans and wrappers hold it."""
        end = None if self.end_step == -1 else Position(self.end_step, "step")
        return Schedule(curve="constant", begin=Position(self.begin_step, "step"), end=end, every=Position(self.frequency, "step"))

    def _arguments(self) -> dict[str, Any]:
        return {"target_sparsity": self.target_sparsity, "begin_step": self.begin_step, "end_step": self.end_step, "frequency": self.frequency}

    def _sparsity_at(self, step: tf.Tensor) -> tf.Tensor:
        return tf.constant(self.target_sparsity, tf.float32)


class PolynomialDecay(PruningSchedule):
    """Sparsity that rises from `initial_sparsity` at `begin_step` to `final_sparsity` at `end_step`, fast at first where `power` is above 1."""

    def __init__(self, initial_sparsity: float, final_sparsity: float, begin_step: int, end_step: int, power: float = 3, frequency: int = 100) -> None:
        _check_share("initial_sparsity", initial_sparsity)
        _check_share("final_sparsity", final_sparsity)
        _check_steps(begin_step, end_step, frequency, endless=False)
        if power <= 0:
            raise ValueError(f"power must be above 0, got {power}")
        self.initial_sparsity, self.final_sparsity, self.power = initial_sparsity, final_sparsity, power
        self.begin_step, self.end_step, self.frequency = begin_step, end_step, frequency

    @property
    def target(self) -> float:
        """The share of zeros at `end_step`."""
        return self.final_sparsity

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans and wrappers hold it."""
        begin, end, every = (Position(step, "step") for step in (self.begin_step, self.end_step, self.frequency))
        return Schedule(curve="polynomial", begin=begin, end=end, every=every, initial=float(self.initial_sparsity), power=float(self.power))

    def _arguments(self) -> dict[str, Any]:
        shares = {"initial_sparsity": self.initial_sparsity, "final_sparsity": self.final_sparsity}
        return shares | {"begin_step": self.begin_step, "end_step": self.end_step, "power": self.power, "frequency": self.frequency}

    def _sparsity_at(self, step: tf.Tensor) -> tf.Tensor:
        progress = tf.cast(step - self.begin_step, tf.float32) / max(1, self.end_step - self.begin_step)
        progress = tf.where(step >= self.end_step, 1.0, tf.maximum(progress, 0.0))
        return self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * (1 - progress) ** self.power


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule | None = None,
    block_size: tuple[int, int] = (1, 1),
    block_pooling_type: str = "AVG",
    pruning_policy: Any = None,
    sparsity_m_by_n: tuple[int, int] | None = None,
    **kwargs: Any,
) -> Any:
    """Return a layer, a list of layers or a model whose prunable layers are wrapped for pruning.

    A layer alone is wrapped itself; a model is cloned, with its weights, compile settings and optimizer state, and is not touched. Layers that cannot be
    pruned are carried over unchanged.

    Args:
        to_prune: A layer, a list of layers, or a built Sequential or Functional model.
        pruning_schedule: When and how much; half of the weights from step 0 on unless given.
        block_size: (rows, columns) of blocks that are zeroed whole, on kernels of rank 2 and on those of 1x1 convolutions. Other convolutions are pruned by
            single weights.
        block_pooling_type: Whether a block is scored by the mean (`AVG`) or the largest (`MAX`) of its magnitudes.
        pruning_policy: Only None for now.
        sparsity_m_by_n: (m, n) to zero m of each n weights along the input axis; how many is fixed by it, when is said by the schedule.
        **kwargs: Further arguments of a wrapper around a layer alone, such as `input_shape`.

    Raises:
        GraphError: a model that cannot be copied, or neither a layer nor a model.
        TrainingError: a kind of pruning that does not exist yet.
        ValueError: a custom layer alone, of whose weights nothing is known; an argument out of range; a kernel that does not take the blocks or groups.
    """
    if pruning_policy is not None:
        raise TrainingError(f"prune_low_magnitude: pruning_policy={pruning_policy!r} is not supported yet; leave it out to prune all layers")
    patterns = PatternArguments(block_size, block_pooling_type, sparsity_m_by_n)
    schedule = ConstantSparsity(0.5, 0) if pruning_schedule is None else pruning_schedule
    if isinstance(to_prune, Sequence):
        return [_prune_layer(layer, schedule, patterns, kwargs) for layer in to_prune]
    if isinstance(to_prune, Layer) and not isinstance(to_prune, tf_keras.Model):
        return _prune_layer(to_prune, schedule, patterns, kwargs)
    return _prune_model(to_prune, schedule, patterns)


def strip_pruning(model: tf_keras.Model) -> tf_keras.Model:
    """Return a clone of `model` without pruning wrappers; its pruned weights are zero where their masks say so.

    Raises:
        GraphError: the model, or a layer in it, cannot be copied.
    """
    return strip_model(model)


def collect_prunable_layers(model: tf_keras.Model) -> list[PruneLowMagnitude]:
    """Return the wrapped layers of a model, nested models included, in its order."""
    return list(find_wrappers(model).values())


def _prune_model(model: Any, schedule: PruningSchedule, patterns: PatternArguments) -> tf_keras.Model:
    check_model(model)
    prunings = {}
    for address, layer in addressed_layers(model):
        if not is_layered_model(layer) and (names := prunable_names(layer)):
            prunings[address] = patterns.pruning_for(layer, names, schedule.target, schedule.to_schedule())
    return wrap_layers(model, prunings)


def _prune_layer(layer: Any, schedule: PruningSchedule, patterns: PatternArguments, kwargs: Mapping[str, Any]) -> PruneLowMagnitude:
    if isinstance(layer, PruneLowMagnitude):
        return layer
    if not isinstance(layer, Layer):
        raise GraphError(f"{type(layer).__module__}.{type(layer).__qualname__} is not a tf_keras layer; give a layer, a list of layers or a model")
    names = prunable_names(layer)
    if not names and not is_builtin_layer(layer):
        raise ValueError(f"{layer.name}: graphprune does not know the weights of custom layer class {type(layer).__name__}; leave it out")
    return PruneLowMagnitude(layer, patterns.pruning_for(layer, names, schedule.target, schedule.to_schedule()), **kwargs)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def _check_steps(begin_step: int, end_step: int, frequency: int, *, endless: bool) -> None:
    if begin_step < 0:
        raise ValueError(f"begin_step must be at least 0, got {begin_step}")
    if end_step < begin_step and not (endless and end_step == -1):
        raise ValueError(f"end_step must be at least begin_step ({begin_step}){' or -1' if endless else ''}, got {end_step}")
    if frequency < 1:
        raise ValueError(f"frequency must be at least 1, got {frequency}")
