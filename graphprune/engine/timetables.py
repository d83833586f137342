"""Schedules in optimizer steps, and the steps at which layers reach their targets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

from graphprune.engine.held import PrunedLayer
from graphprune.engine.schedules import PruningSchedule
from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Run
from graphprune.sparsity.schedules import Timetable


class OwnTimetable:
    """A user's own schedule with the interface of `graphprune.sparsity.schedules.Timetable`.

    Attributes:
        schedule: The user's schedule.
        target_step: The step at which its target is reached.
    """

    def __init__(self, schedule: PruningSchedule) -> None:
        self.schedule = schedule
        self.target_step = schedule.end_step if schedule.end_step >= 0 else schedule.begin_step
        self._undue = range(0)

    def is_due(self, *, after: int, step: int) -> bool:
        """Return whether the schedule asks for an update in (`after`, `step`].

        Steps for which it has returned no are not asked for again.
        """
        if any(
            bool(self.schedule(at)[0]) for at in range(step, after, -1) if at not in self._undue
        ):
            return True
        self._undue = range(after + 1, step + 1)
        return False

    def sparsity_at(self, step: int, target: float) -> float:
        """Return the share of weights that must be zero at `step`.

        It is the schedule's share, scaled to `target` if a pattern fixes a different target.
        """
        share, own = float(self.schedule(step)[1]), self.schedule.target
        return share if target == own or own == 0 else share * target / own


Times = Timetable | OwnTimetable
"""When masks change, in optimizer steps, and the sparsity at each change."""


def timetable_of(address: str, layer: PrunedLayer, run: Run) -> Times:
    """Return the schedule of a layer in optimizer steps of `run`.

    Raises:
        TrainingError: the schedule needs the length of an epoch or of the run, and `run` does not
            give it.
    """
    if layer.own_schedule is not None:
        return OwnTimetable(layer.own_schedule)
    try:
        return layer.pruning.schedule.to_timetable(run)
    except ValueError as err:
        raise TrainingError(
            f"{address}: {err}; give the run's length:"
            " UpdatePruningStep(run=Run(steps_per_epoch=..., epochs=...)) in fit, or"
            " pruner.start(Run(...)) in a custom loop"
        ) from err


def target_step(times: Times) -> int:
    """Return the step at which the target is reached: the end of a ramp, else the beginning."""
    if isinstance(times, OwnTimetable):
        return times.target_step
    return times.end if times.schedule.is_ramp and times.end is not None else times.begin


def target_text(layer: PrunedLayer) -> str:
    """Return the target of a layer for warnings."""
    return layer.pruning.describe_target("{:.1%}".format)


def find_unreached(
    layers: Mapping[str, PrunedLayer], run: Run, done: int = 0
) -> Iterator[tuple[str, int, int]]:
    """Yield (address, step of the target, last step of the run) of layers that miss their target.

    Args:
        layers: The pruned layers by address; layers trained before continue from their step.
        run: The length of the run; nothing is yielded if it is unknown.
        done: Steps of the run that were done before, if a run is resumed.

    Raises:
        TrainingError: a schedule needs the length of an epoch, and `run` does not give it.
    """
    if run.steps is None:
        return
    for address, layer in layers.items():
        end = target_step(timetable_of(address, layer, run))
        last = max(0, layer.read_step()) + run.steps - done
        if end > last:
            yield address, end, last


def warn_never_reached(layers: Mapping[str, PrunedLayer], run: Run, done: int = 0) -> None:
    """Warn of layers whose schedule ends after the run; arguments as for `find_unreached`.

    Raises:
        TrainingError: as `find_unreached`.
    """
    late: dict[tuple[str, int, int], list[str]] = {}
    for address, end, last in find_unreached(layers, run, done):
        late.setdefault((target_text(layers[address]), end, last), []).append(address)
    for (target, end, last), addresses in late.items():
        warnings.warn(
            f"schedule/never-reached: {', '.join(addresses)}: the schedule reaches {target} at"
            f" step {end} and the run ends at step {last}; train for longer, or end the"
            " schedule earlier",
            stacklevel=2,
        )
