"""Arguments of `train` and `resume`, without TensorFlow: checks, strategies, stopping, progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from graphprune.arguments import check_mapping, check_number, check_path, check_whole, wrong_type
from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Position
from graphprune.suggestions import closest


class StopRequest:
    """A request, from another thread, to stop a training run after its current step.

    The run then writes a checkpoint and returns.

    Example:
        >>> stop = StopRequest()
        >>> stop.ask(), stop.asked
        (False, False)
        >>> with stop.listening():
        ...     stop.ask(), stop.asked
        (True, True)
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._listening = False
        self._asked = False

    @property
    def asked(self) -> bool:
        """Whether the run was asked to stop."""
        return self._asked

    def ask(self) -> bool:
        """Ask the run to stop; return whether it will, which a run does only while it trains."""
        with self._lock:
            self._asked = self._asked or self._listening
            return self._listening

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Mark the time in which a run looks at `asked`; its requests can be read afterwards."""
        with self._lock:
            self._listening = True
        try:
            yield
        finally:
            with self._lock:
                self._listening = False


_COMPILED = (
    "to use your own object, compile the model with it, pass that model to train, and leave the"
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
) -> Any:
    """Return the metrics as a tuple of names, by output too; None where none were given.

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
        if value is not None and not isinstance(value, str | Mapping):
            raise wrong_type(
                name,
                f"the name of one, such as {'adam' if name == 'optimizer' else 'mse'!r}",
                value,
                _COMPILED,
            )
    if learning_rate is not None and not isinstance(learning_rate, Mapping):
        check_number("learning_rate", learning_rate)
    if not isinstance(checkpoint_every, str | Position):
        raise wrong_type(
            "checkpoint_every", "text such as '1 epoch' or '50 steps'", checkpoint_every
        )
    if custom_objects is not None:
        check_mapping("custom_objects", custom_objects, "a dict of classes and functions by name")
    if not isinstance(strategy, str):
        raise wrong_type("strategy", "'none', 'mirrored', 'mirrored:N' or 'multiworker'", strategy)
    if stop is not None and not isinstance(stop, StopRequest):
        raise wrong_type("stop", "a StopRequest", stop)
    return _metric_names(metrics)


def check_callbacks(callbacks: Any) -> None:
    """Refuse callbacks that are no list.

    Raises:
        TypeError: they are something else.
    """
    if not isinstance(callbacks, list | tuple):
        raise wrong_type("callbacks", "a list of callbacks or of MODULE:FUNCTION", callbacks)


def _metric_names(metrics: Any) -> Any:
    if metrics is None:
        return None
    if isinstance(metrics, Mapping):
        return {output: _metric_names(part) for output, part in metrics.items()}
    names = (metrics,) if isinstance(metrics, str) else metrics
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise wrong_type("metrics", "a list of names, such as ['accuracy']", metrics, _COMPILED)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a training run after a step.

    Attributes:
        epoch: The epoch that the step belongs to, from 1.
        epochs: Epochs of the whole run.
        step: Optimizer updates since the run began.
        steps: Updates of the whole run.
        metrics: The loss first, then metrics by name: means over the epoch so far, with `val_`
            names once it has ended.
        target_sparsity: The share of zeros that schedules ask for at this step, over all pruned
            weights.
        sparsity: The share of pruned weights that masks hold at zero.
        epoch_ended: Whether this was the last step of its epoch, told once more after validation.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    target_sparsity: float = 0.0
    sparsity: float = 0.0
    epoch_ended: bool = False


OnProgress = Callable[[Progress], None]


NONE = "none"
MIRRORED = "mirrored"
MULTIWORKER = "multiworker"
_MIRRORED = re.compile(rf"{MIRRORED}(?::(?P<count>[1-9][0-9]{{0,2}}))?")


def parse_strategy(name: str) -> int | None:
    """Return how many replicas a strategy names: 0 for `none`, None where it names no number.

    `multiworker` names none: the cluster has the number of workers.

    Raises:
        TrainingError: there is no such strategy.

    Example:
        >>> parse_strategy("none"), parse_strategy("mirrored"), parse_strategy("mirrored:2")
        (0, None, 2)
    """
    if name == NONE:
        return 0
    if name == MULTIWORKER:
        return None
    found = _MIRRORED.fullmatch(name)
    if found is None:
        near = closest(name.partition(":")[0], (NONE, MIRRORED, MULTIWORKER), count=1)
        raise TrainingError(
            f"strategy: got {name!r}; {f'{near}; ' if near else ''}available: none, mirrored,"
            " mirrored:N, such as mirrored:2, and multiworker"
        )
    return None if found["count"] is None else int(found["count"])
