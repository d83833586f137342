"""Learning rates of a run: constant ones, and curves as learning rate schedules of Keras.

A curve is one of Keras's own schedules, so that plain Keras loads the model files of a run. Its
position is the optimizer's count of updates, which checkpoints hold.
"""

from __future__ import annotations

from typing import Any

from graphprune.errors import TrainingError
from graphprune.runs.setting_values import RateCurve
from graphprune.sparsity.positions import Position, Run

STAIRS = 50
"""A step curve warms up in so many stairs at most: Keras has no schedule for both."""
_WHOLE = Position(100.0, "percent")
_SCALING = ("dynamic", "initial_scale", "dynamic_growth_steps")


def rate_schedule(schedules: Any, curve: RateCurve, run: Run, counts: int = 1) -> Any:
    """Return a learning rate schedule; a constant rate without warm-up is a number.

    Args:
        schedules: The module of Keras with the schedules.
        curve: The curve.
        run: The length of the run in optimizer updates.
        counts: What the optimizer adds, for each update, to the count that it gives its schedule.
            An update has the last of these counts.

    Raises:
        TrainingError: warm-up is longer than the curve, or the stairs do not rise in position.
    """
    warm_up = 0 if curve.warm_up is None else step_of(curve.warm_up, run)
    if curve.curve == "step":
        return _stairs(schedules, curve, warm_up, run, counts)
    end = step_of(curve.end or _WHOLE, run)
    if curve.curve == "constant":
        if not warm_up:
            return curve.first
        end = warm_up + 1
    if warm_up >= end:
        raise TrainingError(
            f"learning_rate: warm_up takes {warm_up} updates, and the curve ends after {end}; let"
            " it end later, or make warm_up shorter"
        )
    last = curve.first if curve.curve == "constant" else curve.last or 0.0
    if not warm_up:
        return schedules.CosineDecay(
            curve.first, decay_steps=end * counts, alpha=last / curve.first
        )
    return schedules.CosineDecay(
        curve.first / warm_up,
        decay_steps=(end - warm_up) * counts,
        alpha=last / curve.first,
        warmup_target=curve.first,
        warmup_steps=warm_up * counts,
    )


def step_of(position: Position, run: Run) -> int:
    """Return the update of a position in a run of known length."""
    step = position.to_step(run)
    assert step is not None
    return step


def _stairs(schedules: Any, curve: RateCurve, warm_up: int, run: Run, counts: int) -> Any:
    stairs = [(step_of(position, run), rate) for position, rate in curve.at]
    places = [place for place, _ in stairs]
    if places != sorted(set(places)) or places[0] <= warm_up:
        raise TrainingError(
            f"learning_rate: its positions must rise and come after warm_up, got the updates"
            f" {', '.join(map(str, [warm_up, *places]))} in a run of {run.steps}"
        )
    count = max(1, min(warm_up, STAIRS))
    bounds = [round(warm_up * stair / count) for stair in range(1, count)] + places
    rising = [curve.first * stair / count for stair in range(1, count + 1)]
    # Keras takes a value up to and including its boundary
    return schedules.PiecewiseConstantDecay(
        [bound * counts - 1 for bound in bounds], [*rising, *(rate for _, rate in stairs)]
    )


def with_settings(optimizer: Any, **settings: Any) -> Any:
    """Return an optimizer of the same kind with other settings and without state.

    An optimizer that scales the loss gets an inner one with these settings.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is None:
        return type(optimizer).from_config({**optimizer.get_config(), **settings})
    config = optimizer.get_config()
    scaling = {name: config[name] for name in _SCALING if name in config}
    return type(optimizer)(with_settings(inner, **settings), **scaling)


def set_learning_rate(optimizer: Any, rate: float, place: str) -> None:
    """Set a constant learning rate.

    Raises:
        TrainingError: it is out of range, or the optimizer's rate follows a schedule.
    """
    if not 0 < rate < float("inf"):
        raise TrainingError(f"the learning rate must be above 0, got {rate:g}", place=place)
    try:
        optimizer.learning_rate = rate
    except TypeError as fault:
        raise TrainingError(
            "its learning rate follows a schedule; to use a constant one, name the"
            " optimizer too, with --optimizer",
            place=place,
        ) from fault
