"""The folder of a training run: everything that `graphprune resume DIR` needs, and what the run leaves.

    DIR/run.json                what the run was asked to do
    DIR/plan.json               the plan, when the run began with one
    DIR/rules/                  copies of the rule files
    DIR/original.graph.json     the layer graph of the model that the run began with
    DIR/checkpoints/            see `graphprune.runs.checkpoints`
    DIR/metrics.jsonl           one line an epoch
    DIR/tensorboard/            events, where they were asked for
    DIR/model.keras or .h5      the trained, wrapped model
    DIR/result.json             how the run ended; a run without it is not finished

Files are written whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from graphprune.errors import CheckpointError, OutputError
from graphprune.files import write_whole

_OURS = ("run.json", "plan.json", "rules", "original.graph.json", "checkpoints", "metrics.jsonl", "tensorboard", "model.keras", "model.h5", "result.json")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run was asked to do.

    Attributes:
        model, model_sha256: The saved model that it began with.
        model_name: The name of its model files, `model.keras` or `model.h5`.
        data, data_sha256: What `read_data` was given; the hash is empty where data comes from a function.
        batch_size: None where datasets of a function bring their own.
        epochs, steps_per_epoch, seed: Its length and order.
        own_steps_per_epoch: Whether the length of an epoch was given by the user.
        checkpoint_every: Optimizer steps between checkpoints.
        compiling: Optimizer, loss, metrics and learning rate, as far as they were given.
        plan_sha256, rules, schedule_units: As in `RunState`.
        version: Of graphprune.
        tensorboard: The folder of TensorBoard's events, a relative one in the run's folder; None for none.
        strategy: `none`, or `mirrored:N` with the number of replicas that share each batch.
    """

    model: str
    model_sha256: str
    model_name: str
    data: str
    data_sha256: str
    batch_size: int | None
    epochs: int
    steps_per_epoch: int
    own_steps_per_epoch: bool
    seed: int
    checkpoint_every: int
    compiling: Mapping[str, Any]
    plan_sha256: str
    rules: tuple[tuple[str, str], ...]
    schedule_units: tuple[str, ...]
    version: str
    tensorboard: str | None = None
    strategy: str = "none"

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A training run on disk."""

    path: Path

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a training run."""
        return (self.path / "run.json").is_file()

    @property
    def began(self) -> float:
        """When the run was made, in seconds since 1970."""
        return (self.path / "run.json").stat().st_mtime

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The file with one line an epoch."""
        return self.path / "metrics.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this run's folder meanwhile; the operating system lets go when the process ends, however it ends.

        Raises:
            CheckpointError: another process is training here.
        """
        with (self.path / "run.json").open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CheckpointError(f"{self.path}: another process is training in this folder; wait for it, or stop it") from None
            yield

    def check_free(self, *, force: bool) -> None:
        """Refuse a folder that holds something already; with `force` an earlier run there may be replaced.

        Raises:
            OutputError: the folder is taken.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: is a file; give the run a folder of its own")
        if self.is_run:
            if not force:
                raise OutputError(f"{self.path}: holds a run already; go on with it by graphprune resume {self.path}, or pass --force to start over")
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise OutputError(f"{self.path}: holds other files; give the run a folder of its own")

    def create(self, options: RunOptions, *, plan: Mapping[str, Any] | None, graph: Mapping[str, Any], rule_files: Mapping[str, bytes]) -> None:
        """Make the folder, in place of an earlier run there; `run.json` comes last, so that a folder with it is complete."""
        for name in _OURS:
            _remove(self.path / name)
        self.path.mkdir(parents=True, exist_ok=True)
        if plan is not None:
            _write_json(self.path / "plan.json", plan)
        _write_json(self.path / "original.graph.json", graph)
        for name, content in rule_files.items():
            (self.path / "rules").mkdir(exist_ok=True)
            write_whole(self.path / "rules" / name, content)
        write_whole(self.metrics, b"")
        _write_json(self.path / "run.json", {"format_version": _FORMAT, **asdict(options)})

    def read_options(self) -> RunOptions:
        """Return what the run was asked to do.

        Raises:
            CheckpointError: the folder is no training run, or `run.json` is damaged.
        """
        if self.path.is_file():
            raise CheckpointError(f"{self.path}: is a file; name the folder that graphprune train --run made")
        if not self.path.is_dir():
            raise CheckpointError(f"{self.path}: no such folder; start a run with graphprune train --run {self.path}")
        try:
            config = json.loads((self.path / "run.json").read_bytes())
            values = {field.name: config[field.name] for field in fields(RunOptions)}
            rules = tuple((path, digest) for path, digest in values["rules"])
            return RunOptions(**{**values, "rules": rules, "schedule_units": tuple(values["schedule_units"])})
        except FileNotFoundError:
            raise CheckpointError(f"{self.path}: no run.json; this is not a training run, start one with graphprune train") from None
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise CheckpointError(f"{self.path}/run.json: damaged; start again with graphprune train --force") from fault

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Say that the run is finished, and how it ended."""
        _write_json(self.path / "result.json", result)

    def read_result(self) -> dict[str, Any] | None:
        """Return how the run ended, or None while it has not."""
        path = self.path / "result.json"
        return dict(json.loads(path.read_bytes())) if path.is_file() else None

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one epoch's line to `metrics.jsonl`."""
        write_whole(self.metrics, self._metrics_bytes() + json.dumps(line).encode() + b"\n")

    def cut_metrics(self, step: int) -> None:
        """Remove the lines of epochs that ended after `step`, and a line that was cut off, so that going on from there doubles nothing."""
        kept = [line for line in self._metrics_bytes().splitlines() if _ends_by(line, step)]
        write_whole(self.metrics, b"".join(line + b"\n" for line in kept))

    def last_metrics(self) -> dict[str, Any]:
        """Return the last epoch's line; empty before the first."""
        lines = self._metrics_bytes().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    def _metrics_bytes(self) -> bytes:
        return self.metrics.read_bytes() if self.metrics.is_file() else b""


def _ends_by(line: bytes, step: int) -> bool:
    try:
        return int(json.loads(line)["step"]) <= step
    except (ValueError, KeyError, TypeError):
        return False


def _write_json(path: Path, config: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
