"""Schedules with the names and meaning that users of Keras pruning know, and those that users write themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from graphprune.sparsity.positions import Position
from graphprune.sparsity.schedules import Schedule


class PruningSchedule(ABC):
    """When masks change and how much must be zero, in optimizer steps: what `prune_low_magnitude` takes.

    Calling it with a step, a number or a tensor, returns (whether masks change then, the share of weights that must be zero). A schedule of your own says
    that in `__call__`, returns its arguments from `get_config`, has the attributes `begin_step` and `end_step` (-1: never ends), and is registered with
    `tf_keras.utils.register_keras_serializable()`, or given as a custom object, where its model is loaded.
    """

    begin_step: int
    end_step: int = -1
    frequency: int = 100

    @abstractmethod
    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Return (bool, float) scalars: whether masks change at `step`, and the share of weights that must be zero."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor; alone, or as `config` beside a `class_name`."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PruningSchedule:
        """Return the schedule that `get_config` described."""
        return cls(**config.get("config", config))

    @property
    def target(self) -> float:
        """The share of zeros in the end: at `end_step`, or at `begin_step` of a schedule that never ends."""
        return float(self(self.end_step if self.end_step >= 0 else self.begin_step)[1])

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans and reports show it; the pruner calls a schedule of your own itself."""
        end = None if self.end_step < 0 else Position(self.end_step, "step")
        begin, every = Position(self.begin_step, "step"), Position(self.frequency, "step")
        return Schedule(curve="constant", begin=begin, end=end, every=every, name=type(self).__name__)

    def _should_prune_in_step(self, step: Any, begin_step: int, end_step: int, frequency: int) -> tf.Tensor:
        """Return whether masks change at `step`: from `begin_step` to `end_step` (-1: for ever) every `frequency` steps, and at `end_step`."""
        step = tf.cast(step, tf.int64)
        is_turn = tf.logical_or((step - begin_step) % frequency == 0, step == end_step)
        is_over = tf.logical_and(end_step >= 0, step > end_step)
        return tf.logical_and(is_turn, tf.logical_and(step >= begin_step, tf.logical_not(is_over)))


class _Known(PruningSchedule):
    """A schedule that plans can hold."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]: ...

    @abstractmethod
    def _sparsity_at(self, step: tf.Tensor) -> tf.Tensor: ...

    def __call__(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (bool, float32) scalars: whether masks change at `step`, and the share of weights that must be zero."""
        step = tf.cast(step, tf.int64)
        return self._should_prune_in_step(step, self.begin_step, self.end_step, self.frequency), self._sparsity_at(step)

    def get_config(self) -> dict[str, Any]:
        """Return the class name and every argument."""
        return {"class_name": type(self).__name__, "config": self._arguments()}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.get_config() == self.get_config()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().values()))


class ConstantSparsity(_Known):
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


class PolynomialDecay(_Known):
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


class OwnTimetable:
    """A user's own schedule, as the pruner asks it: like `graphprune.sparsity.schedules.Timetable`.

    Attributes:
        schedule: The user's.
        target_step: The step at which its target is reached.
    """

    def __init__(self, schedule: PruningSchedule) -> None:
        self.schedule = schedule
        self.target_step = schedule.end_step if schedule.end_step >= 0 else schedule.begin_step
        self._undue = range(0)

    def is_due(self, *, after: int, step: int) -> bool:
        """Return whether the schedule asks for an update in (`after`, `step`]; steps that it said no to are not asked again."""
        if any(bool(self.schedule(at)[0]) for at in range(step, after, -1) if at not in self._undue):
            return True
        self._undue = range(after + 1, step + 1)
        return False

    def sparsity_at(self, step: int, target: float) -> float:
        """Return the share of weights that must be zero at `step`: the schedule's, in proportion to `target` where a pattern fixes another than its own."""
        share, own = float(self.schedule(step)[1]), self.schedule.target
        return share if target == own or own == 0 else share * target / own


def own_schedule(schedule: PruningSchedule) -> PruningSchedule | None:
    """Return a schedule of a user's own class, None for those that plans can hold."""
    return None if isinstance(schedule, _Known) else schedule


def write_own_schedule(schedule: PruningSchedule | None) -> dict[str, Any]:
    """Return the part of a wrapper's config that holds a user's own schedule; nothing without one."""
    return {} if schedule is None else {"own_schedule": tf_keras.utils.serialize_keras_object(schedule)}


def read_own_schedule(value: Any, custom_objects: Mapping[str, Any] | None = None) -> PruningSchedule | None:
    """Return the schedule that `write_own_schedule` wrote; a schedule, or None, is returned as it is."""
    return tf_keras.utils.deserialize_keras_object(value, custom_objects) if isinstance(value, Mapping) else value


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
