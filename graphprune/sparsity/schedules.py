"""When masks change, and how much must be zero at a step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphprune.sparsity.positions import Position, Run

START = Position(0, "step")
_LIMITS = frozenset({"begin", "end"})


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of sparsity over time. A new one is an entry of `CURVES`.

    Attributes:
        name: What rule files, plans and wrappers call it.
        description: Its text in the reference of the rule language.
        keys: The keys of a schedule that it reads, besides `curve` and `every`.
        ramp: The share of zeros between `begin` and `end`: of (initial share, target, part of the
            way from 0 to 1, power). None for a curve that does not rise gradually.
    """

    name: str
    description: str
    keys: frozenset[str] = _LIMITS
    ramp: Callable[[float, float, float, float], float] | None = None


def _polynomial(initial: float, target: float, progress: float, power: float) -> float:
    """Return equation 1 of Zhu and Gupta, 2017 (arXiv:1710.01878)."""
    return target + (initial - target) * float((1 - progress) ** power)


def _linear(initial: float, target: float, progress: float, power: float) -> float:
    return _polynomial(initial, target, progress, 1.0)


def _exponential(initial: float, target: float, progress: float, power: float) -> float:
    """Return the share at which each stretch of steps has taken the same part of what was left."""
    kept = 1 - initial
    share = 1 - kept * float(((1 - target) / kept) ** progress)
    return sorted((initial, share, target))[1]


CURVES: Mapping[str, Curve] = {
    curve.name: curve
    for curve in (
        Curve("constant", "the target from `begin` on; masks are updated every `every`"),
        Curve("linear", "rises evenly from `from` to the target", _LIMITS | {"from"}, _linear),
        Curve(
            "polynomial",
            "rises fast at first and slowly at the end, by the exponent `power`",
            _LIMITS | {"from", "power"},
            _polynomial,
        ),
        Curve(
            "exponential",
            "removes the same share of the remaining weights in every interval",
            _LIMITS | {"from"},
            _exponential,
        ),
        Curve("step", "the target from `begin` on; the mask is chosen once"),
        Curve(
            "points",
            "jumps to the sparsity of each of `points` and stays there until the next",
            frozenset({"points"}),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How sparsity rises: its curve, its beginning and end, and how often masks are updated.

    `constant` and `step` ask for the full sparsity from `begin` on. `constant` updates the mask
    every `every` until `end` (forever without one); `step` chooses it once at `begin`,
    unless `every` and `end` are given. `linear`, `polynomial` and `exponential` rise from `initial`
    at `begin` to the target at `end`. `points` jumps to each point's sparsity and stays there until
    the next, as in iterative pruning (Han et al., 2015, arXiv:1506.02626); masks change at every
    point, and every `every` in between where it is given.

    Attributes:
        curve: The shape of the ramp.
        begin: The first update; the first point of `points`.
        end: The last update, where the target is reached exactly. None only for `constant` and
            `step`; the last point of `points`.
        every: The distance between updates, in steps or epochs. Updates happen at `begin` and `end`
            besides.
        initial: The share of zeros at `begin`, for ramps.
        power: The exponent of `polynomial`; 3 is the cubic ramp of Zhu and Gupta, 2017
            (arXiv:1710.01878), equation 1.
        name: What the rule file calls it.
        points: (place, share of zeros) of each jump of `points`; the last one is the target.
    """

    curve: str = "polynomial"
    begin: Position = START
    end: Position | None = None
    every: Position | None = None
    initial: float = 0.0
    power: float = 3.0
    name: str | None = None
    points: tuple[tuple[Position, float], ...] = ()

    def __post_init__(self) -> None:
        for fault in find_schedule_faults(
            self.curve, self.begin, self.end, self.every, self.initial, self.power, self.points
        ):
            raise ValueError(fault.text)
        if self.points:
            object.__setattr__(self, "begin", self.points[0][0])
            object.__setattr__(self, "end", self.points[-1][0])

    @property
    def is_ramp(self) -> bool:
        """Whether sparsity rises gradually, so that `end` reaches the target, not `begin`."""
        return bool(self.points) or CURVES[self.curve].ramp is not None

    def __str__(self) -> str:
        name = self.name or self.curve
        return f"{name} {self.begin}" if self.end is None else f"{name} {self.begin}..{self.end}"

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form, as plans and wrappers store it."""
        config: dict[str, Any] = {"name": self.name, "curve": self.curve}
        if self.points:
            config["points"] = [
                {"at": place.to_config(), "sparsity": share} for place, share in self.points
            ]
        elif self.is_ramp:
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
            points=tuple(
                (Position.from_config(point["at"]), float(point["sparsity"]))
                for point in config.get("points", ())
            ),
        )

    def to_timetable(self, run: Run) -> Timetable:
        """Return this schedule in optimizer steps.

        Raises:
            ValueError: a position is in epochs or percent and `run` does not give the length they
                need, or the end comes before the beginning.
        """
        begin = 0 if self.begin.value == 0 else self._step("begin", self.begin, run)
        end = None if self.end is None else self._step("end", self.end, run)
        every = None if self.every is None else max(1, self._step("every", self.every, run))
        if end is not None and end < begin:
            raise ValueError(
                f"end ({self.end}, step {end}) comes before begin ({self.begin}, step {begin})"
            )
        if self.curve == "constant" and every is None:
            every = 100
        if self.curve == "step" and every is None and end is None:
            end = begin
        return Timetable(self, begin, end, every, self._points_in_steps(run))

    def _points_in_steps(self, run: Run) -> tuple[tuple[int, float], ...]:
        steps = [
            0 if place.value == 0 else self._step(f"points[{index}]", place, run)
            for index, (place, _) in enumerate(self.points)
        ]
        for (place, _), step, (later, _), later_step in zip(
            self.points, steps, self.points[1:], steps[1:], strict=False
        ):
            if later_step < step:
                raise ValueError(
                    f"points must be in the order of the run, got {later} (step {later_step}) after"
                    f" {place} (step {step})"
                )
        return tuple((step, share) for step, (_, share) in zip(steps, self.points, strict=True))

    @staticmethod
    def _step(name: str, place: Position, run: Run) -> int:
        step = place.to_step(run)
        if step is None:
            raise ValueError(f"{name} is {place}, and the number of steps in an epoch is not known")
        return step


@dataclass(frozen=True, slots=True)
class Timetable:
    """A schedule in optimizer steps.

    Step s stands for the weights after s updates; step 0 is before the first.

    Example:
        >>> schedule = Schedule(end=Position(1000, "step"), every=Position(300, "step"))
        >>> ramp = schedule.to_timetable(Run())
        >>> [s for s in range(2000) if ramp.is_due(after=s - 1, step=s)]
        [0, 300, 600, 900, 1000]
        >>> [round(ramp.sparsity_at(s, 0.9), 4) for s in (0, 500, 900, 1000, 5000)]
        [0.0, 0.7875, 0.8991, 0.9, 0.9]
        >>> points = (Position(10, "step"), 0.5), (Position(30, "step"), 0.8)
        >>> jumps = Schedule("points", points=points).to_timetable(Run())
        >>> [jumps.sparsity_at(s, 0.8) for s in (0, 10, 29, 30, 99)]
        [0.0, 0.5, 0.5, 0.8, 0.8]
    """

    schedule: Schedule
    begin: int
    end: int | None
    every: int | None
    points: tuple[tuple[int, float], ...] = ()

    def last_due(self, step: int) -> int | None:
        """Return the latest step up to `step` at which masks are updated; None before `begin`."""
        if step < self.begin:
            return None
        if self.end is not None and step >= self.end:
            return self.end
        regular = self.begin if self.every is None else step - (step - self.begin) % self.every
        return max([regular, *(place for place, _ in self.points if place <= step)])

    def is_due(self, *, after: int, step: int) -> bool:
        """Return whether an update falls in (`after`, `step`].

        `after` is -1 before the first update.
        """
        due = self.last_due(step)
        return due is not None and due > after

    def sparsity_at(self, step: int, target: float) -> float:
        """Return the share of weights that must be zero at `step`, on the way to `target`.

        It stays at `target` after `end`. Before its last point a `points` schedule asks a tensor
        with a target of its own (from a budget) for its part of each point.

        Raises:
            ValueError: `step` is negative.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        if step < self.begin:
            return 0.0
        if not self.schedule.is_ramp or self.end is None or step >= self.end:
            return target
        if self.points:
            share = max(point for point in self.points if point[0] <= step)[1]
            last = self.points[-1][1]
            if target == last:
                return share
            return min(target, target * share / last) if last else 0.0
        ramp = CURVES[self.schedule.curve].ramp
        assert ramp is not None, f"{self.schedule.curve} is no ramp"
        # of a budget, a tensor's own target may be below the share that all begin from
        initial = min(self.schedule.initial, target)
        progress = (step - self.begin) / (self.end - self.begin)
        return ramp(initial, target, progress, self.schedule.power)


@dataclass(frozen=True, slots=True)
class ScheduleFault:
    """What keeps some values from being a `Schedule`: the key, what is wrong, and what to do."""

    key: str
    text: str
    help: str | None = None


def find_schedule_faults(
    curve: str,
    begin: Position,
    end: Position | None,
    every: Position | None,
    initial: float,
    power: float,
    points: Sequence[tuple[Position, float]],
) -> Iterator[ScheduleFault]:
    """Yield all that keeps these values from being a `Schedule`."""
    if curve not in CURVES:
        yield ScheduleFault("curve", f"curve must be one of {', '.join(CURVES)}, got {curve!r}")
    if not 0 <= initial < 1:
        yield ScheduleFault("from", f"from must be at least 0 and below 1, got {initial}")
    if power <= 0:
        yield ScheduleFault("power", f"power must be above 0, got {power:g}")
    for text, help in _point_faults(curve, points):
        yield ScheduleFault("points", text, help)
    if curve in CURVES and CURVES[curve].ramp is not None and end is None:
        help = "add it, such as 'end: 4 epochs'"
        yield ScheduleFault("end", f"a {curve} schedule needs an end", help)
    if end is not None and not points and end.unit == begin.unit and end.value < begin.value:
        text = f"end ({end}) comes before begin ({begin})"
        yield ScheduleFault("end", text, "make it end after it begins")
    if every is not None and every.value <= 0:
        help = "write for example 'every: 100 steps'"
        yield ScheduleFault("every", f"every must be above 0, got {every}", help)


def _point_faults(
    curve: str, points: Sequence[tuple[Position, float]]
) -> Iterator[tuple[str, str | None]]:
    """Yield what is wrong with the points, and what to do."""
    if curve == "points" and not points:
        help = "add them, such as 'points: {4 epochs: 50%, 8 epochs: 80%}'"
        yield "a points schedule needs points", help
    elif curve != "points" and points:
        yield f"a {curve} schedule has no points, got {len(points)}", None
    for _, share in points:
        if not 0 <= share < 1:
            yield f"the sparsity of a point must be at least 0 and below 1, got {share:g}", None
    for (place, share), (later, more) in itertools.pairwise(points):
        if later.unit == place.unit and later.value <= place.value:
            text = f"points must be in the order of the run, got {later} after {place}"
            yield text, "sort them by their position"
        if more < share:
            yield (
                (
                    f"sparsity must not fall from point to point, got {more:g} at {later} after"
                    f" {share:g} at {place}"
                ),
                "masks only grow; raise the later share, or lower the earlier one",
            )
