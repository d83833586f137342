"""The arguments of `train` and `resume`: of the right types before anything is read or written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphprune.arguments import check_mapping, check_number, check_path, check_whole, wrong_type
from graphprune.runs.stopping import StopRequest
from graphprune.sparsity.positions import Position

_COMPILED = (
    "for an object of your own, compile the model with it, give that model to train, and leave the"
    " argument out"
)


def check_run_dir(run_dir: Any) -> str:
    """Return the folder of a run as text.

    Raises:
        TypeError: it is not a path.
    """
    return check_path("run_dir", run_dir, "the path of a folder")


def check_settings(
    *,
    counts: Mapping[str, Any],
    names: Mapping[str, Any],
    metrics: Any,
    learning_rate: Any,
    checkpoint_every: Any,
    custom_objects: Any,
    strategy: Any,
    stop: Any,
) -> tuple[str, ...] | None:
    """Return the metrics as a tuple of names, or None where none were given.

    Args:
        counts: Whole numbers by argument; None means not given.
        names: Names that Keras knows by argument (`optimizer`, `loss`); None means not given.
        metrics, learning_rate, checkpoint_every, custom_objects, strategy, stop: As `train` was
            given them.

    Raises:
        TypeError: an argument has another type.
    """
    for name, value in counts.items():
        if value is not None:
            check_whole(name, value)
    for name, value in names.items():
        if value is not None and not isinstance(value, str):
            raise wrong_type(
                name,
                f"the name of one, such as {'adam' if name == 'optimizer' else 'mse'!r}",
                value,
                _COMPILED,
            )
    if learning_rate is not None:
        check_number("learning_rate", learning_rate)
    if not isinstance(checkpoint_every, str | Position):
        raise wrong_type(
            "checkpoint_every", "text such as '1 epoch' or '50 steps'", checkpoint_every
        )
    if custom_objects is not None:
        check_mapping("custom_objects", custom_objects, "a dict of classes and functions by name")
    if not isinstance(strategy, str):
        raise wrong_type("strategy", "'none', 'mirrored' or 'mirrored:N'", strategy)
    if stop is not None and not isinstance(stop, StopRequest):
        raise wrong_type("stop", "a StopRequest", stop)
    return _metric_names(metrics)


def _metric_names(metrics: Any) -> tuple[str, ...] | None:
    if metrics is None:
        return None
    names = (metrics,) if isinstance(metrics, str) else metrics
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise wrong_type("metrics", "a list of names, such as ['accuracy']", metrics, _COMPILED)
    return tuple(names)
