"""The steps at which layers reach their targets, held against the length of a run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Run
from graphprune.sparsity.schedules import Timetable
from graphprune.tf.pruning.own_schedule import OwnTimetable
from graphprune.tf.pruning.wrapper import PruneLowMagnitude


def find_unreached(
    wrappers: Mapping[str, PruneLowMagnitude], run: Run, done: int = 0
) -> Iterator[tuple[str, int, int]]:
    """Yield (address, step of the target, step at which the run ends) of each layer whose schedule
    ends after the run.

    Args:
        wrappers: The pruned layers by address; those that were trained before go on from their
            step.
        run: The length of the run; nothing is yielded where it is not known.
        done: Steps of the run that were done before, where a run is resumed.

    Raises:
        TrainingError: a schedule needs the length of an epoch, and `run` does not say.
    """
    if run.steps is None:
        return
    for address, wrapper in wrappers.items():
        end, last = (
            target_step(timetable_of(address, wrapper, run)),
            max(0, int(wrapper.pruning_step.numpy())) + run.steps - done,
        )
        if end > last:
            yield address, end, last


def warn_never_reached(wrappers: Mapping[str, PruneLowMagnitude], run: Run, done: int = 0) -> None:
    """Warn of layers whose schedule ends after the run; the arguments are those of
    `find_unreached`.

    Raises:
        TrainingError: as `find_unreached`.
    """
    late: dict[tuple[str, int, int], list[str]] = {}
    for address, end, last in find_unreached(wrappers, run, done):
        late.setdefault((target_text(wrappers[address]), end, last), []).append(address)
    for (target, end, last), addresses in late.items():
        warnings.warn(
            f"schedule/never-reached: {', '.join(addresses)}: the schedule reaches {target} at"
            f" step {end} and the run ends at step {last}; train for longer, or end the"
            " schedule earlier",
            stacklevel=2,
        )


def timetable_of(address: str, wrapper: PruneLowMagnitude, run: Run) -> Timetable | OwnTimetable:
    """Return the schedule of a layer in optimizer steps of `run`.

    Raises:
        TrainingError: the schedule needs the length of an epoch or of the run, and `run` does not
            say.
    """
    if wrapper.own_schedule is not None:
        return OwnTimetable(wrapper.own_schedule)
    try:
        return wrapper.pruning.schedule.to_timetable(run)
    except ValueError as err:
        raise TrainingError(
            f"{address}: {err}; give the run's length:"
            " UpdatePruningStep(run=Run(steps_per_epoch=..., epochs=...)) in fit, or"
            " pruner.start(Run(...)) in a custom loop"
        ) from err


def target_text(wrapper: PruneLowMagnitude) -> str:
    """Return the target of a layer as warnings say it."""
    return wrapper.pruning.describe_target("{:.1%}".format)


def target_step(timetable: Timetable | OwnTimetable) -> int:
    """Return the step at which the target is reached: the end of a ramp, the beginning of anything
    else.
    """
    if isinstance(timetable, OwnTimetable):
        return timetable.target_step
    return (
        timetable.end
        if timetable.schedule.is_ramp and timetable.end is not None
        else timetable.begin
    )
