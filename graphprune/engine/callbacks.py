"""The logic of the pruning callbacks: mix-ins and helpers that each Keras adds to its callbacks."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from typing import Any

from graphprune.arguments import check_path
from graphprune.engine.progress import TensorProgress, curve_points
from graphprune.engine.pruner import Pruner
from graphprune.errors import TrainingError
from graphprune.sparsity.positions import Run, check_run


class MaskUpdates:
    """The methods of `UpdatePruningStep`, a mix-in for the `Callback` of a Keras.

    The class that uses it calls `follow` from the constructor, and sets `_pruner` in `set_model`.
    """

    params: dict[str, Any] | None
    model: Any
    run: Run | None
    _pruner: Pruner | None

    def follow(self, run: Run | None, done: int) -> None:
        """Set up a callback that has no model yet.

        Raises:
            TypeError: `run` is not a `Run`.
        """
        check_run(run)
        self.params = None  # only `fit` calls `set_params`
        self.run, self._done = run, done
        self._pruner = None
        self._ends_batches = False
        self._has_advanced = False

    @property
    def pruner(self) -> Pruner:
        """The pruner of the callback's model.

        Raises:
            TrainingError: the callback has no model yet.
        """
        if self._pruner is None:
            raise TrainingError(
                "UpdatePruningStep has no model; call set_model(model) first, as fit does"
            )
        return self._pruner

    def on_train_begin(self, logs: Any = None) -> None:
        """Resolve the schedules and do the update that is due at step 0.

        Raises:
            TrainingError: no layer of the model is pruned, or a schedule needs a length that `fit`
                does not know.
        """
        self.pruner.check_pruned("UpdatePruningStep")
        self._ends_batches, self._has_advanced = False, False
        self.pruner.start(self.run or run_of(self.params), done=self._done)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Catch up with steps after which the loop called nothing.

        Loops that call `on_train_batch_end` have nothing to catch up with.
        """
        if not self._ends_batches:
            self.pruner.on_step()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Update the masks that the last optimizer updates made due."""
        self._ends_batches = True
        self.pruner.on_step()
        if not self._has_advanced and self.pruner.has_advanced:
            self._has_advanced = True
            self.pruner.warn_standing_still()

    def on_epoch_end(
        self, epoch: int | None = None, logs: Any = None, *, batch: int | None = None
    ) -> None:
        """Catch up, for loops that call nothing at the end of a batch.

        Loops written for another library may name the argument `batch`.
        """
        self.pruner.on_step()

    def on_train_end(self, logs: Any = None) -> None:
        """Do the updates still due, zero the masked weights, and detach from the model."""
        self.pruner.on_step()
        self.pruner.project()
        self._at_the_very_end(self.on_last_end)
        self.pruner.stop()

    def on_last_end(self) -> None:
        """Warn of missed targets, after all other callbacks have ended."""
        self._warn_missed()

    def _warn_missed(self) -> None:
        was_stopped = bool(getattr(self.model, "stop_training", False))
        if was_stopped or self.run is None:
            self.pruner.warn_missed(was_stopped=was_stopped)

    def _at_the_very_end(self, finish: Callable[[], None]) -> None:
        """Call `finish` after the `on_train_end` of all later callbacks, which may restore weights.

        In `fit`, Keras's History is the last callback.
        """
        history: Any = getattr(self.model, "history", None)
        # all callbacks of one `fit` share the same dict
        is_fit = self.params is not None and getattr(history, "params", None) is self.params
        self.params = None
        if not is_fit:
            finish()
            return

        def end(logs: Any = None) -> None:
            del history.on_train_end
            finish()

        history.on_train_end = end


class SparsityCurves:
    """Decides what `PruningSummaries` writes, and when.

    Args:
        update_freq: `epoch`, `batch`, or a number of steps.
        run: The length of the run, if `fit` cannot know it.

    Raises:
        TypeError: `run` is not a `Run`.
        ValueError: `update_freq` is something else.
    """

    def __init__(self, update_freq: str | int, run: Run | None) -> None:
        check_run(run)
        is_steps = (
            isinstance(update_freq, int) and not isinstance(update_freq, bool) and update_freq >= 1
        )
        if update_freq not in ("epoch", "batch") and not is_steps:
            raise ValueError(
                f"update_freq must be 'epoch', 'batch' or a number of steps, got {update_freq!r}"
            )
        self._run = run
        self._pruner: Pruner | None = None
        self._written: tuple[int, tuple[TensorProgress, ...]] = (0, ())

    def follow(self, pruner: Pruner) -> None:
        """Read the model through `pruner`, which is never started."""
        self._pruner = pruner

    def begin(self, params: dict[str, Any] | None) -> None:
        """Compute the targets from the length of the run.

        Raises:
            TrainingError: a schedule needs a length that is not given.
        """
        if self._pruner is not None:
            self._pruner.follow(self._run or run_of(params))
            self._written = (self._pruner.step, ())

    def check_pruned(self) -> None:
        """Refuse a model without pruned layers.

        Raises:
            TrainingError: no layer of the model is pruned.
        """
        if self._pruner is not None:
            self._pruner.check_pruned("PruningSummaries")

    def has_passed(self, every: int) -> bool:
        """Return whether a multiple of `every` steps was passed since the last points."""
        step = 0 if self._pruner is None else self._pruner.step
        return step // every > self._written[0] // every

    def take(self) -> tuple[int, dict[str, float]]:
        """Return the step and its points by tag; no points if they were taken before."""
        if self._pruner is None or not self._pruner.layers:
            return 0, {}
        state = (self._pruner.step, self._pruner.tensors())
        if state == self._written:
            return state[0], {}
        self._written = state
        return state[0], curve_points(state[1])


class SparsityEvents(ABC):
    """The methods of `PruningSummaries`, a mix-in for the `TensorBoard` callback of a Keras.

    The class that uses it sets `curves` and `params` before it calls the constructor of
    `TensorBoard`.
    """

    curves: SparsityCurves
    params: dict[str, Any] | None
    update_freq: Any

    @abstractmethod
    def write_points(self, step: int, points: dict[str, float]) -> None:
        """Write a scalar for each tag."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Compute the targets from the length of the run.

        Raises:
            TrainingError: no layer of the model is pruned.
        """
        self.curves.check_pruned()
        super().on_train_begin(logs)  # type: ignore[misc]
        self.curves.begin(self.params)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write the points that are due after these steps."""
        super().on_train_batch_end(batch, logs)  # type: ignore[misc]
        if self.update_freq != "epoch" and self.curves.has_passed(self.update_freq):
            self._write()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the metrics of the epoch and the state of the pruned tensors."""
        super().on_epoch_end(epoch, logs)  # type: ignore[misc]
        if self.update_freq == "epoch":
            self._write()

    def on_train_end(self, logs: Any = None) -> None:
        """Write the final state and close the files."""
        self._write()
        super().on_train_end(logs)  # type: ignore[misc]

    def _write(self) -> None:
        """Write the state of each tensor, unless it was written already."""
        step, points = self.curves.take()
        if points:
            self.write_points(step, points)


def check_log_dir(log_dir: str | PathLike[str]) -> None:
    """Raise unless events can be written and `log_dir` is not empty.

    Raises:
        TrainingError: the tensorboard package is not installed.
        TypeError: `log_dir` is not a path.
        ValueError: `log_dir` is empty.
    """
    check_tensorboard()
    if not check_path("log_dir", log_dir, "the path of a folder"):
        raise ValueError(
            "log_dir must name a folder, got ''; give the folder that TensorBoard shows, such as"
            " 'logs'"
        )


def check_tensorboard() -> None:
    """Raise unless the tensorboard package is installed; TensorFlow needs it to write summaries.

    Raises:
        TrainingError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise TrainingError(
            "TensorBoard events need the package tensorboard, which is not installed; pip install"
            " 'graphprune[tensorboard]'"
        )


def run_of(params: dict[str, Any] | None) -> Run:
    """Return the length of a run from the `params` that `fit` gives its callbacks."""
    given = params or {}
    return Run(given.get("steps"), given.get("epochs"))
