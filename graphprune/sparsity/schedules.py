"""When masks change, and how much must be zero at a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from graphprune.sparsity.positions import Position, Run

Curve = Literal["constant", "linear", "polynomial", "step"]
CURVES: tuple[str, ...] = get_args(Curve)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How sparsity rises: the curve, where it begins and ends in the run, and how often masks are updated.

    `constant` and `step` ask for the full sparsity from `begin` on. `constant` goes on choosing the mask anew every `every` until `end` (for ever without one);
    `step` chooses it once at `begin`, unless `every` and `end` are given. `linear` and `polynomial` rise from `initial` at `begin` to the target at `end`.

    Attributes:
        curve: The shape of the ramp.
        begin: The first update.
        end: The last update, where the target is reached exactly. None only for `constant` and `step`.
        every: The distance between updates, in steps or epochs. Updates happen at `begin` and `end` besides.
        initial: The share of zeros at `begin`, for ramps.
        power: The exponent of `polynomial`; 3 is the cubic ramp of Zhu and Gupta, 2017 (arXiv:1710.01878), equation 1.
        name: What the rule file calls it.
    """

    curve: Curve = "polynomial"
    begin: Position = field(default_factory=lambda: Position(0, "step"))
    end: Position | None = None
    every: Position | None = None
    initial: float = 0.0
    power: float = 3.0
    name: str | None = None

    def __post_init__(self) -> None:
        if self.curve not in CURVES:
            raise ValueError(f"curve must be one of {', '.join(CURVES)}, got {self.curve!r}")
        if not 0 <= self.initial < 1:
            raise ValueError(f"from must be at least 0 and below 1, got {self.initial}")
        if self.power <= 0:
            raise ValueError(f"power must be above 0, got {self.power:g}")
        if self.is_ramp and self.end is None:
            raise ValueError(f"a {self.curve} schedule needs an end")
        if self.end is not None and self.end.unit == self.begin.unit and self.end.value < self.begin.value:
            raise ValueError(f"end ({self.end}) comes before begin ({self.begin})")
        if self.every is not None and self.every.value <= 0:
            raise ValueError(f"every must be above 0, got {self.every}")

    @property
    def is_ramp(self) -> bool:
        """Whether sparsity rises gradually."""
        return self.curve in ("linear", "polynomial")

    def __str__(self) -> str:
        name = self.name or self.curve
        return f"{name} {self.begin}" if self.end is None else f"{name} {self.begin}..{self.end}"

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, as plans and wrappers store it."""
        config: dict[str, Any] = {"name": self.name, "curve": self.curve}
        if self.is_ramp:
            config |= {"power": self.power, "from": self.initial}
        config["begin"] = self.begin.to_config()
        config["end"] = None if self.end is None else self.end.to_config()
        config["every"] = None if self.every is None else self.every.to_config()
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Schedule:
        """Return the schedule that `to_config` wrote."""
        end, every = config.get("end"), config.get("every")
        return cls(
            curve=config["curve"],
            begin=Position.from_config(config["begin"]),
            end=None if end is None else Position.from_config(end),
            every=None if every is None else Position.from_config(every),
            initial=float(config.get("from", 0.0)),
            power=float(config.get("power", 3.0)),
            name=config.get("name"),
        )

    def missing_facts(self) -> tuple[str, ...]:
        """Return the fields whose optimizer step nobody knows before the run's length is given.

        Example:
            >>> Schedule(begin=Position(0, "epoch"), end=Position(4, "epoch")).missing_facts()
            ('end',)
        """
        fields = {"begin": self.begin, "end": self.end, "every": self.every}
        return tuple(name for name, place in fields.items() if place is not None and place.unit != "step" and place.value != 0)

    def to_timetable(self, run: Run) -> Timetable:
        """Return this schedule in optimizer steps.

        Raises:
            ValueError: a position is in epochs or percent and `run` does not give the length they need, or the end comes before the beginning.
        """
        begin = 0 if self.begin.value == 0 else self._step("begin", self.begin, run)
        end = None if self.end is None else self._step("end", self.end, run)
        every = None if self.every is None else max(1, self._step("every", self.every, run))
        if end is not None and end < begin:
            raise ValueError(f"end ({self.end}, step {end}) comes before begin ({self.begin}, step {begin})")
        if self.curve == "constant" and every is None:
            every = 100
        if self.curve == "step" and every is None and end is None:
            end = begin
        return Timetable(self, begin, end, every)

    @staticmethod
    def _step(name: str, place: Position, run: Run) -> int:
        step = place.to_step(run)
        if step is None:
            raise ValueError(f"{name} is {place}, and the number of steps in an epoch is not known")
        return step


@dataclass(frozen=True, slots=True)
class Timetable:
    """A schedule in optimizer steps. Step s stands for the weights after s updates; step 0 is before the first.

    Example:
        >>> ramp = Schedule(end=Position(1000, "step"), every=Position(300, "step")).to_timetable(Run())
        >>> [s for s in range(2000) if ramp.is_due(after=s - 1, step=s)]
        [0, 300, 600, 900, 1000]
        >>> [round(ramp.sparsity_at(s, 0.9), 4) for s in (0, 500, 900, 1000, 5000)]
        [0.0, 0.7875, 0.8991, 0.9, 0.9]
    """

    schedule: Schedule
    begin: int
    end: int | None
    every: int | None

    def last_due(self, step: int) -> int | None:
        """Return the latest step, `step` included, at which masks are updated; None before `begin`."""
        if step < self.begin:
            return None
        if self.end is not None and step >= self.end:
            return self.end
        return self.begin if self.every is None else step - (step - self.begin) % self.every

    def is_due(self, *, after: int, step: int) -> bool:
        """Return whether an update falls in (`after`, `step`]; `after` is -1 when masks were never updated."""
        due = self.last_due(step)
        return due is not None and due > after

    def sparsity_at(self, step: int, target: float) -> float:
        """Return the share of weights that must be zero at `step`, on the way to `target`.

        The polynomial ramp is equation 1 of Zhu and Gupta, 2017 (arXiv:1710.01878): target + (initial - target) * (1 - progress) ** power. It stays at
        `target` after `end`.

        Raises:
            ValueError: `step` is negative.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        if step < self.begin:
            return 0.0
        if not self.schedule.is_ramp or self.end is None or step >= self.end:
            return target
        left = 1 - (step - self.begin) / (self.end - self.begin)
        power: float = self.schedule.power if self.schedule.curve == "polynomial" else 1.0
        return target + (self.schedule.initial - target) * float(left**power)
