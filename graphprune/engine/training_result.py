"""How a training run ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from graphprune.engine.progress import TensorProgress
from graphprune.runs.best import Best
from graphprune.runs.run_options import RunResult, with_stripped

Status = Literal["finished", "interrupted", "already-finished", "checked", "evaluated"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The state of a run when `train` or `resume` returns.

    Attributes:
        run_dir: The run's folder.
        status: `already-finished` if there was nothing left to do; `checked` and `evaluated` after
            a dry run and a measurement, which write nothing.
        step, steps: Optimizer updates done, and in the whole run.
        model: The trained, wrapped model; None while the run is not finished.
        metrics: The last line of `metrics.jsonl`.
        tensors: Every pruned tensor with its zeros and its target; empty while the run is not
            finished.
        resumed_from: The checkpoint that the run was resumed from, if any.
        warnings: Warnings for the user, such as a damaged checkpoint that was skipped or a changed
            TensorFlow version.
        standing_still: Addresses of pruned layers that no update reached, because they get no
            gradient.
        best: The best epoch, where the run was asked to keep it.
        best_model: The model of that epoch; None while the run is not finished.
        original_metrics: Loss and metrics of the original on the validation data.
        stopped_early: Why training ended before its last epoch; empty if it did not.
        stripped_metrics: Loss and metrics of the stripped model on the validation data, if the run
            trained in another precision; else those of the last epoch are its own.
    """

    run_dir: Path
    status: Status
    step: int
    steps: int
    model: Path | None
    metrics: Mapping[str, Any]
    tensors: tuple[TensorProgress, ...] = ()
    resumed_from: Path | None = None
    warnings: tuple[str, ...] = ()
    standing_still: tuple[str, ...] = ()
    best: Best | None = None
    best_model: Path | None = None
    original_metrics: Mapping[str, Any] = field(default_factory=dict)
    stopped_early: str = ""
    stripped_metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final_metrics(self) -> dict[str, Any]:
        """The metrics of the last epoch, those on the validation data of the stripped model."""
        return with_stripped(self.metrics, self.stripped_metrics)

    @property
    def missed(self) -> tuple[TensorProgress, ...]:
        """The tensors of a finished run that did not reach their target."""
        return tuple(tensor for tensor in self.tensors if tensor.zeros < tensor.target_zeros)

    def to_config(self) -> dict[str, Any]:
        """Return the contents of `result.json` of a finished run."""
        model = None if self.model is None else self.model.name
        return {
            "step": self.step,
            "steps": self.steps,
            "model": model,
            "metrics": dict(self.metrics),
            "tensors": [asdict(tensor) for tensor in self.tensors],
            "best": None if self.best is None else asdict(self.best),
            "best_model": None if self.best_model is None else self.best_model.name,
            "original_metrics": dict(self.original_metrics),
            "stopped_early": self.stopped_early,
            "stripped_metrics": dict(self.stripped_metrics),
        }

    @classmethod
    def of_model(
        cls, run_dir: Path, status: Status, measured: Mapping[str, Any], steps: int = 0
    ) -> TrainingResult:
        """Return the result where nothing was written."""
        return cls(run_dir, status, 0, steps, None, {}, original_metrics=measured)

    @classmethod
    def of_finished(cls, run_dir: Path, result: RunResult) -> TrainingResult:
        """Return the result of a run that was finished earlier."""
        return cls(
            run_dir,
            "already-finished",
            result.step,
            result.steps,
            run_dir / result.model,
            result.metrics,
            tuple(TensorProgress(**asdict(tensor)) for tensor in result.tensors),
            best=result.best,
            best_model=None if result.best_model is None else run_dir / result.best_model,
            original_metrics=result.original_metrics,
            stopped_early=result.stopped_early,
            stripped_metrics=result.stripped_metrics,
        )
