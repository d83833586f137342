"""The latency of models that take turns, so that a machine that slows down is unfair to none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

TURNS = 20
"""Turns of each model, unless asked for otherwise."""
_WARM = 0.2
"""Seconds for which each model runs before it is timed."""
_FEWEST_WARM = 3
_TURN = 0.05
"""Seconds of a turn; a slower model runs once a turn."""
_MOST = 1000


class Timed(Protocol):
    """A model that can be run some times."""

    def time(self, runs: int) -> tuple[float, ...]:
        """Return the seconds of each run."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the quartiles around it.

    Attributes:
        median: The median.
        low, high: The first and third quartile: half of all values lie between them.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of some values.

        Example:
            >>> Spread.of([4, 1, 2, 3, 5])
            Spread(median=3.0, low=2.0, high=4.0)
        """
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        return cls(median, low, high)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one model took.

    Attributes:
        seconds: Of one run, over all runs.
        ratio: Of its time to that of the first model, over the turns; a turn of both is compared
            with itself only.
        runs: Runs that were timed.
    """

    seconds: Spread
    ratio: Spread
    runs: int


def time_in_turns(models: Sequence[Timed], turns: int = TURNS) -> tuple[Timing, ...]:
    """Return the timing of each model; all are warm, and take turns.

    Every second round has the reverse order, so that no model always follows the same one.
    """
    lengths = [_warm(model) for model in models]
    seconds: list[list[tuple[float, ...]]] = [[] for _ in models]
    for turn in range(turns):
        order = range(len(models))
        for index in order if turn % 2 == 0 else reversed(order):
            seconds[index].append(models[index].time(lengths[index]))
    medians = [[float(np.median(runs)) for runs in of_model] for of_model in seconds]
    return tuple(
        Timing(
            Spread.of([one for runs in of_model for one in runs]),
            Spread.of([own / first for own, first in zip(medians[index], medians[0], strict=True)]),
            sum(map(len, of_model)),
        )
        for index, of_model in enumerate(seconds)
    )


def _warm(model: Timed) -> int:
    """Run a model until it is warm, and return how many runs make a turn."""
    times = list(model.time(_FEWEST_WARM))
    while sum(times) < _WARM:
        more = math.ceil((_WARM - sum(times)) / max(min(times), 1e-6))
        times += model.time(min(more, _MOST))
    return max(1, min(_MOST, math.ceil(_TURN / max(float(np.median(times)), 1e-6))))
