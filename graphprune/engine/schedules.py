"""Schedules with the names and meaning of tfmot, and the base class of users' own schedules.

The classes here return Python numbers. A Keras whose users expect tensors derives its own from
them and overrides `__call__`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphprune.arguments import check_number, check_whole, wrong_type
from graphprune.sparsity.positions import Position, Run
from graphprune.sparsity.schedules import Schedule


class PruningSchedule(ABC):
    """When masks change and the sparsity at each change, in optimizer steps.

    Calling it with a step, a number or a tensor, returns (whether masks change then, the share of
    weights that must be zero). A schedule of your own implements `__call__`, returns its
    arguments from `get_config`, has the attributes `begin_step` and `end_step` (-1: never ends),
    and is registered with Keras's `register_keras_serializable()`, or given as a custom
    object when its model is loaded.
    """

    begin_step: int
    end_step: int = -1
    frequency: int = 100

    @abstractmethod
    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Return whether masks change at `step`, and the share of weights that must be zero.

        Both are scalars, of bool and float.
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor; alone, or as `config` beside a `class_name`."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PruningSchedule:
        """Return the schedule that `get_config` described."""
        return cls(**config.get("config", config))

    @property
    def target(self) -> float:
        """The share of zeros at `end_step`, or at `begin_step` of a schedule that never ends."""
        return float(self(self.end_step if self.end_step >= 0 else self.begin_step)[1])

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans and reports show it.

        A schedule of your own is called by the pruner directly.
        """
        end = None if self.end_step < 0 else Position(self.end_step, "step")
        begin, every = Position(self.begin_step, "step"), Position(self.frequency, "step")
        return Schedule(
            curve="constant", begin=begin, end=end, every=every, name=type(self).__name__
        )

    def _should_prune_in_step(
        self, step: Any, begin_step: int, end_step: int, frequency: int
    ) -> Any:
        """Return whether masks change at `step`, a number or a tensor.

        They do from `begin_step` to `end_step` (-1: no end) every `frequency` steps, and at
        `end_step`.
        """
        is_turn = ((step - begin_step) % frequency == 0) | (step == end_step)
        is_turn &= step >= begin_step
        return is_turn if end_step < 0 else is_turn & (step <= end_step)


class KnownSchedule(PruningSchedule):
    """A schedule that plans can hold."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]: ...

    @abstractmethod
    def _sparsity_at(self, step: Any) -> Any: ...

    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Return whether masks change at `step`, and the share of weights that must be zero."""
        return self._should_prune_in_step(
            step, self.begin_step, self.end_step, self.frequency
        ), self._sparsity_at(step)

    def get_config(self) -> dict[str, Any]:
        """Return the class name and every argument."""
        return {"class_name": type(self).__name__, "config": self._arguments()}

    def __eq__(self, other: object) -> bool:
        # tf_keras has its own class of the same name for the same schedule
        return isinstance(other, KnownSchedule) and other.get_config() == self.get_config()

    def __hash__(self) -> int:
        return hash((type(self).__name__, *self._arguments().values()))


class ConstantSparsity(KnownSchedule):
    """The same sparsity from `begin_step` on.

    Masks change every `frequency` steps until `end_step` (-1: no end).
    """

    def __init__(
        self, target_sparsity: float, begin_step: int, end_step: int = -1, frequency: int = 100
    ) -> None:
        _check_share("target_sparsity", target_sparsity)
        self.begin_step, self.end_step, self.frequency = _check_steps(
            begin_step, end_step, frequency, endless=True
        )
        self.target_sparsity = target_sparsity

    @property
    def target(self) -> float:
        """The share of zeros."""
        return self.target_sparsity

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans and wrappers hold it."""
        end = None if self.end_step == -1 else Position(self.end_step, "step")
        return Schedule(
            curve="constant",
            begin=Position(self.begin_step, "step"),
            end=end,
            every=Position(self.frequency, "step"),
        )

    def _arguments(self) -> dict[str, Any]:
        return {
            "target_sparsity": self.target_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
        }

    def _sparsity_at(self, step: Any) -> Any:
        return self.target_sparsity


class PolynomialDecay(KnownSchedule):
    """Sparsity that rises from `initial_sparsity` to `final_sparsity`.

    It rises from `begin_step` to `end_step`, fast at first if `power` is above 1.
    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ) -> None:
        _check_share("initial_sparsity", initial_sparsity)
        _check_share("final_sparsity", final_sparsity)
        self.begin_step, self.end_step, self.frequency = _check_steps(
            begin_step, end_step, frequency, endless=False
        )
        if check_number("power", power) <= 0:
            raise ValueError(f"power must be above 0, got {power}")
        self.initial_sparsity, self.final_sparsity, self.power = (
            initial_sparsity,
            final_sparsity,
            power,
        )

    @property
    def target(self) -> float:
        """The share of zeros at `end_step`."""
        return self.final_sparsity

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans and wrappers hold it."""
        begin, end, every = (
            Position(step, "step") for step in (self.begin_step, self.end_step, self.frequency)
        )
        return Schedule(
            curve="polynomial",
            begin=begin,
            end=end,
            every=every,
            initial=float(self.initial_sparsity),
            power=float(self.power),
        )

    def _arguments(self) -> dict[str, Any]:
        shares = {"initial_sparsity": self.initial_sparsity, "final_sparsity": self.final_sparsity}
        return shares | {
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "power": self.power,
            "frequency": self.frequency,
        }

    def _sparsity_at(self, step: Any) -> Any:
        length = max(1, self.end_step - self.begin_step)
        progress = min(max((step - self.begin_step) / length, 0.0), 1.0)
        if step >= self.end_step:
            progress = 1.0
        return (
            self.final_sparsity
            + (self.initial_sparsity - self.final_sparsity) * (1 - progress) ** self.power
        )


class PlannedSchedule(PruningSchedule):
    """A schedule of a rule file that needs a class of its own.

    `ConstantSparsity` and `PolynomialDecay` cannot express other curves, or places in epochs or
    percent of the run.

    Attributes:
        schedule: The schedule, as plans hold it.
        sparsity: Its target.
    """

    def __init__(self, schedule: Schedule | Mapping[str, Any], sparsity: float) -> None:
        self.schedule = (
            schedule if isinstance(schedule, Schedule) else Schedule.from_config(schedule)
        )
        self.sparsity = sparsity

    @property
    def target(self) -> float:
        """The final share of zeros."""
        return self.sparsity

    def to_schedule(self) -> Schedule:
        """Return the schedule as plans hold it."""
        return self.schedule

    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Return whether masks change at `step`, and the share of weights that must be zero.

        `step` is a number.

        Raises:
            ValueError: the schedule is in epochs or percent, whose steps only a run knows.
        """
        timetable, at = self.schedule.to_timetable(Run()), int(step)
        return timetable.is_due(after=at - 1, step=at), timetable.sparsity_at(at, self.sparsity)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "class_name": type(self).__name__,
            "config": {"schedule": self.schedule.to_config(), "sparsity": self.sparsity},
        }


@dataclass(frozen=True, slots=True)
class ScheduleClasses:
    """The schedule classes that a Keras gives its users."""

    constant: type[ConstantSparsity] = ConstantSparsity
    polynomial: type[PolynomialDecay] = PolynomialDecay
    planned: type[PlannedSchedule] = PlannedSchedule

    def of_plan(self, schedule: Schedule, sparsity: float) -> PruningSchedule:
        """Return the schedule class, with the names of tfmot, of a plan's schedule."""
        places = [
            place for place in (schedule.begin, schedule.end, schedule.every) if place is not None
        ]
        if schedule.curve not in ("constant", "step", "linear", "polynomial") or any(
            place.unit != "step" and place.value for place in places
        ):
            return self.planned(schedule, sparsity)
        begin = round(schedule.begin.value)
        end = -1 if schedule.end is None else round(schedule.end.value)
        every = None if schedule.every is None else round(schedule.every.value)
        if schedule.curve == "constant":
            return self.constant(sparsity, begin, end, every or 100)
        length = max(1, end - begin)
        if schedule.curve == "step":
            last = begin if end == -1 and every is None else end
            return self.constant(sparsity, begin, last, every or length)
        power = schedule.power if schedule.curve == "polynomial" else 1.0
        return self.polynomial(schedule.initial, sparsity, begin, end, power, every or length)


def own_schedule(schedule: PruningSchedule) -> PruningSchedule | None:
    """Return a schedule of a user's own class, None for those that plans can hold."""
    return None if isinstance(schedule, KnownSchedule) else schedule


def check_schedule(schedule: Any) -> None:
    """Raise unless `schedule` is a graphprune.PruningSchedule, the user's own classes included.

    Raises:
        TypeError: it is not; the text says what to write instead.
    """
    if not isinstance(schedule, PruningSchedule):
        raise wrong_type(
            "pruning_schedule", "a graphprune.PruningSchedule", schedule, _other_schedule(schedule)
        )
    if not isinstance(getattr(schedule, "begin_step", None), int):
        raise TypeError(
            f"pruning_schedule: {type(schedule).__name__} has no whole number begin_step; set it in"
            " its __init__, and end_step (-1: never ends)"
        )


def _other_schedule(value: Any) -> str:
    """Return the help for a value that is not a pruning schedule."""
    if isinstance(value, Mapping) and "pruning_schedule" in value:
        return "give the dict as keywords: prune_low_magnitude(model, **pruning_params)"
    if isinstance(value, Mapping):
        return (
            "make one from a config by ConstantSparsity.from_config or PolynomialDecay.from_config"
        )
    own = _OWN.get((value if isinstance(value, type) else type(value)).__name__)
    if own is None or isinstance(value, type):
        return "such as graphprune.ConstantSparsity(0.5, begin_step=0)"
    try:
        arguments = ", ".join(
            f"{name}={argument!r}"
            for name, argument in own(**value.get_config()["config"])._arguments().items()
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        arguments = "..."
    return f"graphprune's own has the same arguments: graphprune.{own.__name__}({arguments})"


_OWN: Mapping[str, type[KnownSchedule]] = {
    kind.__name__: kind for kind in (ConstantSparsity, PolynomialDecay)
}


def _check_share(name: str, value: float) -> None:
    check_number(name, value)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def _check_steps(
    begin_step: int, end_step: int, frequency: int, *, endless: bool
) -> tuple[int, int, int]:
    """Return the three as Python integers.

    Whole floats are accepted, as in `end_step=steps_per_epoch * 4.0`.
    """
    begin_step, end_step, frequency = (
        _whole("begin_step", begin_step),
        _whole("end_step", end_step),
        _whole("frequency", frequency),
    )
    if begin_step < 0:
        raise ValueError(f"begin_step must be at least 0, got {begin_step}")
    if end_step < begin_step and not (endless and end_step == -1):
        raise ValueError(
            f"end_step must be at least begin_step ({begin_step}){' or -1' if endless else ''}, got"
            f" {end_step}"
        )
    if frequency < 1:
        raise ValueError(f"frequency must be at least 1, got {frequency}")
    return begin_step, end_step, frequency


def _whole(name: str, value: float) -> int:
    return int(
        check_whole(name, int(value) if isinstance(value, float) and value.is_integer() else value)
    )
