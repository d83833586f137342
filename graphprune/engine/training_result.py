"""How a training run ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from graphprune.engine.progress import TensorProgress
from graphprune.runs.best import Best
from graphprune.runs.run_options import RunResult

Status = Literal["finished", "interrupted", "already-finished"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The state of a run when `train` or `resume` returns.

    Attributes:
        run_dir: The run's folder.
        status: `already-finished` if there was nothing left to do.
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
        }

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
        )
